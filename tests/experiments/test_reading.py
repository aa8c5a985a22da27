"""The benchmark of reading: each kind of file is written, and read as what was written."""

import numpy as np
import pytest

import aerec
from aerec.errors import BadInput
from experiments import reading


@pytest.mark.parametrize("kind", reading.FILES)
def test_a_file_of_each_kind_is_read_whole(kind, tmp_path):
    path = tmp_path / f"ratings.{reading.FILES[kind]}"
    reading._write(path, kind, 300)
    options = {"user": 0, "item": 1, "rating": 2, "time": 3, "header": False}
    found = aerec.read(path, **(options if kind in reading.OPTIONS else {}))
    assert len(found.user) == 300
    assert set(np.unique(found.value)) == set(np.arange(0.5, 5.5, 0.5, dtype=np.float32))


def test_a_reading_is_measured_in_its_own_process():
    found = reading.read("parquet", 300)
    assert found["read_seconds"] > 0 and found["read_mb"] > 50 > found["file_mb"] > 0


def test_bad_input(here):
    with pytest.raises(BadInput, match="Did you mean csv"):
        reading.read("cvs", 3)
    refused = here("benchmark", "--what=read", "--record=speed")
    assert refused.status == 2 and "write FILE:ROW" in refused.err
