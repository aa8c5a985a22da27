"""DeepRec on MovieLens-1M, the earliest 70% of each user's ratings for training.

    python -m experiments.train --config=deeprec_ml1m --data_dir=DIR
    python -m experiments.train --config=deeprec_ml1m --data_dir=DIR --protocol=random_ratings

RMSE .8889 on one seed and split, against .9217 of `bias`. Without the re-feed after each step
(`--set refeeds=0`) it is .8912 in half the time. No published figure.
"""

from typing import Any

RECIPE: dict[str, Any] = {
    "model": "deeprec",
    "dataset": "ml-1m",
    "protocol": "per_user_time:train=0.7",
    "epochs": 100,
    "batch_size": 128,
    "optimiser": "sgd",
    "momentum": 0.9,
    "learning_rate": 0.02,
    "evaluate_every": 5,
    "set": {"hidden": (128, 256, 256), "dropout": 0.65, "refeeds": 1},
}
