"""DeepRec by dropout of the code: 0, .5, .65 and .8, MovieLens-1M.

    python -m experiments.reproduce --study=deeprec_dropout_ml1m --data_dir=DIR

Source: Kuchaiev & Ginsburg 2017, figure 3, on Netflix: .65 and .8 help, 0 and .5 overfit.
"""

from experiments.study import Row, Study

STUDY = Study(
    title="DeepRec, test RMSE by dropout of the code",
    rows=[
        Row(
            f"dropout {dropout}",
            (
                "--config=deeprec_ml1m",
                "--set=refeeds=0",
                "--learning_rate=0.005",
                f"--set=dropout={dropout}",
            ),
        )
        for dropout in (0, 0.5, 0.65, 0.8)
    ],
)
