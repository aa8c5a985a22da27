"""What a person can get wrong on a command line: told in one line, before anything is written."""

import fcntl
import shutil

import numpy as np
import pytest

from aerec.data import readers

SMALL = "--dataset=synthetic:users=120,items=60,ratings=3000"
TINY = [SMALL, "--epochs=2", "--set=hidden=8", "--set=latent=4", "--baselines="]
RATINGS = [f"{user},{item},{1 + (user * item) % 5}" for user in range(9) for item in range(9)]


def refused(here, binary, argv, *words, status=2):
    """The command fails with that status and says all the words, without a traceback."""
    ran = here(binary, *argv)
    said = " ".join(ran.err.split())
    assert ran.status == status, said
    assert "Traceback" not in said
    for word in words:
        assert word in said, said


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--set", "hiden=8"], ["model 'multvae' has no setting 'hiden'", "Did you mean hidden"]),
        (["--set", "dropout=big"], ["dropout is a number, not 'big'"]),
        (["--set", "hidden=8x"], ["hidden is numbers with commas between", "'8x'"]),
        (["--set", "hidden"], ["--set: 'hidden'", "NAME=VALUE"]),
        (["--set", "dropout=1"], ["dropout is at least 0 and below 1, not 1.0"]),
        (["--set", "dropout=nan"], ["dropout is a finite number, not 'nan'"]),
        (["--set", "latent=99999999999999999999"], ["latent is a whole number below 2^31"]),
        (["--model=svae", "--set", "scored=0"], ["scored is above 0 and at most 1"]),
        (
            ["--model=autorec", "--set", "hidden=5,3,4", "--set", "pretrain_steps=9"],
            ["read alike from both ends"],
        ),
        (["--dataset=synthetic:noise=nan"], ["noise takes a number, not 'nan'"]),
        (["--split_dir=.", "--data_file=my.csv"], ["--split_dir replaces --data_file"]),
        (["--mesh=data:9"], ["mesh=data:9 has 9 devices: there are 1"]),
        (["--set", "confidence=-5"], ["confidence is a number above 0"]),
        (["--set", "hidden=2000000000"], ["GiB", "smaller --batch_size"]),
        (["--epochs=0"], ["training: epochs is at least 1, not 0"]),
        (["--seed=4294967296"], ["the run: seed is a whole number below 2^31"]),
        (["--scale=1,5"], ["--scale: no effect without --data_file"]),
        (["--separator=;", "--noheader"], ["--separator, --header: no effect"]),
        (["--learning_rate=nan"], ["learning_rate is a finite number"]),
        (["--learning_rate=inf"], ["learning_rate is a finite number"]),
        (["--order_penalty=nan"], ["order_penalty is a finite number, not nan"]),
        (["--model=svae", "--order_penalty=1"], ["svae reads a sequence"]),
        (["--momentum=0.5"], ["--momentum belongs to sgd"]),
        (["--protocol=files:split_dir=x"], ["needs --split_dir"]),
        (["--protocol=global_time:test=0,valid=0.3"], ["Protocol 'global_time': test is above 0"]),
        (["--metric=ndcg@²"], ["'ndcg@²' needs its cut"]),
        (["--dataset=synthetic:seed=-1"], ["the seed are not negative"]),
        (["--set", "hidden=0"], ["hidden is at least 1"]),
        (["--set", "activation=tanhh"], ["unknown activation 'tanhh'", "nearest: tanh"]),
        (["--set", "likelihood=normal"], ["likelihood='normal' is unknown", "multinomial"]),
        (["--model=multvea"], ["No model is called 'multvea'", "Did you mean multvae"]),
        (["--dataset=ml-1n"], ["No dataset is called 'ml-1n'", "Did you mean ml-1m"]),
        (["--dataset=synthetic:user=3"], ["synthetic has no parameter 'user'", "users"]),
        (["--protocol=stong"], ["No protocol is called 'stong'", "Did you mean strong"]),
        (["--protocol=strong:fold=1"], ["strong", "'fold'", "fold_in"]),
        (["--protocol=strong:fold_in=2"], ["error: Protocol 'strong': fold_in=2.0 is not a share"]),
        (["--protocol=strong:test_users=0"], ["nobody to test on"]),
        (["--config=multvea"], ["No recipe is called 'multvea'"]),
        (["--metric=ndgc@10"], ["No ranking figure is called 'ndgc@10'", "Did you mean ndcg"]),
        (["--metric=ndcg"], ["'ndcg' needs its cut"]),
        (["--metric=ndcg", "--dataset=ml-1m", "--data_dir=none"], ["'ndcg' needs its cut"]),
        (["--model=autorec", "--metric=ndcg@10"], ["No rating figure is called 'ndcg@10'", "rmse"]),
        (["--model=autorec", "--protocol=strong"], ["'strong' ranks", "user-based model"]),
        (["--model=autorec", "--set", "hidden=8,8"], ["odd number of layers"]),
        (["--schedule=step"], ["schedule=step and milestones", "go together"]),
        (["--schedule=step", "--milestones=3,x"], ["milestones is numbers with commas", "'3,x'"]),
        (["--model=deeprec", "--set", "hidden="], ["hidden is empty"]),
        (["--model=ease", "--set", "l2=0"], ["l2 is a number above 0, not 0.0"]),
        (["--baselines=eas"], ["No model is called 'eas'", "ease"]),
        (["--model=ease", "--baselines=multvae"], ["baseline 'multvae' has to be trained"]),
        (["--protocol=files"], ["--split_dir"]),
        (["--protocol=strong", "--split_dir=x"], ["--split_dir goes with --protocol=files"]),
        (["--split_dir=/nowhere"], ["'/nowhere' is not a folder"]),
        (["--data_file=my.csv"], ["give one of them"]),
    ],
)
def test_names_and_values(here, tmp_path, argv, words):
    given = "".join(argv)
    data = [] if "--dataset" in given else [SMALL]
    refused(here, "train", [*data, f"--workdir={tmp_path / 'w'}", *argv], *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--epoch=3"], ["Unknown command line flag 'epoch'", "epochs"]),
        (["--epochs=many"], ["flag --epochs=many"]),
        (["--optimiser=adamw"], ["--optimiser=adamw", "adam|rprop|sgd|adagrad"]),
        (["multvae"], ["unexpected argument 'multvae'"]),
    ],
)
def test_flags(here, tmp_path, argv, words):
    ran = here("train", SMALL, f"--workdir={tmp_path / 'w'}", *argv)
    assert ran.status == 1
    said = " ".join((ran.out + ran.err).split())
    assert all(word in said for word in words), said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("lines", "argv", "words"),
    [
        (["user,item,rating", *RATINGS, "1,2"], [], ["line 83", "2 fields where 3"]),
        (["user,item,rating", "1,2,nan", *RATINGS], [], ["line 2", "'nan' is not a finite"]),
        (["user,item,rating", "1,2,inf", *RATINGS], [], ["line 2", "'inf' is not a finite"]),
        (["user,item,rating", "1,2,7", *RATINGS], ["--scale=1,5"], ["line 2", "7 is off the sc"]),
        (["user,item,rating", "1,,3", *RATINGS], [], ["line 2", "item", "is empty"]),
        ([], [], ["the file is empty"]),
        (["user,item,rating"], [], ["no ratings found"]),
        (["user,what,rating", *RATINGS], [], ["line 1", "'item'", "user, what, rating"]),
        (RATINGS, [], ["line 1", "positions (from 0)", "--columns=user=0,item=1,rating=2."]),
        (
            ["user,item,rating", *RATINGS],
            ["--noheader", "--columns=user=0,item=1,rating=2"],
            ["line 1", "if this is a header"],
        ),
        (RATINGS, ["--noheader", "--columns=user=0,item=i"], ["a number from 0", "'i'"]),
        (["user,item,rating", *RATINGS], ["--columns=user=user,itm=item"], ["no role 'itm'"]),
        (["user,item,rating", *RATINGS], ["--scale=1"], ["--scale=1,5"]),
        (["user,item,rating", *RATINGS], ["--scale=low,high"], ["--scale=1,5"]),
        (["user,item,rating", *RATINGS], ["--scale=5,1"], ["--scale=1,5"]),
        (["user,item,rating", *RATINGS], ["--scale=-inf,inf"], ["--scale=1,5"]),
        (RATINGS, ["--noheader", "--columns=user=0,item=1,user=2"], ["a role is given twice"]),
        (RATINGS, ["--noheader", "--columns=user=0,item=1,rating=²"], ["a number from 0", "'²'"]),
        (["user,item,rating", *RATINGS], ["--format=csv"], ["No format is called 'csv'"]),
        (["user,item,rating", *RATINGS[:4]], [], ["no rating reaches threshold=4"]),
    ],
)
def test_files_of_ratings(here, tmp_path, lines, argv, words):
    file = tmp_path / "my.csv"
    file.write_text("".join(f"{line}\n" for line in lines))
    argv = [f"--data_file={file}", f"--workdir={tmp_path / 'w'}", "--model=ease", *argv]
    refused(here, "train", argv, *words)
    assert list(tmp_path.iterdir()) == [file]


