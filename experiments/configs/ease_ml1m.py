"""EASE on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; seconds.

    python -m experiments.train --config=ease_ml1m --data_dir=DIR
"""

RECIPE = {
    "model": "ease",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"l2": 500.0, "dropout": 0.0},
}
