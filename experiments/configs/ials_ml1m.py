"""iALS on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; half a minute.

    python -m experiments.train --config=ials_ml1m --data_dir=DIR

NDCG@100 .411 on the 1,000 test users (EASE: .410). No published figure.
"""

RECIPE = {
    "model": "ials",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "set": {"latent": 64, "l2": 30.0, "alpha": 3.0, "sweeps": 10},
}
