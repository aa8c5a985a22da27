"""Whose a folder is."""

import json

import pytest

from aerec.runs import directory
from aerec.errors import BadInput


def test_a_claim_cut_off_is_made_again(tmp_path):
    (tmp_path / "config.json.tmp").write_text('{"mod')
    directory.claim(tmp_path, {"model": "ease"})
    assert json.loads((tmp_path / "config.json").read_text()) == {"model": "ease"}


@pytest.mark.parametrize("made", [False, True])
def test_a_run_refused_before_it_trained_leaves_nothing(tmp_path, made):
    workdir = tmp_path / "run"
    if made:
        workdir.mkdir()
    with pytest.raises(BadInput, match="raise l2"), directory.claimed(workdir, {"model": "ease"}):
        raise BadInput("raise l2")
    assert workdir.exists() == made and not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("made", ["losses.jsonl", "model"])
def test_what_was_made_stays(tmp_path, made):
    with pytest.raises(BadInput), directory.claimed(tmp_path / "run", {"model": "ease"}):
        (tmp_path / "run" / made).mkdir()
        raise BadInput("later")
    assert {part.name for part in (tmp_path / "run").iterdir()} == {"config.json", made}


def test_a_damaged_log_is_told(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"epoch": 1}\n{"epo}\n{"epoch": 3}\n')
    with pytest.raises(BadInput, match=r"log.jsonl is damaged"):
        directory.EpochLog(tmp_path / "log.jsonl")


def test_a_log_is_cut_where_a_run_goes_on(tmp_path):
    first = directory.EpochLog(tmp_path / "log.jsonl")
    for epoch in (1, 2, 3):
        first(epoch, {"loss": epoch})
    with first.path.open("a") as file:
        file.write('{"epoch": 4, "lo')  # an interruption in mid-line
    directory.EpochLog(first.path)(3, {"loss": 0})
    lines = [json.loads(line) for line in first.path.read_text().splitlines()]
    assert lines == [{"epoch": 1, "loss": 1}, {"epoch": 2, "loss": 2}, {"epoch": 3, "loss": 0}]
