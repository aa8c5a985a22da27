"""XLA's CPU backend computes right numbers once aerec is imported: fresh processes, and the option.

Each process writes 1e32 to memory before every call, which makes an error appear in every call
rather than by chance.
"""

import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from aerec import xla

pytestmark = pytest.mark.usefixtures("optimised")

ROOT = pathlib.Path(__file__).parent.parent
GIVEN = f"--{xla.OPTION}=2"
LINES = """
import json, sys
import numpy as np
import jax, jax.numpy as jnp
from jax import lax

if "late" in sys.argv:
    jax.devices()
import aerec

products = lambda E, c: jnp.sum((E @ jnp.full_like(E, c)) * E, -1)
squares = lambda R, M: jax.vmap(lambda r: jnp.sum((M @ r) ** 2))(R)
draw = np.random.default_rng(int(sys.argv[1]))
wrong = {}


def count(name, function, expected, *arrays):
    arrays = [array.astype(np.float32) for array in arrays]
    junk = [jnp.asarray(np.full(arrays[0].shape, 1e32, np.float32)) * 1 for _ in range(3)]
    del junk
    given = np.asarray(function(*arrays))
    expected = expected(*(array.astype(np.float64) for array in arrays))
    bad = ~np.isclose(given, expected, rtol=1e-3, atol=1e-2)
    wrong[name] = wrong.get(name, 0) + int(bad.sum())


rowsums = lambda E, c: c * E.sum(-1) ** 2  # (E @ full)[i, j] = c sum_k E[i, k]
compiled = jax.jit(products)
for shape in [(16, 32, 32), (8, 64, 64), (64, 64), (1, 128, 128), (500, 500)]:
    for _ in range(3):
        count("jit", compiled, rowsums, draw.normal(size=shape), np.array(2))
for _ in range(3):
    E = draw.normal(size=(3, 16, 32, 32))
    count("map", lambda E: lax.map(lambda e: products(e, 2.0), E), lambda E: rowsums(E, 2), E)
compiled_squares = jax.jit(squares)
for rows in (40_000, 30_000):
    for _ in range(3):
        count("vmap", compiled_squares, lambda R, M: ((R @ M.T) ** 2).sum(1),
              draw.normal(size=(rows, 3)), draw.normal(size=(3, 3)))
print(json.dumps(wrong))
"""


def started(*argv, code=LINES):
    """A Python process without XLA_FLAGS, on the CPU; it reads no program that others compiled."""
    not_given = ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")
    env = {name: value for name, value in os.environ.items() if name not in not_given}
    return subprocess.Popen(
        [sys.executable, "-c", code, *argv], cwd=ROOT, text=True,
        env={**env, "JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(child):
    out, err = child.communicate()
    assert child.returncode == 0, err
    return json.loads(out), err


def test_products_that_are_summed_are_right():
    for child in [started("1"), started("2")]:
        assert ended(child)[0] == {"jit": 0, "map": 0, "vmap": 0}


def test_a_backend_that_was_open_before_is_warned_of_and_wrong():
    """What the test above would see without the option; that it could fail."""
    wrong, err = ended(started("1", "late"))
    assert "RuntimeWarning: JAX computed before aerec was imported" in err
    if not any(wrong.values()):
        pytest.skip("XLA is right with its default options: aerec/xla.py may be needed no more")
    assert wrong["jit"] and wrong["map"], wrong  # compiled, and the body of an eager operation


@pytest.fixture
def flags(monkeypatch):
    """XLA_FLAGS as it is after the import, from what it was before. No backend opens."""
    monkeypatch.setattr(xla, "computes_on_cpu", lambda: False)

    def after(before=None):
        if before is None:
            monkeypatch.delenv("XLA_FLAGS", raising=False)
        else:
            monkeypatch.setenv("XLA_FLAGS", before)
        xla.leave_out_fusions()
        return os.environ.get("XLA_FLAGS")

    return after


def test_the_option_joins_those_of_the_user(flags):
    assert flags() == f"--{xla.OPTION}="
    assert flags("") == f"--{xla.OPTION}="
    assert flags("--xla_a=1 --xla_b") == f"--{xla.OPTION}= --xla_a=1 --xla_b"


@pytest.mark.parametrize("value", [GIVEN, f"--xla_a=1 --{xla.OPTION}=", f" --{xla.OPTION}=1 "])
def test_the_option_is_the_users_where_they_give_it(flags, value):
    assert flags(value) == value


def test_a_file_of_options_is_read(flags, tmp_path):
    """XLA takes a value that does not begin with a dash for the name of a file."""
    file = tmp_path / "flags"
    file.write_text("--xla_a=1\n--xla_b")
    assert flags(str(file)) == f"--{xla.OPTION}= --xla_a=1\n--xla_b"
    file.write_text(f"--xla_a=1\n{GIVEN}\n")
    assert flags(str(file)) == str(file)
    assert flags(str(tmp_path / "absent")) == str(tmp_path / "absent")


def test_an_option_that_jaxlib_does_not_know_is_not_given(flags, monkeypatch):
    """An unknown option ends the process."""
    assert xla.known()
    monkeypatch.setattr(xla, "OPTION", "xla_cpu_option_of_no_version")
    assert not xla.known()
    assert flags() is None
    assert flags("--xla_a=1") == "--xla_a=1"


def test_a_backend_that_is_open_is_warned_of(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    jax.devices()
    if jax.default_backend() != "cpu":
        pytest.skip("the backend is no CPU")
    with pytest.warns(RuntimeWarning, match="import aerec before computing with JAX"):
        xla.leave_out_fusions()
    assert os.environ["XLA_FLAGS"] == f"--{xla.OPTION}="  # for child processes
    xla.leave_out_fusions()  # once: the option is there


def test_a_jax_without_the_private_question_is_not_asked(monkeypatch):
    from jax._src import xla_bridge

    monkeypatch.delattr(xla_bridge, "backends_are_initialized")
    assert not xla.computes_on_cpu()


def test_setting_the_option_imports_no_jax():
    code = """
import json, os, sys, types
sys.modules["aerec"] = types.ModuleType("aerec")  # its other modules do import JAX
sys.modules["aerec"].__path__ = [sys.argv[1]]
import aerec.xla
print(json.dumps(["jax" in sys.modules, os.environ["XLA_FLAGS"]]))
"""
    assert ended(started(str(ROOT / "aerec"), code=code))[0] == [False, f"--{xla.OPTION}="]
