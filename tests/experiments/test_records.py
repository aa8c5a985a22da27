"""Kept results: what is written is read, and a damaged file is refused by name."""

import json
import re

import pytest

from aerec.errors import BadInput
from experiments import records

RESULTS = {
    "protocol": {"name": "strong", "task": "ranking", "hash": "0f4b"}, "dataset": "ml-1m",
    "versions": {"jax": "0.10.2"}, "device": "cpu x 1", "fit_seconds": 2.5, "peak_rss_mb": 700.0,
    "seeds": [{"seed": 3}], "split_hash": ["41c0"],
    "test": {"ndcg@100": 0.41, "ndcg@100_se": 0.005, "recall@20": 0.34, "recall@20_se": 0.01},
}  # fmt: skip


def of(results, **changed):
    given = {"figures": ("ndcg@100", "rmse"), "command": "python -m experiments.train"} | changed
    return records.record(given.pop("label", "ease_ml1m"), results, **given)


def test_a_record_is_written_and_read(tmp_path):
    tuning = {"trials": 4, "setting": {"l2": 300.0}}
    rows = [of(RESULTS, published={"ndcg@100": 0.42}, tuning=tuning), of(RESULTS, label="b-2.x")]
    path = records.write("board", "A board", rows, tmp_path)
    assert path == tmp_path / "board.json"
    assert records.read("board", tmp_path) == ("A board", rows)
    row = json.loads(path.read_text())["rows"][0]
    assert row["figures"] == {"ndcg@100": 0.41}  # it has no RMSE, and no other was asked for
    assert row["errors"] == {"ndcg@100": pytest.approx(1.96 * 0.005)}
    assert (row["error_kind"], row["seeds"], row["split_hash"]) == ("interval", [3], ["41c0"])
    assert (row["seconds"], row["test_scored"], row["tuning"]) == (2.5, 1, tuning)


def test_of_several_seeds_the_error_is_their_standard_deviation():
    test = {**RESULTS["test"], "ndcg@100_sd": 0.002}
    row = of({**RESULTS, "seeds": [{"seed": 0}, {"seed": 1}], "test": test})
    assert (row.error_kind, row.errors, row.seeds) == ("sd", {"ndcg@100": 0.002}, [0, 1])


def test_the_machine_is_that_of_the_run():
    assert of({**RESULTS, "device": "NVIDIA H100 x 1"}).machine == "NVIDIA H100"
    assert of({**RESULTS, "device": "NVIDIA H100 x 8"}).machine == "NVIDIA H100 x 8"
    assert re.match(r"\d+ cores? of an ", records.machine("cpu x 1"))


def test_a_row_is_added_or_replaced(tmp_path):
    first, second = of(RESULTS), of(RESULTS, label="second")
    for row in (first, second, of(RESULTS, figures=("recall@20",))):
        records.add("speed", "Benchmarks", row, tmp_path)
    title, rows = records.read("speed", tmp_path)
    assert (title, [row.label for row in rows]) == ("Benchmarks", ["second", "ease_ml1m"])
    assert rows[1].figures == {"recall@20": 0.34}


def broken(change):
    content = {"title": "t", "rows": [json.loads(json.dumps(vars(of(RESULTS))))]}
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "damaged"),
        (broken(lambda c: c.pop("title")), "has no title"),
        (broken(lambda c: c["rows"].append(c["rows"][0])), "two rows are labelled ease_ml1m"),
        (broken(lambda c: c["rows"][0].update(label="a b")), "'a b' is no label"),
        (broken(lambda c: c["rows"][0].update(nonsense=1)), "nonsense"),
        (broken(lambda c: c["rows"][0].pop("command")), "command"),
        (broken(lambda c: c["rows"][0].update(machine="")), "machine is missing"),
        (broken(lambda c: c["rows"][0]["figures"].update({"ndcg@100": None})), "ndcg@100 is None"),
        (broken(lambda c: c["rows"][0]["errors"].update(mae=1.0)), "without its figure, mae"),
        (broken(lambda c: c["rows"][0].update(error_kind="se")), "interval or sd"),
        (broken(lambda c: c["rows"][0].update(seconds="2 s")), "seconds is a number"),
    ],
)
def test_a_damaged_file_is_refused(text, said, tmp_path):
    (tmp_path / "board.json").write_text(text)
    with pytest.raises(BadInput, match=said):
        records.read("board", tmp_path)
