"""Mult-VAE and its rivals on MovieLens-20M and Netflix; bring your own files.

    python -m experiments.reproduce --study=multvae_large --data_dir=DIR

Not run here. The settings are the paper's: 600-200-600, batches of 500, 200 epochs, beta annealed
to .2 over 200,000 updates.
"""

from experiments.studies.multvae_likelihoods_ml1m import FIGURES, PUBLISHED
from experiments.study import Row, Study

ML20M = (
    "--dataset=ml-20m", "--protocol=strong:valid_users=10000,test_users=10000", "--baselines=",
)  # fmt: skip
NETFLIX = (
    "--dataset=netflix", "--protocol=strong:valid_users=40000,test_users=40000", "--baselines=",
)  # fmt: skip
PAPER = ("--batch_size=500", "--learning_rate=0.001", "--schedule=constant", "--epochs=200")
VAE = ("--config=multvae_ml1m", *PAPER, "--set=beta=0.2", "--set=anneal_steps=200000")
DAE = ("--config=multdae_ml1m", *PAPER)
RIVALS = {
    "Mult-DAE": (DAE, (0.387, 0.524, 0.419)),
    "CDAE": (("--config=cdae_ml1m",), (0.391, 0.523, 0.418)),
    "EASE": (("--config=ease_ml1m",), (0.391, 0.521, 0.420)),
    "popularity": (("--model=popularity",), (0.162, 0.235, 0.191)),
}

STUDY = Study(
    title="Mult-VAE and its rivals on larger data (files of your own)",
    sources=(
        "Liang et al. 2018, tables of MovieLens-20M, Netflix and likelihoods",
        "Steck 2019, table of MovieLens-20M and Netflix",
    ),
    rows=[
        *(
            Row(f"Mult-VAE, {name}", (*VAE, *ML20M, f"--set=likelihood={name}"),
                dict(zip(FIGURES, published, strict=True)))
            for name, published in PUBLISHED.items()
        ),
        *(
            Row(name, (*flags, *ML20M), dict(zip(FIGURES, published, strict=True)))
            for name, (flags, published) in RIVALS.items()
        ),
        Row("Mult-VAE, Netflix", (*VAE, *NETFLIX), {"ndcg@100": 0.386}),
        Row("EASE, Netflix", ("--config=ease_ml1m", *NETFLIX), {"ndcg@100": 0.393}),
    ],
    figures=FIGURES,
)  # fmt: skip
