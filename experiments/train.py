"""Train one model on one split; the same as `aerec train`."""

from aerec.cli import command

if __name__ == "__main__":
    command.main("train")
