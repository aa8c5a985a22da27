"""I-AutoRec on MovieLens-1M by its number of hidden units, and the deep one of 500-250-500.

    python -m experiments.reproduce --study=autorec_units_ml1m --data_dir=DIR

The published figures of one hidden layer were read off a picture.
"""

from experiments.study import Row, Study

READ_OFF = {20: 0.869, 40: 0.854, 80: 0.849, 100: 0.845, 200: 0.834, 300: 0.833, 500: 0.830}

STUDY = Study(
    title="I-AutoRec, test RMSE by hidden units",
    sources=("Sedhain et al. 2015, figure 2", "Sedhain et al. 2015, deep AutoRec in the text"),
    rows=[
        *(
            Row(
                f"{units} units",
                ("--config=autorec_ml1m", f"--set=hidden={units}", "--baselines="),
                {"rmse": published},
            )
            for units, published in READ_OFF.items()
        ),
        Row("500-250-500", ("--config=autorec_deep_ml1m", "--baselines="), {"rmse": 0.827}),
    ],
    figures=("rmse",),
    facts=("parameters",),
    rounding=0.002,
    curves="figures",
)
