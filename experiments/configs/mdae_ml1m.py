"""mDAE on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; seconds.

    python -m experiments.train --config=mdae_ml1m --data_dir=DIR

NDCG@100 .416 on the 1,000 test users (EASE: .410). No published figure.
"""

RECIPE = {
    "model": "mdae",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"depth": 1, "corruption": 0.3, "l2": 500.0},
}
