"""DeepRec on Netflix, with the published figures; bring your own files.

    python -m experiments.reproduce --study=deeprec_netflix --data_dir=DIR

Not run here, because the files are no longer published.
"""

from experiments.studies.deeprec_depth_ml1m import PUBLISHED, hidden
from experiments.studies.deeprec_subsets_ml100k import COUNTS, NETFLIX
from experiments.study import Row, Study


def subset(start: str, cut: str, end: str) -> str:
    """Spell the protocol of a subset by time: training, then held out, halved at random."""
    return f"--protocol=global_time:start={start},cut={cut},end={end},halve=true"


MONTHS_3 = subset("2005-09-01", "2005-12-01", "2006-01-01")
MONTHS_6 = subset("2005-06-01", "2005-12-01", "2006-01-01")
YEAR = subset("2004-06-01", "2005-06-01", "2005-07-01")
FULL = subset("1999-12-01", "2005-12-01", "2006-01-01")
DEEPREC = ("--config=deeprec_netflix", "--baselines=")
PLAIN = (*DEEPREC, "--learning_rate=0.001", "--set=refeeds=0", "--set=dropout=0")
ITEMS = ("--config=autorec_ml1m", "--dataset=netflix", "--baselines=")
USERS = ("--config=autorec_user_ml1m", "--dataset=netflix", "--baselines=")


STUDY = Study(
    title="DeepRec on Netflix (files of your own)",
    sources=(
        "DeepRec report, tables 3.2, 3.5 and 3.8, on Netflix",
        "Kuchaiev & Ginsburg 2017, tables 1 to 4",
    ),
    assumed="depth was measured on the full data, as its parameters are of 17,768 items",
    rows=[
        Row("DeepRec, 3 months", (*DEEPREC, MONTHS_3),
            {"rmse": 0.9373, **NETFLIX["3 months"]}),
        Row("DeepRec, 6 months",
            (*DEEPREC, MONTHS_6, "--set=hidden=256,256,512", "--set=dropout=0.8"),
            {"rmse": 0.9207, **NETFLIX["6 months"]}),
        Row("DeepRec, 1 year", (*DEEPREC, YEAR, "--set=hidden=256,256,512", "--set=dropout=0.8"),
            {"rmse": 0.9225, **NETFLIX["1 year"]}),
        Row("DeepRec, full", (*DEEPREC, FULL, "--set=hidden=512,512,1024", "--set=dropout=0.8"),
            {"rmse": 0.9099, **NETFLIX["full"]}),
        Row("I-AutoRec, 3 months", (*ITEMS, MONTHS_3), {"rmse": 0.9778}),
        Row("U-AutoRec, 3 months", (*USERS, MONTHS_3), {"rmse": 0.9836}),
        Row("I-AutoRec, full", (*ITEMS, FULL), {"rmse": 0.9364}),
        Row("U-AutoRec, full", (*USERS, FULL), {"rmse": 0.9647}),
        *(
            Row(f"{layers} layers", (*PLAIN, FULL, hidden(layers)),
                {"rmse": rmse, "parameters": parameters})
            for layers, (rmse, parameters) in PUBLISHED.items()
        ),
        Row("2 layers, width 256", (*PLAIN, FULL, "--set=hidden=256"), {"parameters": 9_115_240}),
    ],
    figures=("rmse",),
    facts=("parameters", *COUNTS),
    rounding=0.00005,
)  # fmt: skip
