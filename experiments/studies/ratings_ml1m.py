"""Models of ratings on MovieLens-1M: random 90/10, five seeds, each with a split of its own.

    python -m experiments.reproduce --study=ratings_ml1m --data_dir=DIR

One rival of the paper is no model here: LLORMA (.833).
"""

from experiments.study import Row, Study

PUBLISHED = {
    "autorec_ml1m": 0.831,
    "autorec_sigmoid_sigmoid_ml1m": 0.836,
    "autorec_sigmoid_identity_ml1m": 0.852,
    "autorec_identity_identity_ml1m": 0.872,
    "autorec_user_ml1m": 0.874,
    "pmf_ml1m": 0.845,
    "rbm_ml1m": 0.854,
    "rbm_user_ml1m": 0.881,
}
SEEDS = ("--baselines=", "--seeds=5")

STUDY = Study(
    title="MovieLens-1M ratings, random 90/10, five seeds",
    sources=("Sedhain et al. 2015, tables 1a and 1c",),
    rows=[
        *(Row(name, (f"--config={name}", *SEEDS), {"rmse": r}) for name, r in PUBLISHED.items()),
        Row(
            "bias",
            ("--model=bias", "--dataset=ml-1m", "--protocol=random_ratings:test=0.1", *SEEDS),
        ),
    ],
    figures=("rmse",),
    curves="figures",
)
