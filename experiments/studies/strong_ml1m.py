"""Models of clicks on MovieLens-1M by strong generalisation: 500 + 1,000 users held out.

    python -m experiments.reproduce --study=strong_ml1m --data_dir=DIR
"""

from experiments.study import Row, Study

PROTOCOL = "--protocol=strong:valid_users=500,test_users=1000"
RECIPES = (
    "elsa_ml1m", "mdae_ml1m", "ease_dropout_ml1m", "ials_ml1m", "ease_ml1m", "vae_ml1m",
    "sdae_ml1m", "multdae_ml1m", "ease_nonnegative_ml1m", "multvae_ml1m", "feature_ae_ml1m",
    "cdae_ml1m", "dae_ml1m", "itemknn_ml1m", "recvae_ml1m", "factor_ae_ml1m",
)  # fmt: skip

STUDY = Study(
    title="MovieLens-1M clicks, users held out",
    rows=[
        *(Row(name, (f"--config={name}", PROTOCOL, "--baselines=")) for name in RECIPES),
        Row("popularity", ("--model=popularity", "--dataset=ml-1m", PROTOCOL, "--baselines=")),
        Row(
            "multvae_ml1m.seeds5",
            ("--config=multvae_ml1m", PROTOCOL, "--baselines=", "--seeds=5"),
        ),
    ],
    figures=("ndcg@100", "recall@20", "recall@50"),
    curves="figures",
    pairs=[("ease_ml1m", "multvae_ml1m")],
)
