"""EASE on MovieLens-1M clicks by its only hyper-parameter, lambda.

    python -m experiments.reproduce --study=ease_l2_ml1m --data_dir=DIR
"""

from experiments.study import Row, Study

STUDY = Study(
    title="EASE by lambda",
    sources=("Steck 2019, lambda",),
    rows=[
        Row(f"lambda {l2}", ("--config=ease_ml1m", f"--set=l2={l2}", "--baselines="))
        for l2 in (50, 100, 200, 500, 1000, 2000)
    ],
    figures=("ndcg@100", "recall@20", "recall@50"),
    curves="figures",
)
