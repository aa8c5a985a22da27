"""ELSA on MovieLens-1M clicks, strong generalisation, 500 + 1000 users; a minute.

    python -m experiments.train --config=elsa_ml1m --data_dir=DIR

NDCG@100 .418 on the 1,000 test users (EASE: .410). No published figure.
"""

RECIPE = {
    "model": "elsa",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "epochs": 20,
    "batch_size": 100,
    "learning_rate": 1e-2,
    "schedule": "cosine",
    "evaluate_every": 2,
    "set": {"latent": 256},
}
