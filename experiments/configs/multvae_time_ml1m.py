"""Mult-VAE on MovieLens-1M clicks in time order, SVAE's protocol: the first 80% folded in.

    python -m experiments.train --config=multvae_time_ml1m --data_dir=DIR

N@100 .231, R@100 of all held-out .414, P@100 .061 on the 750 test users, one seed; a minute and a
half. Three other splits (`split_seed`) gave N@100 .228, .223 and .227; with widths of 600 and 200
the four gave .228, .228, .222 and .226. The wider net did better on validation in those three, not
in this one.
Published (Sachdeva et al. 2019; 750 test users of their own draw): N@100 .2301, R@100 of all
held-out .4143, P@100 .0539.
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
