"""Models with their defaults on five kinds of data.

    python -m experiments.reproduce --study=kinds
    python -m experiments.kinds --data_dir=DIR --output=runs/kinds --record
"""

from experiments.study import Study

STUDY = Study(
    title="Models with their defaults on five kinds of data",
    rows=[],
    program="kinds",
)
