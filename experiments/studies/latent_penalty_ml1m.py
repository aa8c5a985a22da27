"""Factor AE with and without the order penalty, by the dot product of codes, MovieLens-1M clicks.

    python -m experiments.reproduce --study=latent_penalty_ml1m --data_dir=DIR

The code has 32 coordinates. The penalty is that of `aerec.properties.order_penalty`.
"""

from experiments.study import Row, Study

NAMES, WEIGHTS = ("sigmoid", "tanh"), (0, 0.1, 1)

STUDY = Study(
    title="Factor AE with the order penalty",
    sources=("Susman 2024, figure 1",),
    rows=[
        Row(
            f"{name}_{weight}",
            (
                "--config=factor_ae_ml1m",
                "--set=latent=32",
                f"--set=latent_activation={name}",
                "--set=similarity=dot",
                "--set=tied=false",
                f"--order_penalty={weight}",
                "--baselines=",
            ),
        )
        for name in NAMES
        for weight in WEIGHTS
    ],
    figures=("ndcg@100", "recall@20", "recall@50"),
    pairs=[(f"{name}_{weight}", f"{name}_0") for name in NAMES for weight in WEIGHTS[1:]],
)
