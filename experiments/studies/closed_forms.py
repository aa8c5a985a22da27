"""EASE and its extensions in closed form, each searched with the same number of trials.

    python -m experiments.reproduce --study=closed_forms
    python -m experiments.closed_forms --data_dir=DIR --output=runs/closed_forms --record
"""

from experiments.study import Study

STUDY = Study(
    title="EASE and its extensions in closed form",
    sources=("Steck 2020, Moon et al. 2023, Park et al. 2025, Ning & Karypis 2011",),
    rows=[],
    program="closed_forms",
)
