"""Seconds and memory of audits without the geometry, from a run's folder to the report.

    python -m experiments.reproduce --study=audit_times_ml1m --data_dir=DIR --record
"""

import dataclasses

from experiments.studies import audits_ml1m

STUDY = dataclasses.replace(audits_ml1m.STUDY, title="Audits without the geometry", audit=())
