"""DeepRec by dropout of the code: 0, .5, .65 and .8, MovieLens-1M.

    python -m experiments.reproduce --study=deeprec_dropout_ml1m --data_dir=DIR

On Netflix .65 and .8 help, and 0 and .5 over-fit.
"""

from experiments.study import Row, Study

PUBLISHED = {"0": {}, "0.5": {}, "0.65": {"rmse": 0.9192}, "0.8": {"rmse": 0.9183}}

STUDY = Study(
    title="DeepRec by dropout of the code",
    sources=("DeepRec report, figure 3.6", "Kuchaiev & Ginsburg 2017, figure 4"),
    assumed="the report numbers its tables and figures in the order of the paper",
    rows=[
        Row(
            f"dropout {dropout}",
            (
                "--config=deeprec_ml1m",
                "--set=refeeds=0",
                "--learning_rate=0.005",
                f"--set=dropout={dropout}",
                "--baselines=",
            ),
            published,
        )
        for dropout, published in PUBLISHED.items()
    ],
    figures=("rmse",),
    comparable="other data (Netflix)",
    curves="epochs",
)
