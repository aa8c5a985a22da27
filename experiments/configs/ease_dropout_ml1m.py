"""EASE with a penalty proportional to an item's clicks, MovieLens-1M, strong generalisation.

    python -m experiments.train --config=ease_dropout_ml1m --data_dir=DIR

NDCG@100 .414 on the 1,000 test users, in seconds (`ease_ml1m`: .410). No published figure.
"""

RECIPE = {
    "model": "ease",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"l2": 500.0, "dropout": 0.3},
}
