"""Ratings from files, tables and named datasets, and the protocols that split them."""
