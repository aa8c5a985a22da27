"""Seconds and memory of audits without the geometry, from a run's folder to the report.

    python -m experiments.reproduce --study=audit_times_ml1m --data_dir=DIR --record
"""

import dataclasses
import functools

from experiments import audited
from experiments.studies import audits_ml1m

STUDY = dataclasses.replace(
    audits_ml1m.STUDY,
    title="Audits without the geometry",
    measure=functools.partial(audited.audit, flags=()),
)
