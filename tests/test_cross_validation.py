"""Cross-validation against single fits, plain averages and the statistics of clusters."""

import numpy as np
import pytest
import scipy.stats

import aerec
from aerec.cross_validation import CrossValidation, Scored
from aerec.errors import BadInput
from aerec.evaluation import statistics
from aerec.evaluation.report import Report

QUIET = {"show": False, "log": lambda text: None}
PROTOCOL = {"valid_users": 20, "test_users": 30}


@pytest.fixture(scope="module")
def ratings():
    return aerec.load("synthetic:users=120,items=40,ratings=2400", log=lambda text: None)


@pytest.fixture(scope="module")
def found(ratings):
    return aerec.cross_validate(
        ["popularity", "ease"], ratings, splits=2, seed=4, settings={"ease": {"l2": 50}},
        **PROTOCOL, **QUIET,
    )  # fmt: skip


def test_its_figures_are_those_of_fits(found, ratings):
    runs = []
    for seed in (4, 5):
        split = aerec.split(ratings, "strong", seed=seed, log=lambda text: None, **PROTOCOL)
        runs.append(aerec.fit("ease", split, seed=seed, l2=50, **QUIET))
    for name in ("ndcg@100", "recall@20", "coverage@100"):
        np.testing.assert_array_equal(found.each("ease", name), [run.test[name] for run in runs])
        assert found.mean("ease", name) == np.mean([run.test[name] for run in runs])
    ahead = found.each("ease") > found.each("popularity")
    assert found.ranks() == {"ease": 2 - ahead.mean(), "popularity": 1 + ahead.mean()}


def test_the_table_shows_every_model(found):
    frame, text = found.frame(), repr(found)
    best, other = sorted(("ease", "popularity"), key=found.mean, reverse=True)
    assert frame["model"].to_list() == [best, other] == found.ranking()
    assert frame["ndcg@100"].to_list() == [found.mean(best), found.mean(other)]
    assert frame["ndcg@100_splits"].to_list()[0] == found.each(best).tolist()
    assert frame["coverage@100_error"].to_list() == [None, None]
    assert frame["p"].to_list() == [None, found.tests()[best, other].p]
    shown = f"{found.mean('ease'):.4f} ± {found.error('ease'):.4f}"
    assert shown in text and "mean of 2 splits" in text and f"against {best}" in text
    assert "popularity" in found._repr_html_()


def made(values, ids):
    """A result of one split whose only figure has these values by row."""
    values = np.array(values, np.float32)
    report = Report({"ndcg@5": float(np.nanmean(values))}, {"ndcg@5": values})
    return Scored(report, np.array(ids), 1.0)


ROWS = [[7, 9, 11], [9, 11, 12]]  # 9 and 11 are tested twice, 12 has no target in the second
A = [[0.1, 0.5, 0.9], [0.3, 0.4, np.nan]]
B = [[0.2, 0.4, 0.3], [0.1, 0.8, np.nan]]
C = [[0.9, 0.9, 0.9], [0.9, 0.9, np.nan]]


def validated(**models):
    scored = {
        name: [made(v, ids) for v, ids in zip(values, ROWS, strict=True)]
        for name, values in models.items()
    }
    return CrossValidation(scored, "ndcg@5", ("ndcg@5",))


def test_a_row_tested_twice_is_one_cluster():
    found = validated(a=A, b=B)
    sums, counts = np.float32([[0.1, 0.5 + 0.3, 0.9 + 0.4], [0.2, 0.4 + 0.1, 0.3 + 0.8]]), [1, 2, 2]
    error = 1.96 * statistics.standard_error(sums[0], counts)
    assert found.error("a") == pytest.approx(error, rel=1e-6)
    test = found.compare("a", "b")
    assert test.difference == pytest.approx((sums[0] - sums[1]).sum() / 5, rel=1e-5)
    changes = sums[0] - sums[1]  # all exchanges, counted
    signs = np.array(np.meshgrid(*[[1, -1]] * 3)).reshape(3, -1)
    exact = np.mean(np.abs(changes @ signs) >= abs(changes.sum()) - 1e-6)
    assert test.p == pytest.approx(exact, abs=0.02)


def test_p_is_adjusted_over_what_is_compared():
    found = validated(a=A, b=B, c=C)
    best, every = found.tests(), found.tests(all_pairs=True)
    assert list(best) == [("c", "a"), ("c", "b")]
    assert list(every) == [("c", "a"), ("c", "b"), ("a", "b")]
    for tests in (best, every):
        raw = [found.compare(*pair).p for pair in tests]
        adjusted = scipy.stats.false_discovery_control(raw)  # less strict than Holm's
        assert [t.p for t in tests.values()] == statistics.holm(raw).tolist()
        assert (np.array([t.p for t in tests.values()]) >= adjusted - 1e-12).all()
    against = CrossValidation(found.scored, "ndcg@5", ("ndcg@5",), baseline="b").tests()
    assert list(against) == [("b", "c"), ("b", "a")]


def test_different_rows_are_no_pairs():
    found = validated(a=A, b=[[0.2, np.nan, 0.3], [0.1, 0.8, np.nan]])
    with pytest.raises(BadInput, match=r"a and b were scored on different rows of ndcg@5"):
        found.compare("a", "b")
    with pytest.raises(BadInput, match=r"No figure is called 'ndgc@5'\. Did you mean ndcg@5"):
        found.compare("a", "a", "ndgc@5")
    with pytest.raises(BadInput, match=r"No model here is called 'z'"):
        found.compare("a", "z")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"models": []}, "give one or more different names"),
        ({"models": ["ease", "ease"]}, "give one or more different names"),
        ({"settings": {"easy": {}}}, "'easy' is not among the models. Did you mean ease"),
        ({"settings": [1]}, "`settings` maps models to their settings"),
        ({"settings": {"ease": 5}}, "`settings` maps models to their settings"),
        ({"baseline": "multvae"}, "'multvae' is not among the models"),
        ({"splits": 0}, "splits is at least 1, not 0"),
        ({"models": None}, "give one or more different names"),
        ({"models": np.eye(3)}, "give one or more different names"),
        ({"seed": "a"}, "seed is a whole number, not 'a'"),
        ({"metric": 5}, "A figure is a name, like 'ndcg@100', not 5"),
        ({"metric": "ndgc@5"}, "No ranking figure is called 'ndgc@5'"),
        ({"settings": {"ease": {"l3": 1}}}, "Neither ease nor training has a setting 'l3'"),
        ({"protocol": "all_clicks", "valid_users": None}, "holds nothing out"),
    ],
)
def test_bad_input(ratings, given, says):
    asked = {"models": ["popularity", "ease"], "protocol": "strong", **PROTOCOL, **QUIET, **given}
    if asked["protocol"] == "all_clicks":
        del asked["valid_users"], asked["test_users"]
    with pytest.raises(BadInput, match=says):
        aerec.cross_validate(asked.pop("models"), ratings, asked.pop("protocol"), **asked)
