"""Who may import whom, what is documented, and that docs/architecture.md shows the tree."""

import ast
import dataclasses
import importlib
import inspect
import pathlib
import re

import pytest

from aerec import models
from aerec.data import protocols
from aerec.models import MODELS
from aerec.training.settings import Settings

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("aerec", "experiments")
    for path in (ROOT / folder).rglob("*.py")
)


def parsed(path):
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def imported(path):
    """Full names of the modules, and of what is taken from them, that a file imports."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: write imports in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def of(names, *packages):
    return {n for n in names if any(n == p or n.startswith(f"{p}.") for p in packages)}


def inside(*folders):
    return [path for path in FILES if any(path.is_relative_to(folder) for folder in folders)]


def test_the_audit_knows_of_aerec_only_how_files_are_written():
    for path in inside("aerec/properties"):
        assert not of(imported(path), "experiments", "flax", "optax"), path
        own = of(imported(path), "aerec") - of(imported(path), "aerec.properties")
        assert own <= {"aerec.files"}, path


def test_models_know_neither_data_nor_experiments():
    for path in inside("aerec/models"):
        far = ("aerec.data", "aerec.runs", "aerec.training", "aerec.evaluation", "aerec.cli")
        assert not of(imported(path), *far), path


def test_the_waist_imports_nothing_of_aerec():
    assert not of(imported("aerec/core.py"), "aerec")


def test_the_library_does_not_know_its_binaries():
    for path in inside("aerec"):
        assert not of(imported(path), "experiments"), path
        if not path.is_relative_to("aerec/cli"):
            assert not of(imported(path), "absl.flags", "absl.app", "aerec.cli"), path


def test_binaries_know_no_model_by_name():
    """Whatever a binary does for one model only belongs to the model's file."""
    for path in inside("experiments"):
        if path.parent.name in ("configs", "studies"):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Compare):
                names = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
                line = ast.unparse(node)
                assert not ("model" in line and set(names) & set(MODELS)), f"{path}: {line}"


def test_rooms_are_named_by_what_they_hold():
    for path in FILES:
        assert path.stem not in ("utils", "util", "helpers", "common", "misc"), path
        if path.name == "__init__.py" and path.parent.name != "models":
            kinds = (ast.Expr, ast.Assign, ast.Import, ast.ImportFrom)
            assert all(isinstance(node, kinds) for node in parsed(path).body), path


IMPORTED_FOR_EFFECT = [(pathlib.Path("aerec/xla.py"), "leave_out_fusions()")]  # see its docstring


def test_nothing_happens_on_import():
    """At the top of a module stand definitions (of derivatives too); a binary runs as __main__."""
    allowed = (
        ast.Expr, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef,
        ast.ClassDef, ast.If,
    )  # fmt: skip
    for path in FILES:
        if path == pathlib.Path("aerec/unix.py"):  # it says why aerec cannot be imported
            continue
        for node in parsed(path).body:
            where = f"{path}, line {node.lineno}"
            assert isinstance(node, allowed), where
            if (path, ast.unparse(node)) in IMPORTED_FOR_EFFECT:
                continue
            if isinstance(node, ast.Expr) and not ast.unparse(node).split("(")[0].endswith(
                ".defvjp"
            ):
                assert isinstance(node.value, ast.Constant), where
            if isinstance(node, ast.If):
                assert "__main__" in ast.unparse(node.test), where


BINARIES = [
    ("aerec", "cli"),
    ("experiments", "benchmark.py"),
    ("experiments", "sweep.py"),
    ("experiments", "reproduce.py"),
    ("experiments", "report.py"),
    ("experiments", "tune.py"),
    ("experiments", "board.py"),
    ("experiments", "hybrid.py"),
    ("experiments", "defaults.py"),
    ("experiments", "synthetic_defaults.py"),
    ("experiments", "latent.py"),
    ("experiments", "cold.py"),
    ("experiments", "dimensions.py"),
    ("experiments", "retrieval.py"),
]


