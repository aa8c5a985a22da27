"""Command-line programs, `aerec train|evaluate|recommend|audit|convert`, as absl flags."""
