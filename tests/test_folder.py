"""Whose a folder is."""

import json

from aerec import folder


def test_a_claim_cut_off_is_made_again(tmp_path):
    (tmp_path / "config.json.tmp").write_text('{"mod')
    folder.claim(tmp_path, {"model": "ease"})
    assert json.loads((tmp_path / "config.json").read_text()) == {"model": "ease"}


def test_a_log_is_cut_where_a_run_goes_on(tmp_path):
    first = folder.EpochLog(tmp_path / "log.jsonl")
    for epoch in (1, 2, 3):
        first(epoch, {"loss": epoch})
    with first.path.open("a") as file:
        file.write('{"epoch": 4, "lo')  # an interruption in mid-line
    folder.EpochLog(first.path)(3, {"loss": 0})
    lines = [json.loads(line) for line in first.path.read_text().splitlines()]
    assert lines == [{"epoch": 1, "loss": 1}, {"epoch": 2, "loss": 2}, {"epoch": 3, "loss": 0}]
