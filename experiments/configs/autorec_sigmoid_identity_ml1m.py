"""I-AutoRec on MovieLens-1M with sigmoid output (f) and identity hidden (g) activation.

    python -m experiments.train --config=autorec_sigmoid_identity_ml1m --data_dir=DIR --seeds=5

Expected: RMSE .855 +- .002 over five seeds; the paper's is .852 (Sedhain et al. 2015, table 1).
"""

from experiments.configs import autorec_identity_identity_ml1m

RECIPE = autorec_identity_identity_ml1m.RECIPE | {
    "set": {"hidden": (500,), "activation": "identity", "output_activation": "sigmoid", "l2": 3000},
}
