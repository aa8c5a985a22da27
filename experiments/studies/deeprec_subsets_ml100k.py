"""Subsets by time of MovieLens-100K: users, items and ratings before a date, ratings after it.

    python -m experiments.reproduce --study=deeprec_subsets_ml100k --data_dir=DIR

The subsets of Netflix, with the published counts, are in `deeprec_netflix`. MovieLens-100K covers
seven months, so there is no subset of a year. The model is `bias`, which takes seconds.
"""

from experiments.study import Row, Study

STARTS = {"3 months": "1998-01-01", "6 months": "1997-10-01", "full": "1997-09-01"}
PROTOCOLS = {
    name: f"--protocol=global_time:start={start},cut=1998-04-01,end=1998-05-01,halve=true"
    for name, start in STARTS.items()
}

STUDY = Study(
    title="Subsets of MovieLens-100K by time",
    sources=("DeepRec report, table 3.2", "Kuchaiev & Ginsburg 2017, table 1"),
    assumed="the report numbers its tables and figures in the order of the paper",
    rows=[
        Row(name, ("--model=bias", "--dataset=ml-100k", protocol, "--baselines="))
        for name, protocol in PROTOCOLS.items()
    ],
    figures=("rmse",),
    facts=("train_users", "train_items", "train_entries", "heldout_entries"),
    curves="figures",
)
