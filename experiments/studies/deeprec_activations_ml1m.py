"""DeepRec by activation: training loss of each mini-batch, 4 layers of 128, MovieLens-1M.

    python -m experiments.reproduce --study=deeprec_activations_ml1m --data_dir=DIR

The picture has the training RMSE of each mini-batch. On Netflix, SELU and ELU come to about .9 and
leaky ReLU to .95; tanh and sigmoid stay at 1.1, and ReLU and ReLU6 at 2 and above.
"""

from experiments.study import Row, Study

NAMES = ("selu", "elu", "leaky_relu", "relu", "relu6", "tanh", "sigmoid", "swish")

STUDY = Study(
    title="DeepRec by activation",
    sources=("DeepRec report, figure 3.3", "Kuchaiev & Ginsburg 2017, figure 2"),
    assumed="the report numbers its tables and figures in the order of the paper",
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
                "--baselines=",
            ),
        )
        for name in NAMES
    ],
    figures=("rmse",),
    curves="steps",
)
