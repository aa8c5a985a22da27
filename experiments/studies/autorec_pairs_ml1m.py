"""I-AutoRec on MovieLens-1M: identity or sigmoid as output (f) and hidden (g), five splits.

    python -m experiments.reproduce --study=autorec_pairs_ml1m --data_dir=DIR
"""

from experiments.study import Row, Study

PAIRS = {  # (f, g): recipe, published RMSE
    "identity, identity": ("autorec_identity_identity_ml1m", 0.872),
    "sigmoid, identity": ("autorec_sigmoid_identity_ml1m", 0.852),
    "identity, sigmoid": ("autorec_ml1m", 0.831),
    "sigmoid, sigmoid": ("autorec_sigmoid_sigmoid_ml1m", 0.836),
}

STUDY = Study(
    title="I-AutoRec, test RMSE by (f, g)",
    sources=("Sedhain et al. 2015, table 1b",),
    rows=[
        Row(pair, (f"--config={recipe}", "--seeds=5", "--baselines="), {"rmse": published})
        for pair, (recipe, published) in PAIRS.items()
    ],
    figures=("rmse",),
)
