"""A run directory: whose it is, one process at a time, whole or resumable at every moment."""

import fcntl
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from aerec.errors import BadInput
from aerec.runs import directory

CONFIG = {"format": directory.FORMAT, "model": "ease", "set": {}, "shape": [2, 3], "seeds": [0]}


def names(folder):
    return sorted(part.name for part in folder.iterdir())


def test_a_claim_cut_off_is_made_again(tmp_path):
    (tmp_path / "config.json.tmp").write_text('{"mod')
    (tmp_path / "run.lock").touch()  # of a process that was killed
    with directory.claimed(tmp_path, CONFIG):
        assert json.loads((tmp_path / "config.json").read_text()) == CONFIG
        (tmp_path / "model").mkdir()
    assert names(tmp_path) == ["config.json", "model"]


@pytest.mark.parametrize("error", [BadInput("raise l2"), RuntimeError("out of memory")])
@pytest.mark.parametrize("existing", [False, True])
def test_a_run_that_made_nothing_leaves_nothing(tmp_path, existing, error):
    workdir = tmp_path / "runs" / "mine"
    if existing:
        workdir.mkdir(parents=True)
    with pytest.raises(type(error), match=str(error)), directory.claimed(workdir, CONFIG):
        (workdir / "checkpoints" / "empty").mkdir(parents=True)
        raise error
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == (
        ["runs", "runs/mine"] if existing else []
    )


@pytest.mark.parametrize("made", ["losses.jsonl", "model"])
def test_what_was_made_stays(tmp_path, made):
    with pytest.raises(BadInput), directory.claimed(tmp_path / "run", CONFIG):
        (tmp_path / "run" / made).mkdir()
        raise BadInput("later")
    assert names(tmp_path / "run") == ["config.json", made]


def test_a_refused_run_touches_nothing_of_others(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    before = tmp_path.stat().st_mtime_ns
    with pytest.raises(BadInput, match="is not a run"), directory.claimed(tmp_path, CONFIG):
        pass
    assert tmp_path.stat().st_mtime_ns == before  # no name came or went, the lock's neither
    with directory.claimed(tmp_path / "run", CONFIG):
        (tmp_path / "run" / "model").mkdir()
    other = {**CONFIG, "set": {"l2": 3.0}}
    with (
        pytest.raises(BadInput, match=r"another run: set.l2 unset there, 3.0 now"),
        directory.claimed(tmp_path / "run", other),
    ):
        pass
    assert names(tmp_path / "run") == ["config.json", "model"]


def test_leftovers_of_a_killed_process_go_and_the_users_files_stay(tmp_path):
    with directory.claimed(tmp_path, CONFIG):
        (tmp_path / "losses.jsonl").touch()
    for left in ("results.json.tmp", "test_rows.npz.tmp", "notes.tmp"):
        (tmp_path / left).write_text("half")
    for left in ("model.tmp", "model.tmp.old", "model.tmp.orbax-checkpoint-tmp"):
        (tmp_path / left / "d").mkdir(parents=True)
    with directory.claimed(tmp_path, CONFIG):
        pass
    assert names(tmp_path) == ["config.json", "losses.jsonl", "notes.tmp"]


def test_one_process_at_a_time(tmp_path):
    with directory.claimed(tmp_path / "w", CONFIG):
        with (
            pytest.raises(BadInput, match="another process is at work"),
            directory.claimed(tmp_path / "w", CONFIG),
        ):
            pass
        assert names(tmp_path / "w") == ["config.json", "run.lock"]
        (tmp_path / "w" / "losses.jsonl").touch()
    with directory.claimed(tmp_path / "w", CONFIG):
        pass


RACE = """
import os, sys, pathlib, time
from aerec.errors import BadInput
from aerec.runs import directory
workdir, config = pathlib.Path(sys.argv[1]), {config}
for _ in range(5):
    (start, go), (told, tell) = os.pipe(), os.pipe()
    children = []
    for _ in range(8):
        children.append(os.fork())
        if not children[-1]:
            os.close(go)
            os.read(start, 1)  # returns when the parent closes the pipe: all begin at once
            try:
                with directory.claimed(workdir, config):
                    os.write(tell, b"w")
                    time.sleep(60)  # until killed
            except BadInput as error:
                os.write(tell, b"l" if "at work" in str(error) else b"?")
            os._exit(0)
    os.close(go), os.close(start), os.close(tell)
    print("".join(sorted(os.read(told, 1).decode() for _ in children)))
    for child in children:
        os.kill(child, 9), os.waitpid(child, 0)
"""


def test_of_eight_processes_that_start_together_one_wins(tmp_path):
    """On a new directory, and again on what the killed winner left."""
    script = RACE.replace("{config}", repr(CONFIG))
    ran = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a" / "b"], capture_output=True, timeout=60
    )
    assert ran.stdout.decode().split() == ["lllllllw"] * 5, ran.stderr.decode()
    assert names(tmp_path / "a" / "b") == ["config.json", "run.lock"]


