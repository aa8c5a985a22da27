"""Thin command-line programs over `aerec`; each runs as `python -m experiments.<name> --help`."""
