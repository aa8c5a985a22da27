"""The documentation against the code: links, commands, names and versions."""

import ast
import dataclasses
import functools
import importlib
import pathlib
import re
import shlex

import pytest
from absl import flags

import aerec
from aerec import models
from aerec.cli import command
from aerec.data import datasets, formats, protocols
from aerec.models import MODELS
from aerec.training.settings import Settings

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
COMMAND = re.compile(r"(?:python -m experiments\.|\baerec )([a-z]+)\b([^`\n|&]*)")
RECIPES = {path.stem for path in (ROOT / "experiments/configs").glob("[!_]*.py")}
STUDIES = {path.stem for path in (ROOT / "experiments/studies").glob("[!_]*.py")}


def read(name):
    return (ROOT / name).read_text()


def code(text):
    """What stands between backticks: lines of shell blocks and inline code."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for kind, block in blocks if kind == "bash" for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return lines + re.findall(r"`([^`]+)`", prose)


@functools.cache
def flags_of(name):
    """The flags of a command, defined apart from those of this process."""
    values, patch = flags.FlagValues(), pytest.MonkeyPatch()
    for define in (name for name in dir(flags) if name.startswith("DEFINE_")):
        defined = functools.partial(getattr(flags, define), flag_values=values)
        patch.setattr(flags, define, defined)
    try:
        if name in command.COMMANDS:
            importlib.import_module(f"aerec.cli.{name}").define_flags()
        else:
            module = importlib.import_module(f"experiments.{name}")
            main = ast.parse(read(f"experiments/{name}.py")).body[-1]
            lines = [line for line in main.body if "command.run" not in ast.unparse(line)]
            exec(compile(ast.Module(lines, []), name, "exec"), vars(module))
    finally:
        patch.undo()
    return values


COMMANDS = (*command.COMMANDS, "sweep", "tune", "board", "reproduce", "report", "benchmark",
            "suite")  # fmt: skip


def commands(text):
    """(name, arguments) of each command in the code of a page, where `name` is one of ours."""
    for line in code(text):
        for name, rest in COMMAND.findall(line):
            if name in COMMANDS:
                yield name, [part for part in shlex.split(rest, comments=True) if part != "--help"]


def test_the_readme_is_short_and_says_how_to_begin():
    lines = read("README.md").splitlines()
    assert len(lines) <= 150
    begin = "python3 -m venv .venv && .venv/bin/pip install -e"
    assert f"{begin} . && .venv/bin/python -m experiments.train" in lines
    assert f'{begin} ".[test]" && .venv/bin/python -m pytest' in lines


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name):
    links = re.findall(r"\]\(([^)\s#]+)(?:#[\w-]+)?\)", read(name))
    for link in links:
        assert link.startswith("https://") or ((ROOT / name).parent / link).exists(), link


@pytest.mark.parametrize("name", NAMES)
def test_commands_use_flags_that_exist(name):
    for program, arguments in commands(read(name)):
        rest = flags_of(program)([program, *arguments])
        assert rest == [program], f"{program} {arguments}"
        flags_of(program).unparse_flags()
    known = {"help"} | {flag for program in COMMANDS for flag in flags_of(program)}
    for flag in re.findall(r"`--(\w+)", read(name)):
        assert flag in known or flag.removeprefix("no") in known or flag.startswith("xla_"), flag


def test_flags_that_do_not_exist_are_found():
    line = next(commands("`aerec train --datset=x --seeds=2`"))
    assert line == ("train", ["--datset=x", "--seeds=2"])
    with pytest.raises(flags.UnrecognizedFlagError):
        flags_of("train")(["train", *line[1]])


@pytest.mark.parametrize("name", NAMES)
def test_commands_name_what_exists(name):
    """Recipes, studies, models and their settings, protocols, datasets, formats."""
    known = {
        "config": RECIPES, "study": STUDIES, "model": MODELS, "dataset": datasets.DATASETS,
        "format": {*formats.FORMATS, "table", "csv", "jsonl"},
    }  # fmt: skip
    for flag, value in re.findall(r"--(\w+)=([\w-]+)(?![\w.])", "\n".join(code(read(name)))):
        if flag in known and not value.isupper():
            assert value in known[flag], f"--{flag}={value}"
    for text in re.findall(r"--protocol=([^\s`]+)", read(name)):
        protocols.parse(text)
    for program, arguments in commands(read(name)):
        line = " ".join(arguments)
        if program in ("train", "audit") and (found := re.search(r"--model=(\w+)", line)):
            given = dict(re.findall(r"--set (\w+)=(\S+)", line))
            models.configure(found[1], given)
    for recipe in re.findall(r"`(\w+_ml1m)`", read(name)):
        assert recipe in RECIPES | STUDIES, recipe


def rows(page):
    """The names between backticks in the first column of a page's tables."""
    first = re.findall(r"^\| (`[^|]*`) \|", read(page), re.MULTILINE)
    return {name for cell in first for name in re.findall(r"`([\w-]+)`", cell)}


def test_tables_have_all_there_is():
    assert set(MODELS) <= rows("docs/guide/models.md")
    assert set(protocols.PROTOCOLS) <= rows("docs/guide/protocols.md")
    assert set(datasets.DATASETS) <= rows("docs/guide/data.md")
    assert {field.name for field in dataclasses.fields(Settings)} <= rows("docs/guide/training.md")
    assert rows("docs/guide/command-line.md") >= STUDIES


def test_every_page_is_in_the_navigation():
    nav = read("mkdocs.yml")
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs')}\n" in nav, page


def test_versions_agree():
    version = re.search(r"^version: (\S+)$", read("CITATION.cff"), re.MULTILINE)[1]
    assert version == aerec.__version__
    assert f"version = {{{version}}}" in read("README.md")
    assert re.search(r"^## \[Unreleased\]$", read("CHANGELOG.md"), re.MULTILINE)


def test_the_tests_that_the_theory_names_exist():
    named = set(re.findall(r"`(test_\w+)`", read("docs/theory.md")))
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 20 and named <= set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
