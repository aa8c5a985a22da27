"""Files appear whole or not at all; JSON that every reader reads."""

import json
import math

import numpy as np
import pytest

from aerec import files
from aerec.errors import BadInput


def test_a_write_that_fails_changes_nothing(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_appears_with_all_that_is_in_it(tmp_path):
    with files.replacing(tmp_path / "model") as temporary:
        (temporary / "deep").mkdir(parents=True)
        (temporary / "deep" / "file").write_text("whole")
        assert not (tmp_path / "model").exists()
    assert (tmp_path / "model" / "deep" / "file").read_text() == "whole"
    assert [part.name for part in tmp_path.iterdir()] == ["model"]


def test_what_json_has_no_number_for_is_null():
    def refuse(token):
        raise AssertionError(token)

    content = {"a": math.nan, "b": [1.5, (-math.inf, {"c": np.float64("nan")})], "d": None, "e": 0}
    read = json.loads(files.to_json(content), parse_constant=refuse)
    assert read == {"a": None, "b": [1.5, [None, {"c": None}]], "d": None, "e": 0}


@pytest.mark.parametrize("content", [b"junk", b""])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"x.npz is damaged .*\(\w+: .+\); start again"):
        files.read_arrays(path, advice="start again")
    files.write_arrays(path, {"a": np.arange(3), "b": np.array(["x", "yz"])})
    read = files.read_arrays(path, advice="")
    assert read["a"].tolist() == [0, 1, 2] and read["b"].tolist() == ["x", "yz"]
