"""AutoRec on MovieLens-10M and Netflix, the larger data of its paper; bring your own files.

    python -m experiments.reproduce --study=autorec_large --data_dir=DIR

Not run here: the files of Netflix are no longer published.
"""

from experiments.study import Row, Study

ITEMS, USERS = "--config=autorec_ml1m", "--config=autorec_user_ml1m"

STUDY = Study(
    title="AutoRec on larger data (files of your own)",
    sources=("Sedhain et al. 2015, tables 1a and 1c, MovieLens-10M and Netflix",),
    rows=[
        Row("I-AutoRec, ML-10M", (ITEMS, "--dataset=ml-10m", "--baselines="), {"rmse": 0.782}),
        Row("U-AutoRec, ML-10M", (USERS, "--dataset=ml-10m", "--baselines="), {"rmse": 0.867}),
        Row("I-AutoRec, Netflix", (ITEMS, "--dataset=netflix", "--baselines="), {"rmse": 0.823}),
    ],
    figures=("rmse",),
)
