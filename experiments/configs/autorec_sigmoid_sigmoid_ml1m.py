"""I-AutoRec on MovieLens-1M with sigmoid output (f) and sigmoid hidden (g) activation.

    python -m experiments.train --config=autorec_sigmoid_sigmoid_ml1m --data_dir=DIR --seeds=5

Expected: RMSE .839 +- .002 over five seeds; the paper's is .836 (Sedhain et al. 2015, table 1).
"""

from experiments.configs import autorec_ml1m

RECIPE = autorec_ml1m.RECIPE | {
    "epochs": 30,
    "evaluate_every": 3,
    "set": {"hidden": (500,), "activation": "sigmoid", "output_activation": "sigmoid", "l2": 200},
}
