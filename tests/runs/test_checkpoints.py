"""Checkpoints: written in the background, and what that meets."""

import resource

import chex
import jax
import numpy as np
import pytest

from aerec.errors import BadInput
from aerec.runs.checkpoints import Checkpoints

# TensorStore's threads print an error for each write after the first that failed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def full():
    """A function after which no file may grow past 100 KB: what a full disk is to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_said_in_a_line_and_the_last_checkpoint_stays(tmp_path, full):
    state = {"a": np.random.default_rng(0).normal(size=(500, 500)).astype(np.float32)}
    like = jax.tree.map(np.zeros_like, state)
    first = Checkpoints(tmp_path / "c")
    first.save(state, state, {"epoch": 1}, force=True)
    first.close()
    full()
    second = Checkpoints(tmp_path / "c")
    said = rf"{tmp_path}/c cannot be written \(File too large\); free some space there"
    with pytest.raises(BadInput, match=said):
        second.save(state, state, {"epoch": 2}, force=True)  # it is written later
        second.close()
    found = Checkpoints(tmp_path / "c").restore(like, like)
    assert found is not None and found[2] == {"epoch": 1}
    chex.assert_trees_all_equal(found[0], state)


def test_the_next_save_says_that_one_failed(tmp_path, full):
    state = {"a": np.random.default_rng(0).normal(size=(500, 500)).astype(np.float32)}
    full()
    checkpoints = Checkpoints(tmp_path / "c")
    with pytest.raises(BadInput, match="cannot be written"):
        checkpoints.save(state, state, {"epoch": 1}, force=True)
        checkpoints.save(state, state, {"epoch": 2}, force=True)


def test_a_folder_that_may_not_be_made(tmp_path):
    (tmp_path / "c").touch()
    with pytest.raises(BadInput, match=r"c cannot be written"):
        Checkpoints(tmp_path / "c")


def test_a_byte_that_changed_on_the_disk_is_found(tmp_path):
    state = {"a": np.random.default_rng(0).normal(size=(50, 50)).astype(np.float32), "n": True}
    saved = Checkpoints(tmp_path / "c")
    saved.save(state, state, {"epoch": 1}, force=True)
    saved.close()
    found = Checkpoints(tmp_path / "c").restore(state, state)
    assert found is not None and found[2] == {"epoch": 1}
    files = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    with pytest.raises(BadInput, match=r"c is damaged or unreadable \(.*its numbers changed"):
        Checkpoints(tmp_path / "c").restore(state, state)
