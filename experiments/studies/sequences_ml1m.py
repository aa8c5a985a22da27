"""The SVAE paper's table on MovieLens-1M: whole users held out, their later clicks predicted.

    python -m experiments.reproduce --study=sequences_ml1m --data_dir=DIR

The paper's 750 test users are another draw.
"""

from experiments.study import Row, Study

PROTOCOL = "--protocol=strong_by_time:threshold=3.5,valid_users=750,test_users=750"
FIGURES = ("ndcg@10", "ndcg@100", "recall_all@10", "recall_all@100", "precision@10",
           "precision@100")  # fmt: skip
PUBLISHED = {
    "SVAE": (0.1781, 0.2993, 0.1248, 0.4909, 0.1440, 0.0693),
    "Mult-VAE": (0.1169, 0.2301, 0.0912, 0.4143, 0.0902, 0.0539),
    "Mult-VAE, random fold-in": (0.2782, 0.3979, 0.1746, 0.5970, 0.2301, 0.0959),
    "popularity": (0.0424, 0.1130, 0.0341, 0.2215, 0.0398, 0.0314),
}
RUNS = {
    "SVAE": ("--config=svae_ml1m",),
    "Mult-VAE": ("--config=multvae_time_ml1m",),
    "Mult-VAE, random fold-in": ("--config=multvae_random_ml1m",),
    "popularity": ("--model=popularity", "--dataset=ml-1m", PROTOCOL),
}

STUDY = Study(
    title="MovieLens-1M, fold-in of the earlier clicks (or of random ones)",
    sources=("Sachdeva et al. 2019, table 3",),
    rows=[
        Row(name, (*flags, "--baselines="), dict(zip(FIGURES, PUBLISHED[name], strict=True)))
        for name, flags in RUNS.items()
    ],
    figures=FIGURES,
    rounding=0.00005,
)
