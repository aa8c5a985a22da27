"""SVAE on MovieLens-1M clicks in time order, its paper's protocol: 750 + 750 users held out.

    python -m experiments.train --config=svae_ml1m --data_dir=DIR

N@100 .312, R@100 of all held-out .492, P@100 .071 on the 750 test users with seed 0; .314, .488 and
.071 with seed 1; three minutes.
Published on such a split (theirs is random): N@100 .2993, R@100 of all held-out .4909, P@100 .0693.
"""

RECIPE = {
    "model": "svae",
    "dataset": "ml-1m",
    "protocol": "strong_by_time:threshold=3.5,valid_users=750,test_users=750",
}
