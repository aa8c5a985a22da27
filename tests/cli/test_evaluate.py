"""`experiments.evaluate` and `experiments.recommend` on finished runs, by hand where it matters."""

import csv
import gzip
import io
import json

import numpy as np
import polars as pl
import pytest

from aerec import files
from aerec.errors import BadInput

DATA = "--dataset=synthetic:users=150,items=60,ratings=4000"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, here):
    """Finished runs by name, each a few seconds."""
    folder = tmp_path_factory.mktemp("runs")
    rating = ("--model=autorec", "--set", "hidden=8", "--epochs=2", "--batch_size=32")
    commands = {
        "ease": ("--model=ease",),
        "popularity": ("--model=popularity",),
        "smaller": ("--model=ease", "--protocol=strong:fold_in=0.5"),
        "items": (*rating, "--seeds=2"),
        "users": (*rating, "--set", "item_based=false"),
    }
    for name, argv in commands.items():
        ran = here("train", DATA, *argv, "--baselines=", f"--workdir={folder / name}")
        assert ran.status == 0, ran.err
    return {name: folder / name for name in commands}


def results_of(workdir):
    return json.loads((workdir / "results.json").read_text())


@pytest.fixture(scope="module")
def favourites(runs):
    """A history file for ana, who lists three known items and one that is not, and for bo."""
    file = runs["ease"].parent / "my.csv"
    lines = ["rating,title,item,user", '5,"Alien, the film",3,ana', "4,x,7,ana", "4,x,oops,ana",
             "5,x,11,ana", "2,x,20,ana", "5,x,3,bo", "5,x,nowhere,cy"]  # fmt: skip
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize(
    ("name", "figure"), [("ease", "ndcg@100"), ("items", "rmse"), ("users", "mae")]
)
def test_rescored_as_it_was_scored(runs, here, tmp_path, name, figure):
    out = tmp_path / "found.json"
    argv = [f"--output={out}", "--intervals", f"--metrics={figure}"]
    before = results_of(runs[name])
    ran = here("evaluate", f"--workdir={runs[name]}", *argv)
    assert ran.status == 0, ran.err
    found, results = json.loads(out.read_text()), results_of(runs[name])
    assert found["test"] == pytest.approx(results["test"], rel=1e-6)
    assert found["protocol"] == results["protocol"]
    times = before["test_scored"] + 1
    assert found["test_scored"] == times and results == {**before, "test_scored": times}
    assert f"Test data scored with this run: {times} times" in ran.out
    assert f"{results['test'][figure]:.4f}" in ran.out
    for replica in found["seeds"]:
        low, high = replica["intervals"][figure]
        assert low < replica[figure] < high
        np.testing.assert_allclose(high - low, 2 * 1.96 * replica[f"{figure}_se"], rtol=0.25)
        assert f"[{low:.4f}, {high:.4f}]" in ran.out


def test_another_protocol_with_the_same_training_part(runs, here, tmp_path):
    """EASE trained on the same users is the same model, so its score there is that run's own."""
    out = tmp_path / "found.json"
    argv = ["--protocol=strong:fold_in=0.5", f"--output={out}"]
    ran = here("evaluate", f"--workdir={runs['ease']}", *argv)
    assert ran.status == 0, ran.err
    expected = results_of(runs["smaller"])
    found = json.loads(out.read_text())
    assert found["protocol"]["fold_in"] == 0.5
    assert found["test"]["ndcg@100"] == pytest.approx(expected["test"]["ndcg@100"], abs=1e-5)
    assert found["test"]["ndcg@100"] != pytest.approx(results_of(runs["ease"])["test"]["ndcg@100"])


@pytest.mark.parametrize(
    ("name", "argv", "words"),
    [
        ("ease", ["--protocol=strong:split_seed=1"], ["was trained on", "memory"]),
        ("ease", ["--protocol=per_user_holdout"], ["was trained on", "example user"]),
        ("ease", ["--protocol=strong:valid_users=0"], ["by whom the run was validated"]),
        ("users", ["--protocol=random_ratings:test=.19,valid=0"], ["by whom the run"]),
        ("items", ["--protocol=random_ratings:split_seed=1"], ["was trained on"]),
        ("items", ["--protocol=strong"], ["random_ratings", "ranking"]),
        ("ease", ["--metrics=ndcg@7"], ["No figure is called 'ndcg@7'", "ndcg@100"]),
        ("ease", ["--metrics=coverage@10", "--intervals"], ["'coverage@10' is no figure over"]),
        ("ease", ["--output=/nowhere/x.json"], ["/nowhere/x.json cannot be written"]),
    ],
)
def test_what_is_refused(runs, here, name, argv, words):
    ran = here("evaluate", f"--workdir={runs[name]}", *argv)
    said = " ".join(ran.err.split())
    assert ran.status == 2, said
    assert all(word in said for word in words), said


