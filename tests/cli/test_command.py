"""The console command: which program runs, and how what it prints is spelled."""

import errno
import os
import pathlib
import subprocess
import sys

import pytest
from absl import flags

from aerec import files
from aerec.cli import command, options

ROOT = pathlib.Path(__file__).parents[2]


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
        ("import sys; sys.exit(3)", "cannot be run .SystemExit"),
        ("RECIPE = {'set': 'l2=3'}", "set is a dict of the model's settings, not 'l2=3'"),
        ("RECIPE = {'baselines': 'ease'}", "baselines is a list of names, not 'ease'"),
    ):
        file.write_text(text)
        with pytest.raises(options.BadInput, match=words):
            options.recipe(str(file))
    with pytest.raises(options.BadInput, match="no such file"):
        options.recipe(str(tmp_path / "other.py"))


ONE = ("train", "--model=popularity", "--dataset=synthetic:users=90,items=40,ratings=1500")


def ran_apart(*argv, before="", **environment):
    """The console command in a process of its own: (exit status, output and errors as bytes)."""
    line = f"{before}\nimport sys; from aerec.cli import command; sys.argv[0] = 'aerec'"
    ran = subprocess.run(
        [sys.executable, "-c", f"{line}; command.main()", *map(str, argv)],
        capture_output=True, env={**os.environ, **environment}, cwd=ROOT,
    )  # fmt: skip
    return ran.returncode, ran.stdout, ran.stderr


def test_a_platform_that_is_not_there(tmp_path):
    workdir = tmp_path / "w"
    status, _, err = ran_apart(*ONE, f"--workdir={workdir}", JAX_PLATFORMS="tpu,nowhere")
    (line,) = err.decode().splitlines()
    assert status == 2
    assert line.startswith("error: JAX_PLATFORMS=tpu,nowhere: JAX has no such device here, only ")
    assert "Unset JAX_PLATFORMS, or install" in line and "aerec[cuda]" in line
    assert not workdir.exists()


def test_a_terminal_without_accents(tmp_path, here):
    """What is printed is poorer, and no error; what programs read is UTF-8 all the same."""
    file, workdir = tmp_path / "mine.csv", tmp_path / "w"
    lines = [f"ü{u},Amélie {i},{1 + u * i % 5}" for u in range(30) for i in range(u % 7, 20)]
    file.write_text("user,item,rating\n" + "\n".join(lines) + "\n", encoding="utf-8")
    ran = here(
        "train", "--model=popularity", f"--data_file={file}", "--protocol=strong:test_users=9",
        "--baselines=", f"--workdir={workdir}", encoding="ascii",
    )  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.isascii() and " ? " in ran.out  # the ± of the table
    history = tmp_path / "history.csv"
    history.write_text("item\nAmélie 3\n", encoding="utf-8")
    asked = ("recommend", f"--workdir={workdir}", f"--history={history}", "--k=2")
    for text, title in (("table", "Am?lie"), ("csv", "Amélie"), ("jsonl", "Amélie")):
        ran = here(*asked, f"--format={text}", encoding="ascii")
        assert (ran.status, ran.err) == (0, "")
        assert title in ran.out


INTERRUPTED = """
import os, signal
import orbax.checkpoint as ocp
waits = ocp.CheckpointManager.wait_until_finished
def interrupted(manager):
    os.kill(os.getpid(), signal.SIGINT)
    waits(manager)
ocp.CheckpointManager.wait_until_finished = interrupted
"""


def test_interrupted_twice_while_a_checkpoint_is_written(tmp_path, here):
    """At the second save, and again as the training that ends waits for the first."""
    command = (
        "train", "--dataset=synthetic:users=90,items=40,ratings=1500", "--epochs=2",
        "--set=hidden=8", "--set=latent=4", "--baselines=", "--checkpoint_seconds=0",
        f"--workdir={tmp_path / 'w'}",
    )  # fmt: skip
    status, _, err = ran_apart(*command, before=INTERRUPTED)
    assert err.decode() == "interrupted; the same command resumes from the last checkpoint\n"
    assert status == 130
    assert not (tmp_path / "w" / "results.json").exists()
    again = here(*command)
    assert again.status == 0, again.err
    assert (tmp_path / "w" / "results.json").exists()


@pytest.mark.parametrize(
    ("name", "number"),
    [("config.json", errno.ENOSPC), ("model", errno.EROFS), ("vocabulary.npz", errno.ENOSPC),
     ("test_rows.npz", errno.EROFS), ("results.json", errno.ENOSPC), ("activity.png", errno.EROFS)],
)  # fmt: skip
def test_a_disk_that_refuses_a_file_of_a_run(tmp_path, here, monkeypatch, name, number):
    """One line that names the file; nothing half-written; the same command then ends the run."""
    workdir = tmp_path / "w"
    command = (
        "train", "--model=ease", "--dataset=synthetic:users=90,items=40,ratings=1500",
        "--baselines=", f"--workdir={workdir}",
    )  # fmt: skip
    replace = os.replace

    def refused(old, new, **places):
        if os.path.basename(new) == name:
            raise OSError(number, "words of another language")
        replace(old, new, **places)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refused)
        ran = here(*command)
    (line,) = ran.err.splitlines()
    assert ran.status == 2
    assert line.startswith(f"error: {workdir / name} cannot be written ({os.strerror(number)}); ")
    assert not list(tmp_path.rglob(f"*{files.TEMPORARY}*"))
    ran = here(*command)
    assert ran.status == 0, ran.err
    assert (workdir / name).exists()
