"""Mult-DAE (I-200-I) on MovieLens-1M clicks, strong generalisation, 500 + 1000 users.

    python -m experiments.train --config=multdae_ml1m --data_dir=DIR --seeds=5

No published figure. The table compares it with EASE on the same split.
"""

RECIPE = {
    "model": "multdae",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "epochs": 40,
    "batch_size": 100,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "evaluate_every": 4,
    "set": {"hidden": (), "latent": 200, "dropout": 0.5, "l2": 0.2},
}
