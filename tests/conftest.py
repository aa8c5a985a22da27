"""Strict JAX for every test and fixture: implicit rank promotion raises, a random key is used
once (`KeyReuseError`)."""

import contextlib
import functools
import gc
import io
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
from typing import NamedTuple
from unittest import mock

import jax
import pytest
from absl import flags
from jax._src import compiler  # private: what `optimised` restores has no public place
from matplotlib.figure import Figure

from aerec import xla

ROOT = pathlib.Path(__file__).parent.parent

gc.disable()  # until all is imported: it would walk the modules again and again
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
# Most programs here run for a moment, and compiling them takes most of the time: XLA does without
# its optimisations and, in JAX 0.10, which has a choice, without its slow emitters of fusions (an
# option that it does not know ends a process). Child processes do so too, as the results' last bits
# depend on it.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
jax.config.update("jax_disable_most_optimizations", True)
AS_IN_USE = {}  # XLA's own defaults of the options that are changed
if jax.__version_info__ < (0, 11):
    AS_IN_USE = {"xla_cpu_use_fusion_emitters": True, "xla_cpu_parallel_codegen_split_count": 32}
    quick = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ["XLA_FLAGS"] = f"{xla.options() or ''} {quick}".lstrip()
# No operation is traced back to its lines: no test reads that.
os.environ["JAX_INCLUDE_FULL_TRACEBACKS_IN_LOCATIONS"] = "0"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "1"
jax.config.update("jax_include_full_tracebacks_in_locations", False)
jax.config.update("jax_traceback_in_locations_limit", 1)


# Those with `optimised` programs are the first, as they clear all that was compiled before.
LONGEST = ("test_numbers", "test_xla", "properties/test_audit", "test_all_models",
           "runs/test_fitting", "test_api", "cli/test_audit", "cli/test_train",
           "training/test_loop", "test_notebooks", "cli/test_evaluate", "experiments/test_study",
           "models/test_linear", "models/test_sequential")  # fmt: skip


def pytest_collection_modifyitems(items):
    """The longest files first: no worker is left alone with one at the end."""
    rank = {f"tests/{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


def pytest_collection_finish():
    """What is imported stays: the collector does not look for it, and looks more seldom."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)


class Ran(NamedTuple):
    """What a command left: its exit status and what it said."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory):
    """A folder of compiled programs: what a test or a child process of the session compiled,
    others read."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # all workers share it
    folder = base / "compiled"
    folder.mkdir(exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    with mock.patch.dict(os.environ, cache):
        yield folder


def compiled_as_in_use(make, *args, env_options_overrides=None, **given):
    """The options of a compilation, with XLA's own defaults for those that are changed here."""
    overrides = {**AS_IN_USE, **(env_options_overrides or {})}
    return make(*args, env_options_overrides=overrides, **given)


@pytest.fixture(scope="module")
def optimised():
    """For files that test XLA's numbers: programs as users run them, none compiled before."""
    options = functools.partial(compiled_as_in_use, compiler.get_compile_options)
    with (
        mock.patch.dict(os.environ),
        mock.patch.object(compiler, "get_compile_options", options),
    ):
        del os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"]
        jax.config.update("jax_disable_most_optimizations", False)
        jax.clear_caches()
        yield
        jax.config.update("jax_disable_most_optimizations", True)
        jax.clear_caches()


def blank(figure, file, **given):
    """Write an empty picture, in a moment rather than some tenths of a second."""
    (file.write if hasattr(file, "write") else file.write_bytes)(b"")


@pytest.fixture(scope="session")
def here(compiled):
    """Runs a binary in this process, which saves JAX's start: here("train", "--epochs=1"); on a
    terminal of that `encoding`, where one is given. Its files of pictures are empty without
    `pictures`."""

    def run(binary: str, *argv, encoding: str = "", pictures: bool = False) -> Ran:
        for name in list(flags.FLAGS):
            if not flags.FLAGS.find_module_defining_flag(name).startswith("absl"):
                delattr(flags.FLAGS, name)
        printed, err, status = io.BytesIO(), io.StringIO(), 0
        out = io.TextIOWrapper(printed, encoding) if encoding else io.StringIO()
        with (
            mock.patch.object(sys, "argv", [binary, *map(str, argv)]),
            mock.patch.object(sys, "unraisablehook", sys.unraisablehook),  # the command sets it
            mock.patch.object(Figure, "savefig", Figure.savefig if pictures else blank),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                runpy.run_module(f"experiments.{binary}", run_name="__main__", alter_sys=True)
            except SystemExit as left:
                status = left.code or 0
        out.flush()
        text = printed.getvalue().decode() if encoding else out.getvalue()
        return Ran(status, text, err.getvalue())

    return run


@pytest.fixture(scope="session")
def process(compiled):
    """Starts a binary as a process of its own, which runs the lines `before` first; `afresh`, it
    compiles all of its programs itself."""

    def start(binary: str, *argv, before: str = "", afresh: bool = False) -> subprocess.Popen:
        run = f"import runpy\nrunpy.run_module('experiments.{binary}', None, '__main__', True)"
        return subprocess.Popen(
            [sys.executable, "-c", f"{before}\n{run}", *map(str, argv)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **({"JAX_COMPILATION_CACHE_DIR": ""} if afresh else {})},
        )  # fmt: skip

    return start


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --disable-background-networking --disable-component-update --virtual-time-budget=2000"
    " --window-size=390,800"
)


@pytest.fixture
def browser(tmp_path):
    """Opens a page in a window as narrow as a phone's: browser(html, script), the title that the
    script gives the page."""
    if CHROMIUM is None:
        pytest.skip("needs a browser")

    def opened(text: str, script: str) -> str:
        path = tmp_path / "page.html"
        path.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
        seen = subprocess.run(
            [CHROMIUM, *OPTIONS.split(), f"--user-data-dir={tmp_path}/profile", "--dump-dom",
             path.as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        return re.search("<title>(.*)</title>", seen.stdout)[1]

    return opened