def test_texts_have_an_encoding():
    """Which one a text file has is no matter of the machine's settings."""
    for path in FILES:
        for node in ast.walk(parsed(path)):
            call = ast.unparse(node) if isinstance(node, ast.Call) else ""
            ours = r"(?!(files|os|archive|aerec)\.)"
            texts = re.match(rf"{ours}(.*\.(read|write)_text|(.*\.)?open)\(", call)
            if texts and not re.search(r"'[rwa]b'", call):
                assert "encoding=" in call, f"{path}, line {node.lineno}: {call}"


def undocumented(path):
    """Public functions and classes without a docstring, those inside functions left out.

    A method of a few lines whose class says what it is, an interface's stub and the two functions
    every binary has are understood without.
    """
    found = []
    if not ast.get_docstring(parsed(path)):
        found.append(f"{path}")
    for node in parsed(path).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if path.parts[:2] in BINARIES and node.name in ("main", "define_flags"):
            continue
        told = node.name == "Config" and path.is_relative_to("aerec/models")  # its fields are
        if not ast.get_docstring(node) and not told:
            found.append(f"{path}, line {node.lineno}: {node.name}")
    return found


def test_everything_public_is_documented():
    assert not [what for path in FILES for what in undocumented(path)]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_states_its_paper_and_its_settings(name):
    module = MODELS[name]
    traits = module.traits(module.Config())
    assert traits.task in ("ranking", "rating")
    assert traits.reads in ("rows", "columns", "sequence")
    Settings(**traits.training)
    if name not in ("popularity",):
        assert re.search(r"\b(19|20)\d\d\b", module.__doc__), "no paper"
    if module.make.__annotations__["return"].__name__ != "Model":
        raise AssertionError("make returns a Model")
    fields = dataclasses.fields(module.Config)
    assert module.Config.__dataclass_params__.frozen
    lines = inspect.getsource(module.Config).splitlines()
    for field in fields:
        assert field.default is not dataclasses.MISSING, f"{field.name} has no default"
        assert any(re.match(rf"\s+{field.name}: .*  # \S", line) for line in lines), field.name


@pytest.mark.parametrize("path", inside("experiments/configs")[1:], ids=lambda path: path.stem)
def test_a_recipe_states_its_command_and_what_it_says_is_known(path):
    module = importlib.import_module(f"experiments.configs.{path.stem}")
    assert f"--config={path.stem}" in module.__doc__
    given = dict(module.RECIPE)
    models.configure(given["model"], given.pop("set", {}))
    protocols.parse(given.pop("protocol", "strong"))
    known = {field.name for field in dataclasses.fields(Settings)}
    assert set(given) <= known | {"model", "dataset", "baselines", "seeds"}


def test_every_test_file_names_what_it_tests():
    """tests/test_<file>.py tests <file>; the others say so here."""
    stems = {path.stem for path in FILES}
    whole = {"all_models", "numbers", "structure", "notebooks", "docs", "onnx", "theory"}
    grouped = {
        "battery", "denoising", "linear", "sequential", "spine", "data_audit", "bad_input",
        "reports",
    }  # fmt: skip
    for path in (ROOT / "tests").rglob("test_*.py"):
        stem = path.stem.removeprefix("test_")
        assert stem in stems | whole | grouped, path.name


def tree():
    """The paths in the tree of docs/architecture.md."""
    text = (ROOT / "docs/architecture.md").read_text()
    block = text[text.index("```text\n") + 8 :]
    paths, folders = set(), []
    for line in block[: block.index("```")].splitlines():
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folders = [*folders[:depth], name]
        if not name.endswith("/"):
            paths.add("".join(folders))
    return paths


def test_the_tree_in_the_docs():
    told = tree()
    gone = {path for path in told if not (ROOT / path).exists()}
    assert not gone, "in the tree, and not there"
    there = {str(path) for path in FILES if path.name != "__init__.py"}
    there |= {f"colab/{path.name}" for path in (ROOT / "colab").glob("*.ipynb")}
    listed = {path for path in there if re.match("experiments/(configs|studies)/", path)}
    assert not there - listed - told, "there, and not in the tree"
