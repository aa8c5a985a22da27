"""EASE on MovieLens-1M clicks with and without negative weights.

    python -m experiments.reproduce --study=ease_negative_ml1m --data_dir=DIR

In the paper, on larger data, forbidding negative weights costs accuracy.
"""

from experiments.study import Row, Study

STUDY = Study(
    title="EASE with and without negative weights",
    sources=("Steck 2019, ablation of negative weights",),
    rows=[
        Row("any weights", ("--config=ease_ml1m", "--baselines=")),
        Row("weights of at least 0", ("--config=ease_nonnegative_ml1m", "--baselines=")),
    ],
    figures=("ndcg@100", "recall@20", "recall@50"),
    curves="figures",
)
