"""The SVAE paper's table on MovieLens-1M: whole users held out, their later clicks predicted.

    python -m experiments.reproduce --study=sequences_ml1m --data_dir=DIR

Source: Sachdeva et al. 2019, table 3.
"""

from experiments.study import Row, Study

PROTOCOL = "--protocol=strong_by_time:threshold=3.5,valid_users=750,test_users=750"

STUDY = Study(
    title="MovieLens-1M, fold-in of the earlier clicks (or of random ones)",
    rows=[
        Row(
            "SVAE",
            ("--config=svae_ml1m",),
            {"ndcg@100": 0.2993, "recall_all@100": 0.4909, "precision@100": 0.0693},
        ),
        Row("SVAE, half of the steps scored", ("--config=svae_half_ml1m",)),
        Row("RVAE", ("--config=rvae_ml1m",)),
        Row(
            "Mult-VAE",
            ("--config=multvae_time_ml1m",),
            {"ndcg@100": 0.2301, "recall_all@100": 0.4143, "precision@100": 0.0539},
        ),
        Row(
            "Mult-VAE, random fold-in",
            ("--config=multvae_random_ml1m",),
            {"ndcg@100": 0.3979, "recall_all@100": 0.5970, "precision@100": 0.0959},
        ),
        Row(
            "popularity",
            ("--model=popularity", "--dataset=ml-1m", PROTOCOL),
            {"ndcg@100": 0.1130, "recall_all@100": 0.2215, "precision@100": 0.0314},
        ),
    ],
    figures=("ndcg@100", "recall_all@100", "precision@100"),
)
