"""The hypotheses of the latent study on outcomes that are made up, its rows and its pictures."""

import json

import numpy as np
import pytest
import scipy.stats

from aerec.errors import BadInput
from experiments import latent_outcomes, latent_results, latent_tests, records
from experiments.latent_cells import LINEAR, PLAIN, SIMILARITIES, Cell

MEASURES = ("order", "order_top", "auc", "auc_top", "flat", "gap", "rank", "validation")


def content(cell, quality):
    """A cell whose every figure grows with `quality`, by similarity."""
    users = 0.3 + 0.1 * np.random.default_rng(0).random(80)
    noise = np.random.default_rng(len(cell.activation) + cell.latent)
    rows = []
    for similarity, level in zip(SIMILARITIES, quality, strict=True):
        per_row = (users + level + 0.003 * noise.standard_normal(80)).round(5)
        rows.append({
            "similarity": similarity, "rate": 0.01, "decay": 0.0, "epochs": 20, "zero": 0.0,
            **dict.fromkeys(MEASURES, 0.5 + level), "ndcg@100": [float(per_row.mean())] * 2,
            "early": {
                **dict.fromkeys(("order", "order_top", "auc_top"), 0.5 + level),
                "auc": 0.5 - level, "ndcg@100": 0.5,
            },
            "per_row": per_row.tolist(),
        })  # fmt: skip
    return {**cell._asdict(), "rows": rows, "search_seconds": 2.0,
            "made": {"versions": {"jax": "0"}, "date": "2026-01-01", "machine": "a machine",
                     "seeds": [1, 2], "seconds": 5.0, "data": cell.dataset,
                     "split_hash": ["abc"]}}  # fmt: skip


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(latent_tests, "SAMPLES", 2000)
    monkeypatch.setattr(latent_tests, "CORRELATIONS", 50)


@pytest.fixture
def folder(tmp_path):
    names = [*PLAIN, "shift:tanh", "experiments.sigmoids:centred", "experiments.sigmoids:scaled"]
    for place, name in enumerate(names):
        for tied in (False, True):
            by_dot = 0.01 * place
            level = by_dot / (4 if tied else 1), 0.01, 0.02, by_dot / 2
            cell = Cell("ml-1m", "spectral", 32, tied, name)
            (tmp_path / f"{cell.name}.json").write_text(json.dumps(content(cell, level)))
    for name in LINEAR:
        cell = Cell("ml-1m", "spectral", 32, False, name)
        (tmp_path / f"{cell.name}.json").write_text(json.dumps(content(cell, [0.05] * 4)))
    cell = Cell("lastfm", "spectral", 32, False, "tanh")  # of which no choice can be made
    (tmp_path / f"{cell.name}.json").write_text(json.dumps(content(cell, [0.05] * 4)))
    return tmp_path


@pytest.fixture
def found(folder):
    return [own for each in latent_outcomes.read(folder) for own in latent_outcomes.outcomes(each)]


def test_the_hypotheses(found):
    verdicts = {own.label: own for own in latent_tests.all_of(found)}
    dot = "ml-1m-spectral-32-untied-0-dot"
    worst = verdicts[f"H1-{dot}"]
    assert worst.verdict == "refuted" and "sigmoid less identity" in worst.what
    assert worst.difference == pytest.approx(-0.12, abs=0.002)
    assert worst.low < worst.difference < worst.high
    family = [own for own in verdicts.values() if own.hypothesis == "H1"]
    assert len(family) == 8 and min(own.adjusted / own.p for own in family) >= 1
    assert max(own.adjusted / own.p for own in family) == pytest.approx(8)

    assert verdicts[f"H2-{dot}-tanh"].verdict == "supported"
    steps = [verdicts[f"H5-{dot}-{step}"].difference for step in ("offset", "scale", "slope")]
    assert steps == pytest.approx([0.14, 0.01, -0.14], abs=0.002)  # places 0, 14, 15, 1
    spread = verdicts[f"H6-{dot}-tied"]
    assert spread.further["range"] == pytest.approx(0.12, abs=0.003)
    assert spread.further["range_tied"] == pytest.approx(0.03, abs=0.003)
    assert spread.verdict == "supported"
    assert verdicts[f"H7-{dot}"].verdict == "supported"  # .12 above .05
    assert verdicts["H7-ml-1m-spectral-32-untied-0-cosine"].verdict == "refuted"
    assert verdicts[f"E1-{dot}"].difference == pytest.approx(0.07, abs=0.002)
    theory, early = (verdicts[f"H8-{dot}-{of}"] for of in ("theory", "early_order"))
    assert theory.verdict == "refuted" and theory.further["cost"] == pytest.approx(1 / 13)
    assert early.verdict == "supported"
    assert early.further["cost"] == pytest.approx(0.1 + 0.9 / 13)

    encoders = [own for own in found if own.cell.dataset == "ml-1m" and own.similarity == "dot"
                and own.name not in LINEAR]  # fmt: skip
    want = scipy.stats.spearmanr(
        [own.measures["order"] for own in encoders], [own.figure for own in encoders]
    ).statistic
    assert verdicts["H4-ml-1m-spectral-32-dot-order"].difference == pytest.approx(want)


def test_rows_and_pictures(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    pictures = tmp_path / "pictures"
    latent_results.main({"output": str(folder), "record": True, "pictures": str(pictures)})
    rows = records.read("latent_activation", tmp_path / "results")[1]
    own = next(row for row in rows if row.label == "ml-1m-spectral-32-tied-shift_tanh-0")
    assert own.figures["dot"] == pytest.approx(0.35 + 0.13 / 4, abs=0.01)
    assert "--activations=shift:tanh" in own.command and "--tied=yes" in own.command
    assert str(tmp_path) not in (tmp_path / "results/latent_activation.json").read_text()
    whole = next(row for row in rows if row.label == "total")
    assert whole.figures["cells"] == len(rows) - 1 == 38 and whole.seconds == 38 * 5
    tests = {row.label: row for row in records.read("latent_tests", tmp_path / "results")[1]}
    of_sigmoid = tests["H1"].figures
    assert of_sigmoid["comparisons"] == sum(label.startswith("H1-") for label in tests) == 8
    assert sum(of_sigmoid[name] for name in ("supported", "refuted", "open")) == 8
    assert len(list(pictures.glob("*.png"))) == 5 * 2


def test_bad_folders(tmp_path):
    with pytest.raises(BadInput, match="has no cells"):
        latent_outcomes.read(tmp_path)
    (tmp_path / "a-b-3-tied-tanh-0.json").write_text("{}")
    with pytest.raises(BadInput, match="damaged"):
        latent_outcomes.read(tmp_path)
