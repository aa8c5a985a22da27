"""How near the output of DeepRec is to a fixed point, with and without re-feeding, MovieLens-1M.

    python -m experiments.reproduce --study=fixed_points_ml1m --data_dir=DIR --record

The report argues that f(y) = y is what re-feeding trains; `experiments/fixed_points.py` has the
figures.
"""

from experiments import fixed_points
from experiments.study import Row, Study

STUDY = Study(
    title="Fixed points of DeepRec by re-feeds",
    sources=("DeepRec report, section 2.2",),
    rows=[
        Row(
            f"{refeeds} re-feeds",
            ("--config=deeprec_ml1m", f"--set=refeeds={refeeds}", "--baselines="),
        )
        for refeeds in (0, 1, 3)
    ],
    figures=("rmse",),
    measure=fixed_points.measure,
)
