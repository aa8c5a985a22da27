"""Genres of the items in I-AutoRec and Mult-VAE, on items with few ratings in training.

    python -m experiments.reproduce --study=hybrid
    python -m experiments.hybrid --data_dir=DIR --output=runs/hybrid --record
"""

from experiments.study import Study

STUDY = Study(
    title="Genres of the items in models of ratings and of clicks",
    sources=("Strub et al. 2016, side information",),
    rows=[],
    program="hybrid",
)