def test_missing_files(here, tmp_path):
    workdir = f"--workdir={tmp_path / 'w'}"
    gone = tmp_path / "gone.csv"
    refused(here, "train", [f"--data_file={gone}", workdir], str(gone), "cannot be read")
    argv = ["--dataset=ml-1m", f"--data_dir={tmp_path}", workdir]
    refused(here, "train", argv, "place ratings.dat in", str(tmp_path / "ml-1m"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"test_te.csv": "uid,sid\n9,1\n"}, ["leaks", "test target is in its input", "user 9"]),
        ({"train.csv": "uid,sid\n1,1\n1,2\n1,3\n9,1\n9,3\n"}, ["test", "user 9", "train"]),
        ({"test_te.csv": None}, ["no test_te.csv"]),
        ({"test_te.csv": "uid,item\n9,3\n"}, ["test_te.csv, line 1", "'sid'"]),
        ({"test_te.csv": "uid,sid\n9,x\n"}, ["test_te.csv", "none of its items"]),
    ],
)
def test_ready_splits(here, tmp_path, changed, words):
    files = {
        "train.csv": "uid,sid\n1,1\n1,2\n1,3\n",
        "validation_tr.csv": "uid,sid\n8,1\n",
        "validation_te.csv": "uid,sid\n8,2\n",
        "test_tr.csv": "uid,sid\n9,1\n9,2\n",
        "test_te.csv": "uid,sid\n9,3\n",
    }
    folder = tmp_path / "split"
    folder.mkdir()
    for name, text in {**files, **changed}.items():
        if text is not None:
            (folder / name).write_text(text)
    argv = [f"--split_dir={folder}", f"--workdir={tmp_path / 'w'}", "--model=popularity"]
    refused(here, "train", argv, *words)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_is_no_run_is_left_alone(here, tmp_path):
    mine = tmp_path / "thesis.txt"
    mine.write_text("mine")
    refused(here, "train", [SMALL, f"--workdir={tmp_path}"], "exists and is not a run")
    refused(here, "train", [SMALL, f"--workdir={mine}"], "cannot be written", "Not a directory")
    below = f"--workdir={mine / 'run'}"
    refused(here, "train", [SMALL, below], "cannot be written", "Not a directory")
    assert list(tmp_path.iterdir()) == [mine]
    assert mine.read_text() == "mine"


