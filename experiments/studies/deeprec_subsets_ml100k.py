"""Subsets by time of MovieLens-100K: users, items and ratings before a date, ratings after it.

    python -m experiments.reproduce --study=deeprec_subsets_ml100k --data_dir=DIR

The published counts are of Netflix, for which `deeprec_netflix` has the commands. MovieLens-100K
covers seven months, so there is no subset of a year. The model is `bias`, which takes seconds.
"""

from experiments.study import Row, Study

STARTS = {"3 months": "1998-01-01", "6 months": "1997-10-01", "full": "1997-09-01"}
PROTOCOLS = {
    name: f"--protocol=global_time:start={start},cut=1998-04-01,end=1998-05-01,halve=true"
    for name, start in STARTS.items()
}
COUNTS = ("train_users", "train_items", "train_entries", "heldout_entries")
NETFLIX = {
    "3 months": dict(zip(COUNTS, (311_315, 17_736, 13_675_402, 2_082_559), strict=True)),
    "6 months": dict(zip(COUNTS, (390_795, 17_757, 29_179_009, 2_175_535), strict=True)),
    "1 year": dict(zip(COUNTS, (345_855, 16_907, 41_451_832, 3_888_684), strict=True)),
    "full": dict(zip(COUNTS, (477_412, 17_768, 98_074_901, 2_250_481), strict=True)),
}

STUDY = Study(
    title="Subsets of MovieLens-100K by time",
    sources=("DeepRec report, table 3.2", "Kuchaiev & Ginsburg 2017, table 1"),
    assumed="the report numbers its tables and figures in the order of the paper",
    rows=[
        Row(name, ("--model=bias", "--dataset=ml-100k", protocol, "--baselines="), NETFLIX[name])
        for name, protocol in PROTOCOLS.items()
    ],
    figures=("rmse",),
    facts=COUNTS,
    comparable="other data (Netflix)",
    curves="figures",
)
