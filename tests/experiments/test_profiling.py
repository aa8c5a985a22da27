"""Profiles: time by operation, of what was called alone."""

import jax
import jax.numpy as jnp
import pytest

from experiments import profiling
from experiments.profiling import Event


def test_the_time_of_a_loop_is_that_of_its_operations():
    line = [Event("while", 0, 10e9), Event("dot", 1e9, 4e9), Event("add", 5e9, 7e9),
            Event("inner", 5e9, 6e9), Event("dot", 10e9, 12e9)]  # fmt: skip
    found = sorted(profiling.alone(reversed(line)))
    assert found == [("add", 1.0), ("dot", 2.0), ("dot", 3.0), ("inner", 1.0), ("while", 5.0)]


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_traced_call_has_its_operations(repeats, tmp_path, capsys):
    a = jnp.ones((300, 300))

    @jax.jit
    def wide(a):
        return a @ a

    @jax.jit
    def narrow(a):
        return a[:2] @ a

    jax.block_until_ready((wide(a), narrow(a)))

    def call():
        return [wide(a) for _ in range(repeats)]

    found = profiling.profile(call, str(tmp_path))
    assert sum(found.values()) == pytest.approx(1)
    assert all(name.startswith("share:jit_wide/") for name in found)
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "jit_wide/" in line)
    assert row.split()[1] == str(repeats)
    assert "xplane.pb" in out


def test_without_a_folder_nothing_is_called():
    assert profiling.profile(lambda: pytest.fail("called"), None) == {}


def test_a_call_without_a_program_is_refused(tmp_path):
    with pytest.raises(profiling.BadInput, match="no operation of a compiled program"):
        profiling.profile(lambda: None, str(tmp_path))
