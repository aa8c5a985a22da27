"""I-AutoRec on MovieLens-1M with identity output (f) and identity hidden (g) activation.

    python -m experiments.train --config=autorec_identity_identity_ml1m --data_dir=DIR --seeds=5

Expected: RMSE .868. The middle of the scale is subtracted from the ratings (`centre`), so this is
another model than the paper's, whose RMSE is .872 (Sedhain et al. 2015, table 1). That one is
`--set centre=false`; it needs many more epochs.
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
