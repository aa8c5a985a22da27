"""Ratings from text files and named datasets, and the protocols that split them."""
