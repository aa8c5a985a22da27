"""Items of Anime that no user clicked in training, ranked by their genres.

    python -m experiments.reproduce --study=cold_items_anime
    python -m experiments.cold --data_dir=DIR --output=runs/cold --record
"""

from experiments.study import Study

STUDY = Study(
    title="Items that no user clicked in training",
    sources=("Susman 2024, figure 1 with content features",),
    rows=[],
    program="cold",
)
