"""Mult-VAE on MovieLens-1M clicks in time order, SVAE's protocol: the first 80% folded in.

    python -m experiments.train --config=multvae_time_ml1m --data_dir=DIR

NDCG@100 .231, recall of all held-out items @100 .414, precision@100 .061 on the 750 test users, one
seed, in a minute and a half. Three other splits (`split_seed`) gave NDCG@100 .228, .223 and .227.
With widths of 600 and 200, the four splits gave .228, .228, .222 and .226. On validation, the wider
network was better on the three other splits, but not on this one.
Published (Sachdeva et al. 2019; their own draw of 750 test users): NDCG@100 .2301, recall of all
held-out items @100 .4143, precision@100 .0539.
"""

RECIPE = {
    "model": "multvae",
    "dataset": "ml-1m",
    "protocol": "strong_by_time:threshold=3.5,valid_users=750,test_users=750",
    "epochs": 40,
    "batch_size": 50,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "evaluate_every": 4,
    "set": {"hidden": (1000,), "latent": 400, "dropout": 0.5, "beta": 0.5, "anneal_steps": 9000},
}
