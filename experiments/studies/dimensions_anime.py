"""What fewer dimensions cost on Anime: a spectral model of m, without an autoencoder.

    python -m experiments.reproduce --study=dimensions_anime
    python -m experiments.dimensions --dataset=anime --data_dir=DIR --output=DIR --record
"""

from experiments.study import Study

STUDY = Study(
    title="What fewer dimensions cost, on Anime",
    sources=("Susman 2024, property P1",),
    rows=[],
    program="dimensions",
)
