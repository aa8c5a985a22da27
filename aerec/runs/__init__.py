"""Runs: fitting and scoring, run directories, recommendations, export."""
