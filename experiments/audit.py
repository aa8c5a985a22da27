"""Audit encoders; the same as `aerec audit`."""

from aerec.cli import command

if __name__ == "__main__":
    command.main("audit")
