"""DeepRec on three months of the Netflix Prize, split as in the paper; bring your own files.

    python -m experiments.train --config=deeprec_netflix --data_dir=DIR

Expected: RMSE .9373 (Kuchaiev & Ginsburg 2017, table 3). The other subsets of the paper (.9207,
.9225, .9099):

    ... --protocol=global_time:start=2005-06-01,cut=2005-12-01,end=2006-01-01,halve=true
        --set hidden=256,256,512 --set dropout=0.8
    ... --protocol=global_time:start=2004-06-01,cut=2005-06-01,end=2005-07-01,halve=true
        --set hidden=256,256,512 --set dropout=0.8
    ... --protocol=global_time:start=1999-12-01,cut=2005-12-01,end=2006-01-01,halve=true
        --set hidden=512,512,1024 --set dropout=0.8

The learning rate is halved after the epochs at which the authors' code halves it.
Not run, because the files are no longer published.
"""

from typing import Any

RECIPE: dict[str, Any] = {
    "model": "deeprec",
    "dataset": "netflix",
    "protocol": "global_time:start=2005-09-01,cut=2005-12-01,end=2006-01-01,halve=true",
    "epochs": 100,
    "batch_size": 128,
    "optimiser": "sgd",
    "momentum": 0.9,
    "learning_rate": 5e-3,
    "schedule": "step",
    "milestones": (24, 36, 48, 66, 72),
    "gamma": 0.5,
    "set": {"hidden": (128, 256, 256), "dropout": 0.65, "refeeds": 1},
}
