"""Autoencoder recommenders as pure functions, and an audit of what encoders do to similarity."""
