"""CDAE's four pairs of units and losses, M1 to M4, on MovieLens-1M clicks.

    python -m experiments.reproduce --study=cdae_units_ml1m --data_dir=DIR

K is 50, as in the paper, which has no figure on MovieLens-1M.
"""

from experiments.study import Row, Study

SMALL = ("--config=cdae_ml1m", "--set=latent=50", "--epochs=20", "--baselines=")
SQUARE = "--set=loss=square"

STUDY = Study(
    title="CDAE by units and loss",
    sources=("Wu et al. 2016, M1 to M4",),
    rows=[
        Row(
            "M1: identity, identity, square",
            (*SMALL, "--set=latent_activation=identity", "--set=output_activation=identity",
             SQUARE, "--learning_rate=0.1"),
        ),
        Row("M2: identity, sigmoid, logistic", (*SMALL, "--set=latent_activation=identity")),
        Row(
            "M3: sigmoid, identity, square",
            (*SMALL, "--set=output_activation=identity", SQUARE, "--learning_rate=0.2"),
        ),
        Row("M4: sigmoid, sigmoid, logistic", SMALL),
    ],
    figures=("ndcg@100", "recall@20", "map@100"),
)  # fmt: skip
