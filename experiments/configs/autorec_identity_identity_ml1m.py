"""I-AutoRec on MovieLens-1M with identity output (f) and identity hidden (g) activation.

    python -m experiments.train --config=autorec_identity_identity_ml1m --data_dir=DIR --seeds=5

Expected: RMSE .872 (Sedhain et al. 2015, table 1).
"""

from experiments.configs import autorec_ml1m

RECIPE = autorec_ml1m.RECIPE | {
    "epochs": 20,
    "learning_rate": 5e-4,
    "warmup": 0.1,
    "set": {
        "hidden": (500,),
        "activation": "identity",
        "output_activation": "identity",
        "l2": 1000,
        "centre": True,
    },
}
