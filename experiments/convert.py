"""Convert files of ratings that are larger than memory; the same as `aerec convert`."""

from aerec.cli import command

if __name__ == "__main__":
    command.main("convert")
