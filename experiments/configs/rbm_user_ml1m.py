"""U-RBM on MovieLens-1M, random 90/10 split.

    python -m experiments.train --config=rbm_user_ml1m --data_dir=DIR --seeds=5

RMSE .873, the mean of five seeds. Expected: .881 (Sedhain et al. 2015, table 1). `l2` was chosen
among 1 and 10 on the validation part of the first split.
"""

from experiments.configs import rbm_ml1m

RECIPE = rbm_ml1m.RECIPE | {
    "epochs": 30,
    "evaluate_every": 3,
    "set": {"latent": 100, "l2": 10.0, "item_based": False},
}
