"""SDAE (I-600-200-600-I) on MovieLens-1M clicks, strong generalisation; two minutes.

    python -m experiments.train --config=sdae_ml1m --data_dir=DIR

NDCG@100 .407 on the 1,000 test users (EASE: .410). No published figure.
"""

RECIPE = {
    "model": "sdae",
    "dataset": "ml-1m",
    "protocol": "strong:valid_users=500,test_users=1000",
    "epochs": 40,
    "batch_size": 50,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "evaluate_every": 4,
    "set": {"hidden": (600,), "latent": 200, "likelihood": "multinomial", "activation": "tanh"},
}
