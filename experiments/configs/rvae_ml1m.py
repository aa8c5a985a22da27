"""RVAE on MovieLens-1M clicks in time order, SVAE's protocol: 750 + 750 users held out.

    python -m experiments.train --config=rvae_ml1m --data_dir=DIR

NDCG@100 .190, recall of all held-out items @100 .336, precision@100 .056 on the test users, one
seed, in four minutes. No published figure.
`svae_ml1m` and `multvae_time_ml1m` are scored on the same users.
"""

RECIPE = {
    "model": "rvae",
    "dataset": "ml-1m",
    "protocol": "strong_by_time:threshold=3.5,valid_users=750,test_users=750",
}