@pytest.fixture(scope="module")
def finished(here, tmp_path_factory):
    """A finished run of two epochs."""
    workdir = tmp_path_factory.mktemp("finished") / "w"
    ran = here("train", *TINY, f"--workdir={workdir}")
    assert ran.status == 0, ran.err
    return workdir


def truncated(path):
    path.write_bytes(path.read_bytes()[:40])


def shortened(path):
    """Leave out the last entry of each array."""
    with np.load(path) as arrays:
        short = {name: arrays[name][:-1] for name in arrays.files}
    np.savez(path, **short)


def emptied(path):
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")


def needed(checkpoints):
    """Empty the checkpoints of a run that is not scored yet."""
    emptied(checkpoints)
    (checkpoints.parent / "results.json").unlink()


def folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("part", "damage", "binaries"),
    [
        ("config.json", truncated, ("train", "evaluate", "recommend", "audit")),
        ("config.json", lambda path: path.write_text("[]"), ("train", "recommend")),
        ("config.json", lambda path: path.write_text("{}"), ("train", "evaluate", "recommend")),
        ("config.json", folder, ("evaluate", "recommend")),
        ("results.json", truncated, ("evaluate",)),
        ("results.json", lambda path: path.write_text("{}"), ("evaluate",)),
        ("test_rows.npz", truncated, ("evaluate",)),
        ("vocabulary.npz", truncated, ("recommend", "audit")),
        ("vocabulary.npz", lambda path: path.write_text("junk"), ("recommend",)),
        ("vocabulary.npz", shortened, ("recommend",)),
        ("model", emptied, ("train", "recommend", "audit")),
        ("checkpoints", needed, ("train",)),
        ("metrics.jsonl", lambda path: path.write_bytes(b"\xff\xfe{}"), ("train",)),
        ("metrics.jsonl", folder, ("train",)),
    ],
)
def test_a_damaged_run_is_named(here, tmp_path, finished, part, damage, binaries):
    workdir = tmp_path / "w"
    shutil.copytree(finished, workdir)
    damage(workdir / part)
    history = tmp_path / "my.csv"
    history.write_text("item\n1\n2\n")
    flags = {"train": TINY, "recommend": [f"--history={history}"], "audit": ["--budget=1000"]}
    for binary in binaries:
        argv = [*flags.get(binary, []), f"--workdir={workdir}"]
        refused(here, binary, argv, f"{workdir / part} is damaged")


