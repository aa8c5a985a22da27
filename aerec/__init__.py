"""Autoencoder recommenders as pure functions, and an audit of what encoders do to similarity."""

from aerec import xla  # imported first, for its effect: see its docstring

__version__ = "0.1.0"

from aerec import models, properties
from aerec.api import audit, compare, evaluate, fit, open, split
from aerec.blending import blend
from aerec.cross_validation import CrossValidation, cross_validate
from aerec.data.datasets import load
from aerec.data.frames import ratings
from aerec.data.ratings import Ratings
from aerec.data.readers import read
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.evaluation.statistics import Comparison
from aerec.runs.figures import Figure, Figures
from aerec.runs.run import Run

__all__ = [
    "BadInput",
    "Comparison",
    "CrossValidation",
    "Figure",
    "Figures",
    "Ratings",
    "Run",
    "Split",
    "audit",
    "blend",
    "compare",
    "cross_validate",
    "evaluate",
    "fit",
    "load",
    "models",
    "open",
    "properties",
    "ratings",
    "read",
    "split",
    "xla",
]
