"""Models of clicks on MovieLens-1M for known users: a random 20% of each user held out.

    python -m experiments.reproduce --study=known_ml1m --data_dir=DIR
"""

from experiments.study import Row, Study

RECIPES = (
    "ials_ml1m", "elsa_ml1m", "recvae_ml1m", "multvae_ml1m", "mdae_ml1m", "ease_ml1m",
    "multdae_ml1m", "dae_ml1m", "cdae_ml1m",
)  # fmt: skip

STUDY = Study(
    title="MovieLens-1M clicks, known users",
    rows=[
        Row(name, (f"--config={name}", "--protocol=per_user_holdout", "--baselines="))
        for name in RECIPES
    ],
    figures=("ndcg@100", "recall@20", "recall@50"),
    curves="figures",
)
