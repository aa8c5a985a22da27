"""An audit of any encoder: what it does to dimension, to similarity order, to non-zero vectors."""

from aerec.properties.angle import order_penalty
from aerec.properties.auditing import audit
from aerec.properties.encoder import wrap
from aerec.properties.report import Audit, Finding

__all__ = ["Audit", "Finding", "audit", "order_penalty", "wrap"]
