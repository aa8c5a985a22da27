"""Autoencoder recommenders as pure functions, and an audit of what encoders do to similarity."""

from aerec import xla  # first, and for what it does: see its docstring

__all__ = ["xla"]
__version__ = "0.1.0"
