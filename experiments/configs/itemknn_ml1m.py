"""Item-kNN on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; seconds.

    python -m experiments.train --config=itemknn_ml1m --data_dir=DIR

No published figure; EASE on the same split stands beside it in the table.
"""

RECIPE = {
    "model": "itemknn",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"neighbours": 100, "shrinkage": 10.0},
}
