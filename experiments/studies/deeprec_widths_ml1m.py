"""DeepRec of one hidden layer by its width: training error (A) and validation error (B).

    python -m experiments.reproduce --study=deeprec_widths_ml1m --data_dir=DIR

The wider the layer, the lower the training error; on Netflix the validation error stays above 1.
"""

from experiments.study import Row, Study

STUDY = Study(
    title="DeepRec of one hidden layer, by width",
    sources=("DeepRec report, figure 3.4 A and B", "Kuchaiev & Ginsburg 2017, figure 3"),
    assumed="the report numbers its tables and figures in the order of the paper",
    rows=[
        Row(
            f"width {width}",
            (
                "--config=deeprec_ml1m",
                "--set=refeeds=0",
                "--learning_rate=0.005",
                f"--set=hidden={width}",
                "--set=dropout=0",
                "--epochs=60",
                "--baselines=",
            ),
            {"parameters": 9_115_240} if width == 256 else {},
        )
        for width in (128, 256, 512, 1024)
    ],
    figures=("rmse",),
    facts=("parameters",),
    comparable="other data (Netflix)",
    curves="epochs",
)
