"""Command-line programs, `aerec train|evaluate|recommend|audit`, as absl flags."""
