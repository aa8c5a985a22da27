"""The article's six models on MovieLens-1M by honest protocols: seen items masked, no test leak.

    python -m experiments.reproduce --study=article_ml1m --data_dir=DIR

The article took 8 h 41 min for its own table, whose protocols leak (`article_leaky_ml1m`).
"""

from experiments.study import Row, Study

STUDY = Study(
    title="Six autoencoders on MovieLens-1M, test data never seen",
    rows=[
        Row("I-AutoRec", ("--config=autorec_ml1m",)),
        Row("U-AutoRec", ("--config=autorec_user_ml1m",)),
        Row("DeepRec", ("--config=deeprec_ml1m",)),
        Row("CDAE", ("--config=cdae_ml1m",)),
        Row("Mult-VAE", ("--config=multvae_ml1m", "--protocol=per_user_holdout")),
        Row("SVAE", ("--config=svae_ml1m",)),
        Row("EASE", ("--config=ease_ml1m", "--protocol=per_user_holdout")),
    ],
    figures=("rmse", "ndcg@100", "recall@100", "precision@100"),
    curves="",
)
