"""Models of clicks on MovieLens-1M (ratings of 4 and 5): strong generalisation and hold-out.

    python -m experiments.reproduce --study=clicks_ml1m --data_dir=DIR
"""

from experiments.study import Row, Study

PROTOCOLS = {
    "strong": "--protocol=strong:valid_users=500,test_users=1000",
    "hold-out": "--protocol=per_user_holdout",
}
MODELS = {
    "EASE": "ease_ml1m",
    "Mult-VAE": "multvae_ml1m",
    "Mult-DAE": "multdae_ml1m",
    "CDAE": "cdae_ml1m",
    "DAE": "dae_ml1m",
}

STUDY = Study(
    title="Clicks of MovieLens-1M",
    rows=[
        Row(f"{name}, {label}", (f"--config={recipe}", protocol))
        for label, protocol in PROTOCOLS.items()
        for name, recipe in MODELS.items()
    ],
    figures=("ndcg@100", "recall@20", "recall@50", "precision@100"),
    curves="",
)
