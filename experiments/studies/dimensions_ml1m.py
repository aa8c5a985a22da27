"""What fewer dimensions cost on MovieLens-1M: a spectral model of m, without an autoencoder.

    python -m experiments.reproduce --study=dimensions_ml1m
    python -m experiments.dimensions --dataset=ml-1m --data_dir=DIR --output=DIR --record
"""

from experiments.study import Study

STUDY = Study(
    title="What fewer dimensions cost, on MovieLens-1M",
    sources=("Susman 2024, property P1",),
    rows=[],
    program="dimensions",
)
