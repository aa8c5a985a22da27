"""Deep I-AutoRec (500-250-500, greedy pre-training) on MovieLens-1M, random 90/10 split.

    python -m experiments.train --config=autorec_deep_ml1m --data_dir=DIR

Expected: RMSE .842; the paper's is .827 (Sedhain et al. 2015, text). Of the lambda 20, 40, 60, 80
and 100, 60 is the best on validation.
"""

from experiments.configs import autorec_ml1m

RECIPE = autorec_ml1m.RECIPE | {
    "epochs": 100,
    "learning_rate": 2e-3,
    "set": {"hidden": (500, 250, 500), "activation": "sigmoid", "l2": 60, "pretrain_steps": 260},
}
