"""`python -m experiments.train`: what it leaves, again, cut off, on other splits."""

import gzip
import json
import signal

import chex
import numpy as np
import pytest

from aerec.models import elsa
from aerec.runs import artefact

DATA = "--dataset=synthetic:users=150,items=60,ratings=4000"
TINY = (
    DATA, "--set", "hidden=16", "--set", "latent=4", "--batch_size=32", "--learning_rate=0.001",
    "--evaluate_every=1",
)  # fmt: skip
EPOCHS = 12
LONG = (*TINY, f"--epochs={EPOCHS}", "--checkpoint_seconds=0", "--seed=1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, here):
    """The workdir of a run of `LONG` that nothing disturbed, and what it printed."""
    workdir = tmp_path_factory.mktemp("train") / "whole"
    ran = here("train", *LONG, f"--workdir={workdir}", pictures=True)
    assert ran.status == 0, ran.err
    return workdir, ran.out


def figures_of(workdir):
    """metrics.jsonl, without the seconds."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def results_of(workdir):
    return json.loads((workdir / "results.json").read_text())


def contents(workdir):
    return {p: p.read_bytes() for p in sorted(workdir.rglob("*")) if p.is_file()}


def test_default_epochs_rise_to_the_fewest_updates(here, tmp_path, monkeypatch):
    """120 training users in batches of 60: two updates an epoch."""
    own = elsa.traits
    asked = {"training": {"epochs": 2, "batch_size": 60}, "updates": 5}
    monkeypatch.setattr(elsa, "traits", lambda config: own(config)._replace(**asked))
    argv = (DATA, "--model=elsa", "--set", "latent=4", "--baselines=", f"--workdir={tmp_path}/w")
    ran = here("train", *argv)
    assert ran.status == 0, ran.err
    assert json.loads((tmp_path / "w" / "config.json").read_text())["settings"]["epochs"] == 3


def test_what_a_run_leaves(finished):
    workdir, out = finished
    results = results_of(workdir)
    named = {
        "protocol", "model", "seed", "test", "fit_seconds", "epoch_seconds", "compile_seconds",
        "eval_seconds", "peak_rss_mb", "versions", "device",
    }  # fmt: skip
    assert named <= set(results)
    assert results["test_scored"] >= 1
    for name in ("precision", "recall", "recall_all", "ndcg"):
        assert 0 <= results["test"][f"{name}@20"] <= 1
        assert results["test"][f"{name}@20_se"] > 0
    assert results["protocol"]["name"] == "strong"
    assert results["protocol"]["hash"]
    assert [line["epoch"] for line in figures_of(workdir)] == list(range(1, EPOCHS + 1))
    assert set(results["baselines"]) == {"popularity", "ease"}
    for picture in ("learning_curve.png", "activity.png"):
        assert (workdir / picture).read_bytes().startswith(b"\x89PNG")
    best = max(line["ndcg@100"] for line in figures_of(workdir))
    assert results["validation"]["best"] == [best]
    for shown in (f"{results['test']['ndcg@100']:.4f}", "popularity", "ease", "Next: python -m"):
        assert shown in out
    assert not list(workdir.rglob("*.tmp*"))


def test_the_same_command_again(finished, here):
    workdir, out = finished
    before = results_of(workdir)
    parameters = artefact.load(workdir).params
    again = here("train", *LONG, f"--workdir={workdir}")
    assert again.status == 0
    table = out[out.index("Test figures") : out.index("Fitted")]
    assert table in again.out
    after = results_of(workdir)
    for name in ("test", "baselines", "validation", "best_epoch", "epochs", "fit_seconds"):
        assert after[name] == before[name]
    chex.assert_trees_all_equal(artefact.load(workdir).params, parameters)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--learning_rate=0.5", "settings.learning_rate 0.001 there, 0.5 now"),
        ("--seed=3", "seeds [1] there, [3] now"),
        ("--set=dropout=0.1", "set.dropout 0.2 there, 0.1 now"),
        ("--protocol=strong:fold_in=0.5", "protocol.fold_in 0.8 there, 0.5 now"),
        ("--model=ease", "model multvae there, ease now"),
        ("--dataset=synthetic:users=150,items=60,ratings=4000,seed=1", "data_hash"),
    ],
)
def test_another_run_on_the_same_workdir_is_refused(finished, here, flag, said):
    workdir, _ = finished
    before = contents(workdir)
    given = LONG if flag != "--model=ease" else (DATA,)
    ran = here("train", *given, flag, f"--workdir={workdir}")
    assert ran.status == 2
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert contents(workdir) == before


KILLED = """
import os, signal, sys

left = 6

def hook(event, args):
    global left
    if event == "open" and args[1] == "a" and str(args[0]).endswith("metrics.jsonl"):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
"""


def test_killed_and_started_again(finished, process, tmp_path):
    """The same command after `kill -9` ends in the bits of the run that nothing disturbed. It dies
    as it opens its log to write an epoch; `tests/runs/test_fitting.py` has a death in a rename."""
    whole, _ = finished
    workdir = tmp_path / "killed"
    running = process("train", *LONG, f"--workdir={workdir}", before=KILLED)
    err = running.communicate(timeout=120)[1]
    assert running.returncode == -signal.SIGKILL, err
    assert not (workdir / "results.json").exists()
    assert 4 <= len(figures_of(workdir)) < EPOCHS
    running = process("train", *LONG, f"--workdir={workdir}", afresh=True)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert f"{results_of(whole)['test']['ndcg@100']:.4f}" in out

    chex.assert_trees_all_equal(artefact.load(workdir).params, artefact.load(whole).params)
    assert figures_of(workdir) == figures_of(whole)
    for name in ("test", "seeds", "validation", "best_epoch"):
        assert results_of(workdir)[name] == results_of(whole)[name]
    rows, expected = (np.load(w / "test_rows.npz") for w in (workdir, whole))
    for name in expected.files:
        np.testing.assert_array_equal(rows[name], expected[name])


def write(folder, files):
    folder.mkdir()
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))


def test_ready_splits_for_ranking(here, tmp_path):
    """Popularity on a split small enough to rank by hand: item 1 before 2 before 3 before 4."""
    train = ["uid,sid", "1,1", "1,2", "1,3", "1,4", "2,1", "2,2", "2,3", "3,1", "3,2", "4,1"]
    write(
        tmp_path / "split",
        {
            "train.csv": train,
            "validation_tr.csv": ["uid,sid", "8,1"],
            "validation_te.csv": ["uid,sid", "8,2"],
            "test_tr.csv": ["uid,sid", "9,2", "7,1"],
            "test_te.csv": ["uid,sid", "9,3", "7,4"],
        },
    )
    workdir = tmp_path / "w"
    argv = [f"--split_dir={tmp_path / 'split'}", "--model=popularity", "--baselines="]
    assert here("train", "--protocol=files", *argv, f"--workdir={workdir}").status == 0
    # User 9 is shown 1, 3, 4 and wants 3, at rank 2; user 7 is shown 2, 3, 4 and wants 4, at 3.
    expected = (1 / np.log2(3) + 1 / np.log2(4)) / 2
    np.testing.assert_allclose(results_of(workdir)["test"]["ndcg@10"], expected, rtol=1e-6)
    assert results_of(workdir)["protocol"]["name"] == "files"
    again = here("evaluate", f"--workdir={workdir}", "--metrics=ndcg@10")
    assert f"{expected:.4f}" in again.out, again.err


def test_ready_splits_of_known_users(here, tmp_path):
    """Popularity on lists of items: 1 before 2 before 3 before 4; `evaluate` draws the same."""
    write(tmp_path / "s", {"train.txt": ["5 1 2 3", "6 1 2", "7 1"], "test.txt": ["6 4", "7 3"]})
    popularity = [f"--split_dir={tmp_path / 's'}", "--model=popularity", "--baselines="]
    for share in (0, 0.5):
        workdir = tmp_path / f"w{share}"
        argv = [*popularity, f"--protocol=files:valid_share={share}", f"--workdir={workdir}"]
        assert here("train", *argv).status == 0
        assert results_of(workdir)["protocol"]["valid_share"] == share
        again = here("evaluate", f"--workdir={workdir}")
        assert "Largest difference from results.json: 0." in again.out, again.err
    twice = here("train", *popularity, f"--protocol=files:split_dir={tmp_path}")
    assert twice.status == 2 and "is --split_dir" in twice.err
    # User 6 is shown 3, 4 and wants 4, at rank 2; user 7 is shown 2, 3, 4 and wants 3, at rank 2.
    found = results_of(tmp_path / "w0")["test"]
    np.testing.assert_allclose(found["ndcg@10"], 1 / np.log2(3), rtol=1e-6)


def test_ready_splits_for_rating(here, tmp_path):
    """The bias of a table of one value is that value everywhere."""
    pairs = [(user, item) for user in range(6) for item in range(5)]
    lines = [f"{u},{i},3" for u, i in pairs if (u + i) % 4]
    held = [f"{u},{i},4" for u, i in pairs if not (u + i) % 4]
    write(
        tmp_path / "split",
        {
            "train.csv": ["user,item,rating", *lines, "9,9,1", "8,8,5"],
            "valid.csv": ["user,item,rating", *held[:3]],
            "test.csv": ["user,item,rating", *held[3:]],
        },
    )
    workdir = tmp_path / "w"
    argv = [f"--split_dir={tmp_path / 'split'}", "--model=bias", f"--workdir={workdir}"]
    ran = here("train", *argv)
    assert ran.status == 0, ran.err
    assert "the scale 1..5" in ran.out
    results = results_of(workdir)["test"]
    np.testing.assert_allclose(results["rmse"], 1.0, atol=0.02)
    assert {"rmse_unclipped", "mae", "rmse_se"} <= set(results)


def test_own_file(here, tmp_path):
    """A file of one's own, with bad lines to skip; then evaluated where it has moved to."""
    rng = np.random.default_rng(0)
    drawn = [(u, i) for u in range(60) for i in range(30) if rng.random() < 0.5]
    lines = [f"u{u}\tfilm {i}\t{rng.integers(1, 6)}" for u, i in drawn]
    file, moved, workdir = tmp_path / "my.tsv", tmp_path / "moved.tsv", tmp_path / "w"
    file.write_text("\n".join(["who\twhat\tstars", *lines, "u1\tfilm 2\tgood"]) + "\n")
    ran = here(
        "train", f"--data_file={file}", "--separator=\\t", "--on_bad_line=skip", "--model=ease",
        "--columns=user=who,item=what,rating=stars", f"--workdir={workdir}", "--scale=1,5",
        "--baselines=",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert "Skipped 1 malformed lines" in ran.out
    assert results_of(workdir)["dataset"] == "my.tsv"
    file.rename(moved)
    lost = here("evaluate", f"--workdir={workdir}")
    assert lost.status == 2
    assert "my.tsv: cannot be read" in lost.err
    assert here("evaluate", f"--workdir={workdir}", f"--data_file={moved}").status == 0


def test_a_file_is_recognised(here, tmp_path):
    """No flag says what a packed file in another encoding and of other names looks like."""
    rng = np.random.default_rng(0)
    drawn = [(u, i) for u in range(60) for i in range(30) if rng.random() < 0.5]
    lines = [f"usér{u}\tfilm {i}\t{rng.integers(1, 6)}" for u, i in drawn]
    file = tmp_path / "my.tsv.gz"
    text = "\n".join(["User_ID\tMovie_ID\tStars", *lines]) + "\n"
    file.write_bytes(gzip.compress(text.encode("latin-1")))
    argv = [f"--data_file={file}", "--model=popularity", "--baselines="]
    ran = here("train", *argv, f"--workdir={tmp_path / 'w'}")
    assert ran.status == 2 and "line 2" in ran.err and "give --encoding" in ran.err
    ran = here("train", *argv, "--encoding=latin-1", f"--workdir={tmp_path / 'w'}")
    assert ran.status == 0, ran.err
    assert f"60 users, 30 items, {len(drawn)} ratings" in " ".join(ran.out.split())
    assert here("evaluate", f"--workdir={tmp_path / 'w'}").status == 0


def test_seeds_are_replicas(finished, here, tmp_path):
    argv = [*LONG, "--baselines=popularity", "--seed=0", "--seeds=2"]
    ran = here("train", *argv, f"--workdir={tmp_path / 'both'}")
    assert ran.status == 0, ran.err
    assert "mean ± sd of 2 seeds" in ran.out
    results, one = results_of(tmp_path / "both"), results_of(finished[0])  # of seed 1
    each = [seed["ndcg@100"] for seed in results["seeds"]]
    np.testing.assert_allclose(results["test"]["ndcg@100"], np.mean(each))
    np.testing.assert_allclose(results["test"]["ndcg@100_sd"], np.std(each, ddof=1))
    np.testing.assert_allclose(each[1], one["test"]["ndcg@100"], atol=1e-3)
    assert each[0] != each[1]


def test_a_run_that_diverges(here, tmp_path):
    argv = [*TINY, "--epochs=2", "--learning_rate=1e30", "--optimiser=sgd"]
    ran = here("train", *argv, f"--workdir={tmp_path / 'w'}")
    assert ran.status == 1
    said = " ".join(ran.err.split())
    assert "multvae" in said
    assert "at step" in said
    assert "--learning_rate" in said
    assert "Traceback" not in said
    assert not (tmp_path / "w" / "results.json").exists()
