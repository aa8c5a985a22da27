"""Item-kNN on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; seconds.

    python -m experiments.train --config=itemknn_ml1m --data_dir=DIR

NDCG@100 .356 on the 1,000 test users (EASE: .410). No published figure.
"""

RECIPE = {
    "model": "itemknn",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"neighbours": 100, "shrinkage": 10.0},
}