def test_a_lock_file_that_its_holder_deleted_locks_nothing(tmp_path, monkeypatch):
    """Between another process' opening and locking it: the file that has the name is locked."""
    lock, calls = fcntl.flock, []

    def late(descriptor, how):
        calls.append(descriptor)
        if len(calls) < 3:  # first deleted, then made again by a third process
            (tmp_path / "w" / "run.lock").unlink()
            if len(calls) == 2:
                (tmp_path / "w" / "run.lock").touch()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with directory.claimed(tmp_path / "w", CONFIG):
        assert len(calls) == 3
        with (
            pytest.raises(BadInput, match="another process is at work"),
            directory.claimed(tmp_path / "w", CONFIG),
        ):
            pass


def test_a_run_is_finished_with_its_results_and_its_model(tmp_path):
    for part, so_far in (("config.json", False), ("results.json", False), ("model", True)):
        (tmp_path / part).touch()
        assert directory.finished(tmp_path) == so_far
    directory.require(tmp_path, "config.json", "model")
    with pytest.raises(BadInput, match=r"has no test_rows.npz: no finished run is there"):
        directory.require(tmp_path, "config.json", "test_rows.npz", "model")


def test_a_run_of_another_format(tmp_path):
    old = {name: value for name, value in CONFIG.items() if name != "format"}
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert directory.read_config(tmp_path)["format"] == 1
    with (
        pytest.raises(BadInput, match=r"earlier version .*can be evaluated, .* but not trained"),
        directory.claimed(tmp_path, CONFIG),
    ):
        pass
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "format": directory.FORMAT + 1}))
    with pytest.raises(BadInput, match=r"install a later one"):
        directory.read_config(tmp_path)
    assert names(tmp_path) == ["config.json"]


def test_results_with_figures_that_are_no_numbers(tmp_path):
    """A standard error over one row: null in the file, NaN to who reads it."""
    figures = {"ndcg@10": 0.5, "ndcg@10_se": float("nan")}
    results = {"test": figures, "seeds": [{"seed": 0, **figures}], "baselines": {"ease": figures}}
    rows = [{"ndcg@10": np.array([0.5, np.nan], np.float32)}]
    directory.write_results(tmp_path, results, rows)
    assert json.loads((tmp_path / "results.json").read_text())["test"]["ndcg@10_se"] is None
    read = directory.read_results(tmp_path)
    for found in (read["test"], read["seeds"][0], read["baselines"]["ease"]):
        assert found["ndcg@10"] == 0.5 and np.isnan(found["ndcg@10_se"])
    (found,) = directory.read_rows(tmp_path)
    np.testing.assert_array_equal(found["ndcg@10"], rows[0]["ndcg@10"])


@pytest.mark.parametrize("line", ['{"epo}', '{"loss": 2}', "3"])
def test_a_damaged_log_is_named(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(f'{{"epoch": 1}}\n{line}\n{{"epoch": 3}}\n')
    with pytest.raises(BadInput, match=r"log.jsonl is damaged"):
        directory.EpochLog(tmp_path / "log.jsonl")


def test_a_log_is_cut_where_a_run_goes_on(tmp_path):
    first = directory.EpochLog(tmp_path / "log.jsonl")
    for epoch in (1, 2, 3):
        first(epoch, {"loss": epoch})
    with first.path.open("a") as file:
        file.write('{"epoch": 4, "lo')  # an interruption in mid-line
    directory.EpochLog(first.path)(3, {"loss": float("nan")})
    lines = [json.loads(line) for line in first.path.read_text().splitlines()]
    assert lines == [
        {"epoch": 1, "loss": 1}, {"epoch": 2, "loss": 2}, {"epoch": 3, "loss": None}
    ]  # fmt: skip
    assert np.isnan(directory.read_log(first.path)[2]["loss"])


def test_a_place_where_no_folder_can_be_is_refused():
    """The kernel reports it as missing for ever; it is not tried for ever."""
    claim = directory.claimed(pathlib.Path("/proc/run"), CONFIG)
    with pytest.raises(BadInput, match="cannot be written"), claim:
        raise AssertionError


@pytest.mark.parametrize(
    "changed",
    [{"seeds": 5}, {"seeds": []}, {"shape": ["a", 3]}, {"shape": [2]}, {"shape": [2, 0]},
     {"set": [1]}, {"settings": 5}, {"protocol": "strong"}, {"format": "3"}],
)  # fmt: skip
def test_a_config_of_other_kinds_is_damaged(tmp_path, changed):
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **changed}))
    with pytest.raises(BadInput, match=r"config.json is damaged"):
        directory.read_config(tmp_path)


def test_results_and_rows_that_do_not_fit(tmp_path):
    seeds = [{"seed": seed, "ndcg@10": 0.5} for seed in range(2)]
    rows = [{"ndcg@10": np.array([0.4, 0.6], np.float32)}] * 2
    for few in (rows[:1], []):
        directory.write_results(tmp_path, {"test": {}, "seeds": seeds}, few)
        with pytest.raises(BadInput, match=r"test_rows.npz is damaged .* replicas, and results"):
            directory.read_reports(tmp_path, directory.read_results(tmp_path))
    directory.write_results(tmp_path, {"test": {}, "seeds": seeds, "test_scored": "x"}, rows)
    with pytest.raises(BadInput, match=r"results.json is damaged .*its test_scored is no int"):
        directory.read_results(tmp_path)
    nothing = [{"seed": 0}]
    directory.write_results(tmp_path, {"test": {}, "seeds": nothing}, [])
    assert directory.read_reports(tmp_path, directory.read_results(tmp_path)) == []
