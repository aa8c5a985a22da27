"""I-AutoRec on MovieLens-1M: identity or sigmoid as output (f) and hidden (g), five splits.

    python -m experiments.reproduce --study=autorec_pairs_ml1m --data_dir=DIR

Source: Sedhain et al. 2015, table 1 (right).
"""

from experiments.study import Row, Study

STUDY = Study(
    title="I-AutoRec, test RMSE by (f, g)",
    rows=[
        Row(
            "identity, identity",
            ("--config=autorec_identity_identity_ml1m", "--seeds=5"),
            {"rmse": 0.872},
        ),
        Row(
            "sigmoid, identity",
            ("--config=autorec_sigmoid_identity_ml1m", "--seeds=5"),
            {"rmse": 0.852},
        ),
        Row("identity, sigmoid", ("--config=autorec_ml1m", "--seeds=5"), {"rmse": 0.831}),
        Row(
            "sigmoid, sigmoid",
            ("--config=autorec_sigmoid_sigmoid_ml1m", "--seeds=5"),
            {"rmse": 0.836},
        ),
    ],
    figures=("rmse",),
)
