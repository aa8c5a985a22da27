"""Recommend items; the same as `aerec recommend`."""

from aerec.cli import command

if __name__ == "__main__":
    command.main("recommend")