def test_a_run_that_cannot_be_written_is_scored_all_the_same(runs, here, monkeypatch):
    def full(path, content):
        raise BadInput(f"{path} cannot be written")

    before = results_of(runs["popularity"])
    monkeypatch.setattr(files, "write_json", full)
    ran = here("evaluate", f"--workdir={runs['popularity']}")
    assert ran.status == 0 and results_of(runs["popularity"]) == before
    assert "That is not recorded" in " ".join(ran.out.split())


def test_other_ratings_under_the_same_name(runs, here, tmp_path):
    """A run whose data changed since cannot be scored again."""
    file = tmp_path / "my.csv"
    rng = np.random.default_rng(0)
    drawn = [(u, i) for u in range(60) for i in range(30) if rng.random() < 0.5]
    lines = [f"{u},{i},{4 + (u + i) % 2}\n" for u, i in drawn]
    file.write_text("user,item,rating\n" + "".join(lines))
    argv = [f"--data_file={file}", "--model=popularity", "--baselines=", "--scale=1,5"]
    assert here("train", *argv, f"--workdir={tmp_path / 'w'}").status == 0
    file.write_text("user,item,rating\n" + "".join(lines[:-40]))
    ran = here("evaluate", f"--workdir={tmp_path / 'w'}")
    assert ran.status == 2
    assert "not those that the run was trained on" in ran.err


def test_against(runs, here, tmp_path):
    out = tmp_path / "found.json"
    argv = ["--metrics=ndcg@100,recall@20", f"--output={out}"]
    ran = here("evaluate", f"--workdir={runs['ease']}", f"--against={runs['popularity']}", *argv)
    assert ran.status == 0, ran.err
    (pair,) = json.loads(out.read_text())["pairs"]
    a, b = results_of(runs["ease"])["test"], results_of(runs["popularity"])["test"]
    for name in ("ndcg@100", "recall@20"):
        assert pair[name]["difference"] == pytest.approx(a[name] - b[name], abs=1e-6)
        assert 0 < pair[name]["p"] <= 1
        low, high = pair[name]["interval"]
        assert low <= pair[name]["difference"] <= high
    same = here("evaluate", f"--workdir={runs['ease']}", f"--against={runs['ease']}")
    assert "p=1" in same.out
    whole = here(
        "evaluate", f"--workdir={runs['ease']}", f"--against={runs['popularity']}",
        "--metrics=coverage@10",
    )  # fmt: skip
    assert whole.status == 2 and "there is nothing to pair" in whole.err


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("ease", "smaller", ["different protocols", "differ in fold_in"]),
        ("ease", "users", ["different protocols"]),
        ("items", "users", ["are items, of the other users"]),
    ],
)
def test_runs_that_do_not_pair(runs, here, first, second, words):
    ran = here("evaluate", f"--workdir={runs[first]}", f"--against={runs[second]}")
    assert ran.status == 2
    assert all(word in ran.err for word in words), ran.err


def test_runs_on_other_ratings_do_not_pair(runs, here, tmp_path):
    argv = [f"{DATA},seed=1", "--model=popularity", "--baselines=", f"--workdir={tmp_path / 'w'}"]
    assert here("train", *argv).status == 0
    ran = here("evaluate", f"--workdir={runs['ease']}", f"--against={tmp_path / 'w'}")
    assert ran.status == 2
    assert "different ratings" in ran.err


