"""What five models of MovieLens-1M rank by, audited on every row and triple, with the geometry.

    python -m experiments.reproduce --study=audits_ml1m --data_dir=DIR --record
"""

import functools

from experiments import audited
from experiments.study import Row, Study

RECIPES = ("ease_ml1m", "multvae_ml1m", "ials_ml1m", "feature_ae_ml1m", "autorec_user_ml1m")

STUDY = Study(
    title="Audits of runs on MovieLens-1M",
    rows=[Row(name, (f"--config={name}", "--baselines=")) for name in RECIPES],
    figures=("ndcg@100", "rmse"),
    curves="",
    measure=functools.partial(audited.audit, flags=("--geometry",)),
)
