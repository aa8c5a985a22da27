"""Processes that share one run, on loopback: one run, one writer, and none that waits for ever."""

import json
import signal
import socket
import subprocess
import sys
import time

import polars as pl
import pytest

from aerec import hosts
from aerec.data import convert
from aerec.data.synthetic import synthesize
from aerec.errors import BadInput

RUN = (
    "--model=multvae", "--dataset=synthetic:users=60,items=31,ratings=900", "--set=hidden=8",
    "--set=latent=4", "--epochs=9", "--batch_size=16", "--baselines=", "--checkpoint_seconds=0",
    "--protocol=strong:valid_users=10,test_users=10",
)  # fmt: skip
SOON = "from aerec import hosts\nhosts.HEARTBEAT = 5"
SLURM = """import os
os.environ |= {{"SLURM_JOB_ID": "{job}", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}}
os.environ |= {{"SLURM_PROCID": "{number}", "SLURM_LOCALID": "{number}"}}"""


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


@pytest.fixture
def pair(process, monkeypatch):
    """Starts two processes of one run, which meet by flags, or as on SLURM."""
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)

    def start(workdir, slurm=False):
        port, run = free_port(), ("train", *RUN, f"--workdir={workdir}")
        if slurm:
            return [
                process(*run, "--coordinator=auto", before=SLURM.format(job=port, number=number))
                for number in (0, 1)
            ]
        flags = f"--coordinator=localhost:{port}", "--processes=2"
        return [process(*run, *flags, f"--process={number}", before=SOON) for number in (0, 1)]

    return start


def results(workdir):
    return json.loads((workdir / "results.json").read_text())


@pytest.mark.slow
def test_two_processes_share_a_run_one_is_killed_and_the_run_goes_on(
    tmp_path, here, pair, process
):
    """They end in the bits of two devices in one process, and in the figures of one device. The
    first pair meets by flags, the second by the variables of SLURM."""
    two = tmp_path / "two"
    first, second = pair(two)
    while not any(saved.name.isdecimal() for saved in two.glob("checkpoints/*")):
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.05)
    second.send_signal(signal.SIGKILL)
    _, said = first.communicate(timeout=60)
    assert first.returncode and hosts.LOST in said, said
    assert not (two / "results.json").exists()
    second.communicate()
    first, second = pair(two, slurm=True)
    quiet, said = second.communicate()
    assert (first.wait(), second.returncode) == (0, 0), said
    assert "Going on after epoch" in first.stdout.read() and "multvae" not in quiet

    devices = "import os\nos.environ['JAX_NUM_CPU_DEVICES'] = '2'"
    one = process("train", *RUN, "--mesh=data:2", f"--workdir={tmp_path / 'one'}", before=devices)
    _, said = one.communicate()
    assert one.returncode == 0, said
    assert results(two)["model_checksum"] == results(tmp_path / "one")["model_checksum"]
    assert here("train", *RUN, f"--workdir={tmp_path / 'alone'}").status == 0
    alone = results(tmp_path / "alone")
    assert results(two)["test"] == pytest.approx(alone["test"], rel=1e-4)
    for name in ("train_users", "train_entries", "heldout_entries", "parameters"):
        assert results(two)[name] == alone[name]


@pytest.mark.slow
def test_two_processes_read_ratings_from_the_disk(tmp_path, pair, process, monkeypatch):
    """They end in the bits of two devices in one process, which has the ratings in memory."""
    ratings = synthesize(users=60, items=31, ratings=900)[0]
    frame = {"user": ratings.user, "item": ratings.item, "rating": ratings.value}
    pl.DataFrame({**frame, "time": ratings.time}).write_csv(tmp_path / "ratings.csv")
    convert.convert([tmp_path / "ratings.csv"], tmp_path / "folder", log=lambda text: None)
    own = (*RUN, f"--dataset={tmp_path / 'folder'}")
    monkeypatch.setattr(f"{__name__}.RUN", (*own, "--table=mapped"))
    ended = [each.communicate() for each in pair(tmp_path / "two")]
    assert (tmp_path / "two" / "results.json").exists(), ended
    devices = "import os\nos.environ['JAX_NUM_CPU_DEVICES'] = '2'"
    one = process("train", *own, "--mesh=data:2", f"--workdir={tmp_path / 'one'}", before=devices)
    _, said = one.communicate()
    assert one.returncode == 0, said
    two, one = (results(tmp_path / name)["model_checksum"] for name in ("two", "one"))
    assert two == one


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, 2, 0), "need `coordinator`, HOST:PORT"),
        (("localhost", 2, 0), "coordinator=localhost: write HOST:PORT"),
        (("localhost:1", 2, 2), "processes do not meet at localhost:1: "),
    ],
)
def test_processes_that_cannot_meet(given, message, monkeypatch):
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    with pytest.raises(BadInput, match=message):
        hosts.join(*given)


@pytest.mark.parametrize("parts", [False, True])
def test_a_process_that_is_aborted_leaves_a_line(parts):
    lines = ["import os", "from aerec import hosts", "hosts._watch()", "hosts.part()", "os.abort()"]
    lines = lines if parts else [*lines[:3], lines[4]]
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert ran.returncode == -signal.SIGABRT
    assert (hosts.LOST in ran.stderr) is not parts
