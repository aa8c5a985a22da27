"""U-AutoRec on MovieLens-1M, random 90/10 split.

    python -m experiments.train --config=autorec_user_ml1m --data_dir=DIR --seeds=5

Expected: RMSE .878 +- .001 over five seeds; the paper's is .874 (Sedhain et al. 2015, table 1).
"""

from experiments.configs import autorec_ml1m

RECIPE = autorec_ml1m.RECIPE | {
    "epochs": 30,
    "evaluate_every": 3,
    "set": {"hidden": (500,), "activation": "sigmoid", "item_based": False, "l2": 250},
}
