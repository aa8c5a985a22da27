"""Autoencoder recommenders as pure functions, and an audit of what an encoder does to similarity."""
