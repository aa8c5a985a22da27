"""The suite: rows are kept as they finish, and left out with a reason."""

import json
import re
import subprocess
import sys

import jax
import pytest

from aerec import mesh
from aerec.errors import BadInput
from experiments import records, suite


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.setattr(records.write, "__defaults__", (tmp_path,))
    one, two = suite.Bench(("--what=gru",), {"A": "1"}), suite.Bench(("--what=softmax",))
    rows = {"one": one, "two": two}
    monkeypatch.setitem(suite.SUITES, "small", rows)
    return {"suite": "small", "data_dir": None, "output": str(tmp_path / "rows"), "seconds": 0.0,
            "record": True}  # fmt: skip


def test_rows_are_measured_once_and_left_out_with_a_reason(given, tmp_path, monkeypatch, capsys):
    asked = []

    def run(argv, env, timeout, **options):
        asked.append((argv[3:], env.get("A"), timeout))
        if "--what=softmax" in argv:
            return subprocess.CompletedProcess(argv, 1, "", "error: no such data")
        out = f"a table\n{json.dumps({'seconds': 2.5})}\n"
        return subprocess.CompletedProcess(argv, 0, out, "")

    monkeypatch.setattr(subprocess, "run", run)
    suite.main(given)
    suite.main(given)
    one, two = (["--what=gru", "--json"], "1", None), (["--what=softmax", "--json"], None, None)
    assert asked == [one, two, two]
    assert "two is left out: no such data" in capsys.readouterr().out
    (row,) = records.read("suite_small", tmp_path)[1]
    assert row.figures == {"seconds": 2.5}
    assert row.command == "A=1 python -m experiments.benchmark --what=gru --data_dir=DIR"


def test_when_the_time_is_up_a_row_is_stopped(given, monkeypatch):
    bench = suite.Bench(("--what=gru",))
    with pytest.raises(BadInput, match="the time is up"):
        suite.run(bench, None, 0.0)
    monkeypatch.setattr(sys, "executable", "/bin/sleep")  # its arguments are no numbers: it fails
    with pytest.raises(BadInput):
        suite.run(bench, None, 5.0)
    monkeypatch.setattr(suite.subprocess, "run", stopped)
    with pytest.raises(BadInput, match=r"No row was measured\. the time is up"):
        suite.main({**given, "seconds": 9.0})


def stopped(argv, *, timeout, **options):
    assert 0 < timeout <= 9
    raise subprocess.TimeoutExpired(argv, timeout)


def test_the_slowest_call_is_profiled_without_its_peer(given, tmp_path, monkeypatch):
    asked = []

    def run(argv, env, timeout, **options):
        asked.append(argv[3:-1])
        seconds = 1.0 if "--model=ease" in argv else 2.0
        return subprocess.CompletedProcess(argv, 0, json.dumps({"aerec_seconds": seconds}), "")

    rows = {"fast": suite.Bench(("--what=solve", "--model=ease")),
            "slow": suite.Bench(("--model=multvae", "--against=torch", "--repeats=3")),
            "gru": suite.Bench(("--what=gru",))}  # fmt: skip
    monkeypatch.setitem(suite.SUITES, "small", rows)
    monkeypatch.setattr(suite.phases, "version", lambda peer: {})
    monkeypatch.setattr(subprocess, "run", run)
    suite.main(given)
    folder = tmp_path / "rows" / "profile"
    assert asked[-1] == ["--model=multvae", "--repeats=1", f"--profile={folder}"]
    *_, row = records.read("suite_small", tmp_path)[1]
    assert row.label == "slow_profile"
    assert "--repeats=1 --profile=DIR --data_dir=DIR" in row.command


def test_a_mesh_is_in_use_where_it_has_an_effect(here, monkeypatch):
    seen = []
    monkeypatch.setattr(suite.phases, "solve", lambda *given: seen.append(mesh.in_use()))
    monkeypatch.setattr(mesh, "chosen", lambda text: jax.make_mesh((1, 1), mesh.AXES))
    ran = here("benchmark", "--what=solve", "--model=ease", suite.CLICKS[0], "--mesh=data:1")
    assert ran.status == 0
    assert [own.axis_names for own in seen] == [mesh.AXES]
    refused = here("benchmark", "--what=audit", "--mesh=data:2")
    assert "--mesh: no effect with --what=audit" in refused.err


def test_the_small_suite_has_every_row_of_the_accelerator():
    large, little = suite.SUITES["gpu"], suite.SUITES["small"]
    assert set(large) < set(little)
    for label, bench in large.items():
        same = [flag for flag in bench.flags if "dataset" not in flag and "protocol" not in flag]
        assert set(same) <= set(little[label].flags)
        assert bench.environment == little[label].environment
        assert any(flag.startswith("--dataset=synthetic") for flag in little[label].flags)


def test_every_flag_of_a_row_is_one_of_the_benchmark(here):
    known = set(re.findall(r"--(?:\[no\])?(\w+)", here("benchmark", "--helpfull").out))
    rows = [bench for rows in suite.SUITES.values() for bench in rows.values()]
    used = {flag[2:].partition("=")[0] for bench in rows for flag in bench.flags}
    assert "config" in used and used <= known
