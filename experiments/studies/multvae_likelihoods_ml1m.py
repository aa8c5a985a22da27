"""Mult-VAE's likelihoods on MovieLens-1M clicks: multinomial, Gaussian and logistic.

    python -m experiments.reproduce --study=multvae_likelihoods_ml1m --data_dir=DIR

The published figures, on MovieLens-20M, and the commands for it are in `multvae_large`.
"""

from experiments.study import Row, Study

PUBLISHED = {  # MovieLens-20M: recall@20, recall@50, ndcg@100
    "multinomial": (0.395, 0.537, 0.426),
    "gaussian": (0.383, 0.523, 0.415),
    "logistic": (0.388, 0.523, 0.419),
}
FIGURES = ("recall@20", "recall@50", "ndcg@100")

STUDY = Study(
    title="Mult-VAE by likelihood",
    sources=("Liang et al. 2018, table of likelihoods",),
    rows=[
        Row(
            name,
            ("--config=multvae_ml1m", f"--set=likelihood={name}", "--baselines="),
            dict(zip(FIGURES, published, strict=True)),
        )
        for name, published in PUBLISHED.items()
    ],
    figures=FIGURES,
    comparable="other data (MovieLens-20M)",
)
