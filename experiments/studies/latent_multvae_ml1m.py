"""Mult-VAE by the activations of its hidden layers and of its code, MovieLens-1M clicks.

    python -m experiments.reproduce --study=latent_multvae_ml1m --data_dir=DIR

All other settings are those of the recipe, chosen with tanh and a linear code.
"""

from experiments.study import Row, Study

PAIRS = (  # of hidden layers, of the code
    ("tanh", "identity"), ("tanh", "tanh"), ("tanh", "sigmoid"),
    ("sigmoid", "identity"), ("sigmoid", "sigmoid"),
)  # fmt: skip

STUDY = Study(
    title="Mult-VAE by activations",
    sources=("Susman 2024, its claim of sigmoid-like activations",),
    rows=[
        Row(
            f"{hidden}_{latent}",
            (
                "--config=multvae_ml1m",
                f"--set=activation={hidden}",
                f"--set=latent_activation={latent}",
                "--baselines=",
            ),
        )
        for hidden, latent in PAIRS
    ],
    figures=("ndcg@100", "recall@20", "recall@50"),
    pairs=[(f"{hidden}_{latent}", "tanh_identity") for hidden, latent in PAIRS[1:]],
)
