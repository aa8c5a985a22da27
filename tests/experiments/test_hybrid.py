"""Features beside models: pooled by row, errors of cold items alone, a study to the end."""

import numpy as np
import pytest

import aerec
from aerec.data import divide
from experiments import hybrid, records


def test_a_row_on_several_splits_counts_as_one():
    contents = [
        {"ids": ["a", "b", "c"], "sums": {"": {"n": [4.0, 0.0, 1.0]}}, "counts": {"n": [2, 0, 1]}},
        {"ids": ["d", "a"], "sums": {"": {"n": [9.0, 2.0]}}, "counts": {"n": [3, 1]}},
    ]
    sums, counts = hybrid.pooled(contents, "", "n")
    np.testing.assert_array_equal(sums, [6, 1, 9])
    np.testing.assert_array_equal(counts, [3, 1, 3])


@pytest.fixture(scope="module")
def ratings():
    """Films of the first users of the embedded data, many of which have few ratings."""
    whole = aerec.load("movielens-small", log=hybrid._silent)
    own = divide.select(whole, (whole.user < 60) & (whole.item % 4 == 0))
    return own._replace(name="films")


def test_a_study(ratings, tmp_path, monkeypatch):
    monkeypatch.setattr(hybrid, "SEEDS", (1,))
    small = {"autorec": {"epochs": 1, "hidden": (3,)}, "multvae": {"epochs": 1, "latent": 3}}
    monkeypatch.setattr(hybrid, "SETTINGS", small)
    monkeypatch.setattr(aerec, "load", lambda name, data_dir: ratings)
    given = {"datasets": ["films"], "models": ["autorec", "multvae"], "data_dir": None,
             "output": str(tmp_path), "record": False}  # fmt: skip
    hybrid.main(given)
    rows = {row.label: row for row in records.read(hybrid.FILE, tmp_path)[1]}
    assert set(rows) == {f"films.{model}{way}" for model in given["models"]
                         for way in ("", ".content", ".gain")}  # fmt: skip
    for model, names in (("autorec", ("rmse", "cold_rmse")),
                         ("multvae", ("ndcg@100", "cold_ndcg@100"))):  # fmt: skip
        first, second, gain = (rows[f"films.{model}{way}"].figures
                               for way in (".content", "", ".gain"))  # fmt: skip
        for name in names:
            assert gain[name] == pytest.approx(first[name] - second[name])
            assert gain[f"{name}_low"] <= gain[name] <= gain[f"{name}_high"]

    split = aerec.split(ratings, "random_ratings", seed=1, log=hybrid._silent)
    run = aerec.fit("autorec", split, seed=1, show=False, log=hybrid._silent, **small["autorec"])
    known = np.bincount(split.train.columns, minlength=split.train.num_columns)
    user, item, value = split.test.target.entries()
    cold = (known[item] > 0) & (known[item] < hybrid.FEW)
    x = split.transpose().train
    scores = run.model.score(run.params, x.gather(np.arange(x.num_rows), x.columns.size))
    errors = np.clip(np.asarray(scores)[item, user], *split.scale) - value
    wanted = np.sqrt(np.mean(errors[cold] ** 2))
    assert rows["films.autorec"].figures["cold_rmse"] == pytest.approx(wanted, rel=1e-4)
