"""Autoencoder recommenders as pure functions, and an audit of what encoders do to similarity."""

__version__ = "0.1.0"
