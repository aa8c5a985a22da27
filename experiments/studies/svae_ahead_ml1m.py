"""SVAE on MovieLens-1M by k, the items ahead that a step predicts.

    python -m experiments.reproduce --study=svae_ahead_ml1m --data_dir=DIR

The paper chooses k = 4 on MovieLens-1M.
"""

from experiments.study import Row, Study

STUDY = Study(
    title="SVAE by k",
    sources=("Sachdeva et al. 2019, figure by k",),
    rows=[
        Row(f"k = {k}", ("--config=svae_ml1m", f"--set=ahead={k}", "--baselines="))
        for k in (1, 2, 4, 8)
    ],
    figures=("ndcg@100", "recall_all@100", "precision@100"),
    curves="figures",
)
