"""DeepRec by depth: 2 to 12 layers of 128, MovieLens-1M, earlier ratings predict later ones.

    python -m experiments.reproduce --study=deeprec_depth_ml1m --data_dir=DIR

Source: Kuchaiev & Ginsburg 2017, table 1, on Netflix: deeper is better, down to .9328 at 12.
"""

from experiments.study import Row, Study

STUDY = Study(
    title="DeepRec, test RMSE by number of layers, d = 128",
    rows=[
        Row(
            f"{2 * depth} layers",
            (
                "--config=deeprec_ml1m",
                "--set=refeeds=0",
                "--learning_rate=0.005",
                f"--set=hidden={','.join(['128'] * depth)}",
                "--set=dropout=0",
            ),
        )
        for depth in range(1, 7)
    ],
)
