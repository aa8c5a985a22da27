"""Time and memory of the best 100 items by the dimension of the codes.

    python -m experiments.reproduce --study=retrieval_ml1m
    python -m experiments.retrieval --data_dir=DIR --record
"""

from experiments.study import Study

STUDY = Study(
    title="Time and memory of the best 100 items, by dimension",
    sources=("Susman 2024, property P1",),
    rows=[],
    program="retrieval",
)
