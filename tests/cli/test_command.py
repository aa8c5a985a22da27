"""The console command: which program runs, and how what it prints is spelled."""

import sys

import pytest
from absl import flags

from aerec.cli import command, options


@pytest.fixture
def started(monkeypatch, capsys):
    """Runs the console command with these arguments: (exit status, output, errors)."""

    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["/bin/aerec", *argv])
        status = 0
        try:
            command.main()
        except SystemExit as left:
            status = left.code
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize("argv", [(), ("--help",), ("help",)])
def test_without_a_command_it_lists_them(started, argv):
    status, out, err = started(*argv)
    assert (status, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()[:-1]] == [
        ["aerec", name] for name in command.COMMANDS
    ]


def test_a_command_that_does_not_exist(started):
    status, out, err = started("recomend", "--k=3")
    assert (status, out) == (1, "")
    assert "No command is called 'recomend'. Did you mean recommend?" in err


def test_commands_are_spelled_as_they_were_typed(monkeypatch):
    text = "Next: python -m experiments.evaluate --workdir=runs/x"
    monkeypatch.setattr(sys, "argv", ["/home/me/experiments/train.py"])
    assert options.typed(text) == text
    monkeypatch.setattr(sys, "argv", ["/usr/bin/aerec train"])
    assert options.typed(text) == "Next: aerec evaluate --workdir=runs/x"


def test_settings_become_flags_where_there_are_such(monkeypatch):
    values = flags.FlagValues()
    flags.DEFINE_integer("batch_size", 1, "", flag_values=values)
    monkeypatch.setattr(flags, "FLAGS", values)
    message = "use a smaller `batch_size`, `batch_size=3`, or a column `rating`"
    assert options.dashed(message) == (
        "use a smaller --batch_size, --batch_size=3, or a column `rating`"
    )


def test_a_recipe_is_a_file_of_known_entries(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("RECIPE = {'model': 'ease', 'set': {'l2': 3}}")
    assert options.recipe(str(file)) == {"model": "ease", "set": {"l2": 3}}
    assert options.recipe(None) == {}
    assert options.recipe("ease_ml1m")["model"] == "ease"  # by its name, in a checkout
    for text, words in (
        ("RECIPE = {'epoch': 3}", "no entry 'epoch'. Did you mean epochs"),
        ("recipe = {}", "has no RECIPE"),
        ("1 / 0", "cannot be run .ZeroDivisionError"),
    ):
        file.write_text(text)
        with pytest.raises(options.BadInput, match=words):
            options.recipe(str(file))
    with pytest.raises(options.BadInput, match="no such file"):
        options.recipe(str(tmp_path / "other.py"))
