"""SVAE with another seed, with half of the steps scored, and with one code; MovieLens-1M.

    python -m experiments.reproduce --study=svae_variants_ml1m --data_dir=DIR

The test users are those of `sequences_ml1m`.
"""

from experiments.study import Row, Study

STUDY = Study(
    title="SVAE and its variants",
    rows=[
        Row("svae_ml1m.seed1", ("--config=svae_ml1m", "--seed=1", "--baselines=")),
        Row("svae_half_ml1m", ("--config=svae_half_ml1m", "--baselines=")),
        Row("svae_half_ml1m.seed1", ("--config=svae_half_ml1m", "--seed=1", "--baselines=")),
        Row("rvae_ml1m", ("--config=rvae_ml1m", "--baselines=")),
    ],
    figures=("ndcg@100", "recall_all@100", "precision@100"),
)
