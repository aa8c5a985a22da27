"""RVAE on MovieLens-1M clicks in time order, SVAE's protocol: 750 + 750 users held out.

    python -m experiments.train --config=rvae_ml1m --data_dir=DIR

NDCG@100 .184, recall of all held-out items @100 .312, precision@100 .054 on the test users, one
seed, in 22 minutes on a busy machine; still rising after 30 epochs. No published figure.
`svae_ml1m` and `multvae_time_ml1m` are scored on the same users.
"""

RECIPE = {
    "model": "rvae",
    "dataset": "ml-1m",
    "protocol": "strong_by_time:threshold=3.5,valid_users=750,test_users=750",
}