def test_recommend_as_a_process(runs, favourites, process):
    """Standard output is the CSV and nothing else; what was not understood goes to the other."""
    argv = [f"--workdir={runs['ease']}", f"--history={favourites}", "--k=5", "--format=csv"]
    running = process("recommend", *argv)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    lines = list(csv.DictReader(io.StringIO(out)))
    assert list(lines[0]) == ["user", "rank", "item", "title", "score"]
    assert [(line["user"], line["rank"]) for line in lines] == [
        (user, str(rank)) for user in ("ana", "bo") for rank in range(1, 6)
    ]
    for user, seen in (("ana", {"3", "7", "11", "20"}), ("bo", {"3"})):
        own = [line for line in lines if line["user"] == user]
        assert not {line["item"] for line in own} & seen
        scores = [float(line["score"]) for line in own]
        assert scores == sorted(scores, reverse=True)
    assert "unknown to the model are left out: oops, nowhere" in err
    assert "for users cy" in err
    assert "below the threshold of a click (4.0): 1." in err


def test_evaluate_as_a_process(runs, process):
    running = process("evaluate", f"--workdir={runs['ease']}")
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert f"{results_of(runs['ease'])['test']['ndcg@100']:.4f}" in out


@pytest.mark.parametrize("kind", ["table", "jsonl"])
def test_recommend_to_a_file(runs, favourites, here, tmp_path, kind):
    out = tmp_path / "top"
    argv = [f"--workdir={runs['users']}", f"--history={favourites}", "--k=4", f"--format={kind}"]
    shown = here("recommend", *argv)
    written = here("recommend", *argv, f"--output={out}")
    assert (shown.status, written.status, written.out) == (0, 0, "")
    assert out.read_text() == shown.out
    assert list(tmp_path.iterdir()) == [out]
    if kind == "jsonl":
        lines = [json.loads(line) for line in shown.out.splitlines()]
        assert [(line["user"], line["rank"]) for line in lines[:5]] == [
            ("ana", 1), ("ana", 2), ("ana", 3), ("ana", 4), ("bo", 1),
        ]  # fmt: skip
    else:
        assert "For user ana" in shown.out


@pytest.mark.parametrize(
    ("name", "lines", "argv", "words"),
    [
        ("items", ["item,rating", "3,5"], [], ["item-based", "item_based=false, multvae or ease"]),
        ("users", ["item", "3"], [], ["has no ratings", "`rating`"]),
        ("users", ["item,rating", "3,9"], [], ["line 2", "off the scale 1..5"]),
        ("users", ["item,rating", "3,nan"], [], ["line 2", "not a finite number"]),
        ("ease", ["film", "3"], [], ["line 1", "'item'", "film"]),
        ("ease", ["item", "a", "b"], [], ["none of its 2 items is known", "for example 0, 1, 2"]),
        ("ease", ["item"], [], ["has no entry"]),
        ("ease", [], [], ["the file is empty"]),
        ("ease", ["item", "3"], ["--replica=1"], ["has one replica, 0"]),
    ],
)
def test_histories_that_are_refused(runs, here, tmp_path, name, lines, argv, words):
    file = tmp_path / "my.csv"
    file.write_text("".join(f"{line}\n" for line in lines))
    out = f"--output={tmp_path / 'top.csv'}"
    ran = here("recommend", f"--workdir={runs[name]}", f"--history={file}", out, *argv)
    said = " ".join(ran.err.split())
    assert ran.status == 2, said
    assert all(word in said for word in words), said
    assert list(tmp_path.iterdir()) == [file]


def test_histories_of_any_format(runs, favourites, here, tmp_path):
    argv = [f"--workdir={runs['ease']}", "--k=4", "--format=csv"]
    want = here("recommend", *argv, f"--history={favourites}").out
    assert want.count("\n") == 9
    frame = pl.read_csv(favourites, infer_schema=False)
    frame.with_columns(pl.col("rating").cast(pl.Float64)).write_parquet(tmp_path / "my.parquet")
    frame.write_ndjson(tmp_path / "my.jsonl")
    (tmp_path / "my.csv.gz").write_bytes(gzip.compress(favourites.read_bytes()))
    frame.write_csv(tmp_path / "my.tsv", separator="\t")
    for file in sorted(tmp_path.iterdir()):
        assert here("recommend", *argv, f"--history={file}").out == want, file


def test_a_history_that_is_missing(runs, here, tmp_path):
    argv = [f"--workdir={runs['ease']}", f"--history={tmp_path / 'gone.csv'}"]
    ran = here("recommend", *argv)
    assert ran.status == 2
    assert "gone.csv: cannot be read" in ran.err
