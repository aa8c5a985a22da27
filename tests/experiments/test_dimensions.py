"""Dimensions: truncation is a smaller decomposition, figures are those of the models, one study."""

import json

import numpy as np
import pytest

import aerec
from aerec.errors import BadInput
from experiments import dimensions, records

DATA = "synthetic:users=160,items=40,ratings=2600,seed=3"


@pytest.fixture(scope="module")
def split():
    ratings = aerec.load(DATA)
    return aerec.split(ratings, "strong", valid_users=25, test_users=25)


def test_the_first_coordinates_are_those_of_a_smaller_decomposition(split):
    setting = {"damping": 0.25, "power": 0.5}
    whole = dimensions.spectral(split, setting, 12).truncated(5)
    small = dimensions.spectral(split, setting, 5)
    for part in ("valid", "test"):
        many, few = (own.queries[part] @ own.items.T for own in (whole, small))
        np.testing.assert_allclose(many * np.vdot(few, many) / np.vdot(many, many), few, atol=1e-4)
    run = aerec.fit("factor_ae", split, show=False, compression="none", size=5, **setting)
    found = dimensions.evaluated(split, "test", whole).figures
    for name in ("ndcg@100", "coverage@100"):
        assert found[name] == pytest.approx(run.test[name], abs=1e-6)


def test_the_figures_of_codes_by_hand(split):
    codes = dimensions.spectral(split, {"damping": 0.0, "power": 0.0}, 3)
    found = dimensions.of_scores(split, codes, rank=True) | dimensions.geometry(split, codes)
    scores, shares = codes.queries["test"] @ codes.items.T, []
    for row in range(len(scores)):
        seen, held = (
            np.split(np.asarray(t.columns), t.indptr[1:-1])[row] for t in split.test[:2]
        )
        others = np.setdiff1d(np.arange(scores.shape[1]), [*seen, *held])
        if len(held) and len(others):
            shares.append(np.mean(scores[row][held][:, None] > scores[row][others]))
    assert found["auc"] == pytest.approx(np.mean(shares), abs=0.01)
    assert found["reached"] <= found["reachable"] <= 1 - found["unreachable"] + 1e-9
    assert 1 <= found["rank"] < 3.01 and 0 <= found["ceiling@10"] <= 1


def test_a_study(tmp_path, monkeypatch):
    monkeypatch.setattr(dimensions, "GRID", {"damping": (0.0, 0.5), "power": (0.25,)})
    monkeypatch.setattr(dimensions, "SIMILARITIES", ("dot",))
    monkeypatch.setattr(dimensions, "LAMBDAS", (10.0, 100.0))
    monkeypatch.setattr(dimensions, "FULL", 6)
    given = {"dataset": DATA, "data_dir": None, "output": str(tmp_path), "record": False,
             "dimensions": ["2", "6"], "picture": str(tmp_path / "picture.png")}  # fmt: skip
    with pytest.raises(BadInput, match="whole numbers"):
        dimensions.main({**given, "dimensions": ["2", "x"]})
    dimensions.main(given)
    rows = {row.label: row for row in records.read("dimensions_synthetic", tmp_path)[1]}
    assert set(rows) == {"spectral.2", "spectral.6", "pca.2", "ease", "spectral.2-spectral.6",
                         "pca.2-spectral.6", "ease-spectral.6", "spectral.2-ease",
                         "spectral.6-ease"}  # fmt: skip
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    figure = {name: row.figures["ndcg@100"] for name, row in rows.items()}
    assert figure["spectral.2-ease"] == pytest.approx(figure["spectral.2"] - figure["ease"])
    searched = json.loads(next((tmp_path / DATA).glob("search*")).read_text())["trials"]
    of_two = [own["ndcg@100"] for own in searched if own["m"] == 2]
    assert len(of_two) == 2 and rows["spectral.2"].tuning["validation"] == max(of_two)
    assert str(tmp_path) not in json.dumps([dict(row.tuning or {}) for row in rows.values()])
    monkeypatch.setattr(dimensions, "measure", None)  # nothing is measured again
    dimensions.main({**given, "picture": None})