def test_a_folder_is_one_process_at_a_time(here, tmp_path, finished):
    workdir = tmp_path / "w"
    shutil.copytree(finished, workdir)
    with (workdir / "run.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused(here, "train", [*TINY, f"--workdir={workdir}"], "another process is at work")


def test_blanks_around_fields_are_no_part_of_them(tmp_path):
    kinds = {"plain": ",", "blank": " , "}
    for name, comma in kinds.items():
        lines = ["user,item,rating", *RATINGS]
        text = "".join(line.replace(",", comma) + "\n" for line in lines)
        (tmp_path / f"{name}.csv").write_text(text)
    columns = {"user": "id", "item": "id", "rating": "number"}
    plain, blank = (readers.read_columns(tmp_path / f"{k}.csv", columns) for k in kinds)
    for name in columns:
        np.testing.assert_array_equal(plain[name], blank[name])
        assert plain[name].dtype == blank[name].dtype


def test_names_are_shown_as_they_are(here, tmp_path, finished):
    history = tmp_path / "my.csv"
    history.write_text("user,item\n[/red],1\n[red]x,2\n")
    ran = here("recommend", f"--workdir={finished}", f"--history={history}", "--k=2")
    assert ran.status == 0, ran.err
    assert "For user [/red]" in ran.out and "For user [red]x" in ran.out


@pytest.mark.parametrize("binary", ["evaluate", "recommend"])
def test_no_run(here, tmp_path, binary):
    history = ["--history=my.csv"] if binary == "recommend" else []
    refused(here, binary, history, "--workdir is missing")
    refused(here, binary, [f"--workdir={tmp_path / 'w'}", *history], "no finished run is there")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("binary", ["train", "evaluate", "recommend"])
def test_help_lists_the_flags(here, binary):
    said = here(binary, "--help").out
    assert f"python -m experiments.{binary}" in said
    assert "--workdir: " in said
    assert "--[no]intervals" in said or "--epochs" in said or "--history" in said
