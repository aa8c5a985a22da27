"""Score a finished run again; the same as `aerec evaluate`."""

from aerec.cli import command

if __name__ == "__main__":
    command.main("evaluate")
