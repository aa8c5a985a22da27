"""Files appear whole or not at all; JSON that every reader reads."""

import errno
import json
import math
import os

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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "words of another language"), "No space left on device.*free some"),
        (OSError(errno.EDQUOT, ""), "quota exceeded.*free some"),
        (OSError(errno.EROFS, ""), "Read-only file system.*name another place"),
        (PermissionError(errno.EACCES, ""), "Permission denied.*name another place"),
        (ValueError("d/5: File too large [os_error_code='27']"), "File too large.*free some"),
        (ValueError("[OS error 28: ENOSPC No space left on device]"), "No space left.*free some"),
    ],
)
def test_what_the_system_refuses_is_said_in_a_line(tmp_path, monkeypatch, error, words):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})

    def refuse(*_):
        raise error

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(BadInput, match=rf"x\.json cannot be written \(.*{words}") as caught:
        files.write_json(path, {"a": 2})
    assert len(str(caught.value).splitlines()) == 1
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_another_kind_is_not_the_systems():
    with pytest.raises(ValueError, match="shape 28") as caught, files.writing("x"):
        raise ValueError("shape 28")
    assert not isinstance(caught.value, BadInput)


def test_texts_are_written_and_read_as_utf8(tmp_path):
    files.write_text(tmp_path / "x", "Amélie ±")
    assert (tmp_path / "x").read_bytes() == "Amélie ±".encode()
    files.write_json(tmp_path / "y", {"Amélie": 1})
    assert files.read_json(tmp_path / "y", "Amélie", advice="") == {"Amélie": 1}


def test_what_is_wrong_with_the_input_is_not_taken_for_an_error_in_writing(tmp_path):
    with pytest.raises(BadInput, match=r"^x: damaged"), files.writing(tmp_path / "out"):
        raise BadInput("x: damaged (Input/output error (os error 5))")


def test_a_pipe_is_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(BadInput, match="pipe is a device or a pipe, which no file can replace"):
        files.write_text(path, "text")
    assert path.is_fifo() and list(tmp_path.iterdir()) == [path]
    link = tmp_path / "stdout"
    link.symlink_to("/proc/self/fd/1")
    with pytest.raises(BadInput, match="stdout is a device or a pipe"):
        files.write_text(link, "text")
    assert link.is_symlink()


def test_a_link_stays_one(tmp_path):
    link, file = tmp_path / "link", tmp_path / "there" / "file"
    file.parent.mkdir()
    for text in ("first", "second"):
        link.unlink(missing_ok=True)
        link.symlink_to(file)
        files.write_text(link, text)
        assert link.is_symlink() and file.read_text() == text


def test_json_of_other_kinds_is_damaged(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1, "b": [2]})
    kinds = {"a": int, "b": list, "c": dict}
    assert files.read_json(path, "a", advice="-", kinds=kinds) == {"a": 1, "b": [2]}
    with pytest.raises(BadInput, match=r"x.json is damaged .*its b is no dict"):
        files.read_json(path, "a", advice="-", kinds={"b": dict})
