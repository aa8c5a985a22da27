"""A run: its directory, fit-select-score-write, recommendations, scoring again."""
