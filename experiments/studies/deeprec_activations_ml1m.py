"""DeepRec by activation: training loss of each mini-batch, 4 layers of 128, MovieLens-1M.

    python -m experiments.reproduce --study=deeprec_activations_ml1m --data_dir=DIR

Source: Kuchaiev & Ginsburg 2017, figure 2, on Netflix: SELU and ELU are best, leaky ReLU is
close, sigmoid and tanh are far behind, and ReLU and ReLU6 stay at 2 and above.
"""

from experiments.study import Row, Study

NAMES = ("selu", "elu", "leaky_relu", "relu", "relu6", "tanh", "sigmoid", "swish")

STUDY = Study(
    title="DeepRec, test RMSE by activation",
    rows=[
        Row(
            name,
            (
                "--config=deeprec_ml1m",
                "--set=refeeds=0",
                "--learning_rate=0.005",
                "--set=hidden=128,128",
                f"--set=activation={name}",
                "--set=dropout=0",
                "--epochs=60",
            ),
        )
        for name in NAMES
    ],
    curves="steps",
)
