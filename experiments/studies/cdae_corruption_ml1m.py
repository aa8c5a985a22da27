"""CDAE on MovieLens-1M clicks by the share of the input that is masked in training.

    python -m experiments.reproduce --study=cdae_corruption_ml1m --data_dir=DIR

K is 50, as in the paper, which has no figure on MovieLens-1M.
"""

from experiments.studies.cdae_units_ml1m import SMALL
from experiments.study import Row, Study

STUDY = Study(
    title="CDAE by corruption",
    sources=("Wu et al. 2016, corruption level",),
    rows=[
        Row(f"corruption {share}", (*SMALL, f"--set=corruption={share}"))
        for share in (0.0, 0.2, 0.4, 0.6, 0.8)
    ],
    figures=("ndcg@100", "recall@20", "map@100"),
    curves="figures",
)
