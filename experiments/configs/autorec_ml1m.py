"""I-AutoRec on MovieLens-1M, random 90/10 split, the paper's best pair of activations.

    python -m experiments.train --config=autorec_ml1m --data_dir=DIR --seeds=5

Expected: RMSE .833 +- .002 over five seeds, each with a split of its own; the paper's is .831
(Sedhain et al. 2015, table 1).
"""

from typing import Any

RECIPE: dict[str, Any] = {
    "model": "autorec",
    "dataset": "ml-1m",
    "protocol": "random_ratings",
    "epochs": 40,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "evaluate_every": 4,
    "set": {"hidden": (500,), "activation": "sigmoid", "output_activation": "identity", "l2": 200},
}
