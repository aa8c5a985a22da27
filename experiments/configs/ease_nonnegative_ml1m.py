"""EASE with non-negative weights on MovieLens-1M clicks, strong generalisation; a minute.

    python -m experiments.train --config=ease_nonnegative_ml1m --data_dir=DIR

NDCG@100 .403 on the 1,000 test users (`ease_ml1m`: .410). The 2019 paper, too, finds a loss of
accuracy.
"""

RECIPE = {
    "model": "ease",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"l2": 500.0, "dropout": 0.0, "nonnegative": True},
}
