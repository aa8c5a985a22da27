"""Mult-VAE on MovieLens-1M clicks as in the SVAE paper, but with a random 80% folded in.

    python -m experiments.train --config=multvae_random_ml1m --data_dir=DIR

Published (Sachdeva et al. 2019; their own draw of 750 test users): NDCG@100 .3979, recall of all
held-out items @100 .5970, precision@100 .0959.
"""

RECIPE = {
    "model": "multvae",
    "dataset": "ml-1m",
    "protocol": "strong:threshold=3.5,valid_users=750,test_users=750",
    "epochs": 40,
    "batch_size": 50,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "evaluate_every": 4,
    "set": {"hidden": (600,), "latent": 200, "dropout": 0.5, "beta": 0.5, "anneal_steps": 9000},
}
