"""Plans: the memory that a run asks for on one device, and less of it on each of several."""

import pytest

from aerec import models
from aerec.core import Facts
from aerec.errors import BadInput
from aerec.training import batches, optimisers, program
from aerec.training.settings import Settings
from experiments import growth, plan, records, update_time

GIVEN = {
    "users": 100.0, "items": 5000.0, "clicks": 10.0, "hidden": 128, "batch_size": 20,
    "mesh": "data:1", "tflops": 1.0, "memory_tb": 1.0, "link_gb": 1.0, "record": True,
}  # fmt: skip


def planned(tmp_path, monkeypatch, **given):
    monkeypatch.setattr(records.write, "__defaults__", (tmp_path,))
    plan.main({**GIVEN, **given})
    return {row.label: row.figures for row in records.read(plan.FILE, tmp_path)[1]}


def test_the_memory_is_what_training_asks_for(tmp_path, monkeypatch):
    table = growth.clicks(100, 5000, 10)
    model = models.build("multvae", growth.NETWORK, Facts.of(table))
    buckets = batches.plan(table.lengths(), 20)
    chain = optimisers.optimiser(Settings(), steps=1)
    rows = planned(tmp_path, monkeypatch)
    for softmax, candidates in (("full", 0), ("sampled", 40)):
        monkeypatch.setattr(plan.Settings, "candidates", candidates)
        rows = planned(tmp_path, monkeypatch)
        needed = program.memory_needed(model, chain, buckets, table, 1, candidates)
        assert rows[softmax]["gb"] == pytest.approx((needed - program.PROGRAM) / 1e9, rel=0.08)


def test_devices_share_it(tmp_path, monkeypatch):
    one = planned(tmp_path, monkeypatch)
    eight = planned(tmp_path, monkeypatch, mesh="data:4,model:2")
    for part, parts in (("table", 4), ("offsets", 1), ("parameters", 2), ("logits", 8)):
        found = eight[f"full.{part}"]
        assert found["gb"] == one[f"full.{part}"]["device_gb"]
        assert found["device_gb"] == pytest.approx(found["gb"] / parts)
    work = update_time.work(20, 5000, 5000, 10, 128)
    rates = update_time.Rates(1e12, 1e12, 1e12, 1e12)
    assert one["full"]["update"] == pytest.approx(update_time.predicted(work, rates))
    assert one["full"]["epoch_hours"] == pytest.approx(5 * one["full"]["update"] / 3600)
    exchanged = 8 * 2 * 5000 * 128 / 2 + 16 * 10 * 20
    assert eight["full"]["update"] == pytest.approx(one["full"]["update"] / 8 + exchanged / 1e9)


@pytest.mark.parametrize("mesh", ["data", "rows:2", "data:0", "data:two"])
def test_meshes_that_are_refused(mesh):
    with pytest.raises(BadInput, match="write data:D,model:M"):
        plan.sizes(mesh)
