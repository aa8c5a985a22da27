"""SVAE on MovieLens-1M clicks in time order, the protocol of its paper: 750 + 750 users held out.

    python -m experiments.train --config=svae_ml1m --data_dir=DIR

NDCG@100 .312, recall of all held-out items @100 .492, precision@100 .071 on the 750 test users with
seed 0; .314, .488 and .071 with seed 1. Three minutes.
Published, on a random split of this kind: NDCG@100 .2993, recall of all held-out items @100 .4909,
precision@100 .0693.
"""

RECIPE = {
    "model": "svae",
    "dataset": "ml-1m",
    "protocol": "strong_by_time:threshold=3.5,valid_users=750,test_users=750",
}
