"""Ranking and rating metrics with their errors, and the evaluators that compute them."""
