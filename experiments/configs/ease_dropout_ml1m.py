"""EASE with its penalty in proportion to an item's clicks, MovieLens-1M, strong generalisation.

    python -m experiments.train --config=ease_dropout_ml1m --data_dir=DIR

Seconds. No published figure; plain EASE on the same split is `ease_ml1m`.
"""

RECIPE = {
    "model": "ease",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"l2": 500.0, "dropout": 0.3},
}
