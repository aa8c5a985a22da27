"""iALS on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; seconds.

    python -m experiments.train --config=ials_ml1m --data_dir=DIR

NDCG@100 .420 on the 1,000 test users (EASE: .410). No published figure.
"""

RECIPE = {
    "model": "ials",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"latent": 256, "l2": 0.009, "alpha0": 0.15, "sweeps": 8},
}
