"""Recipes: `RECIPE` holds the flags of `experiments.train`; the docstring, the cost and score."""
