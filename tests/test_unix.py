"""Where there is no Unix, importing aerec says so."""

import importlib
import sys

import pytest

from aerec import unix


@pytest.mark.parametrize("missing", ["fcntl", "resource"])
def test_the_import_says_what_to_do(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)  # importing it raises ModuleNotFoundError
    with pytest.raises(ImportError, match=r"runs on Linux and macOS; on Windows") as caught:
        importlib.reload(unix)
    assert not isinstance(caught.value, ModuleNotFoundError)


def test_no_other_file_imports_what_windows_lacks():
    importlib.reload(unix)
    for name in ("aerec.runs.directory", "aerec.memory"):
        source = importlib.import_module(name).__file__
        with open(source, encoding="utf-8") as file:
            assert not {"import fcntl\n", "import resource\n"} & set(file)
