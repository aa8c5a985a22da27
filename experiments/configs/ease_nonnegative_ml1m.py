"""EASE with non-negative weights on MovieLens-1M clicks, strong generalisation; half a minute.

    python -m experiments.train --config=ease_nonnegative_ml1m --data_dir=DIR

No published figure; EASE on the same split stands beside it in the table.
"""

RECIPE = {
    "model": "ease",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"l2": 500.0, "nonnegative": True},
}
