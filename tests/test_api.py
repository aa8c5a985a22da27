"""The public functions, as a notebook or a service calls them."""

import copy
import json
import pathlib
import pickle
import re
import subprocess
import sys
import types
import warnings

import chex
import jax
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

import aerec
from aerec import api
from aerec.data import protocols
from aerec.errors import BadInput
from aerec.models import elsa
from aerec.properties import samplers
from aerec.runs import fitting
from aerec.runs.spec import Spec
from aerec.training import loop, settings

ROOT = pathlib.Path(__file__).parent.parent
QUIET = {"show": False, "log": lambda text: None}
SMALL = {"hidden": (8,), "latent": 4, "epochs": 2, **QUIET}


@pytest.fixture(scope="module")
def ratings():
    return aerec.load("synthetic:users=120,items=40,ratings=2400", log=lambda text: None)


@pytest.fixture(scope="module")
def split(ratings):
    return aerec.split(ratings, "strong", valid_users=20, test_users=30, log=lambda text: None)


@pytest.fixture(scope="module")
def run(split):
    return aerec.fit("multvae", split, seeds=2, **SMALL)


@pytest.fixture(scope="module")
def ease(split):
    return aerec.fit("ease", split, **QUIET)


def blocks(page):
    """The blocks of Python on a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def test_the_lines_of_readme_and_of_the_guide_run(tmp_path, monkeypatch):
    """On a smaller data set, in which most of the ids occur too."""
    (lines,) = blocks("README.md")
    small = "synthetic:users=260,items=1300,ratings=26000"
    for written, instead in (("movielens-small", small), ("epochs=40", "epochs=1")):
        assert written in lines
        lines = lines.replace(written, instead)
    monkeypatch.chdir(tmp_path)
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the ids that do not occur
        exec(lines, names)
        for block in blocks("docs/guide/recommend.md")[:-1]:
            exec(block, names)
    assert 0 < names["run"].test["ndcg@100"] < 1
    assert (tmp_path / "mine.stablehlo").stat().st_size > 1e6


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/guide/quickstart.md"])
def test_the_lines_of_a_page_run_as_written(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(page):
        exec(block, names)
    assert names["run"].test["ndcg@100"] > 0.25


def test_a_run_in_memory_is_the_run_in_a_directory(split, run, tmp_path):
    """The same bits, kept or not; `save` writes what `workdir` keeps."""
    kept = aerec.fit("multvae", split, seeds=2, workdir=tmp_path / "kept", **SMALL)
    saved = run.save(tmp_path / "saved")
    opened = aerec.open(saved)
    for other in (kept, opened):
        chex.assert_trees_all_equal(other.replicas, run.replicas)
        assert dict(other.test) == dict(run.test)
        assert other.config == kept.config
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names - {"checkpoints"} == {path.name for path in saved.iterdir()}
    for name in ("config.json", "losses.jsonl"):
        assert (saved / name).read_text() == (tmp_path / "kept" / name).read_text()
    again = aerec.fit("multvae", split, seeds=2, workdir=tmp_path / "kept", **SMALL)
    assert dict(again.test) == dict(run.test)
    with pytest.raises(BadInput, match="holds another run"):
        aerec.fit("multvae", split, seeds=1, workdir=tmp_path / "kept", **SMALL)


def test_it_is_what_the_run_functions_give(split, run):
    """`fit` adds names and defaults, nothing to the numbers."""
    spec = Spec(
        model="multvae", set={"hidden": (8,), "latent": 4}, dataset=split.dataset,
        settings=settings.Settings(**{**aerec.models.traits("multvae", {}).training, "epochs": 2}),
        seeds=(0, 1),
    )  # fmt: skip
    finished = fitting.run(spec, [split])
    chex.assert_trees_all_equal(finished.params, run.replicas)
    assert finished.config == run.config


def test_default_epochs_rise_to_the_fewest_updates(split, monkeypatch):
    """Of a model that asks for 11 updates and has 2 epochs; not where `epochs` are given."""
    own = elsa.traits
    asked = {"training": {"epochs": 2, "batch_size": 30}, "updates": 11}
    monkeypatch.setattr(elsa, "traits", lambda config: own(config)._replace(**asked))
    rows = split.train.num_rows
    for size in (4, 30, rows - 1, rows, 1000):
        least = 2
        while least * len(range(0, rows, size)) < 11:
            least += 1
        assert api.specify("elsa", split, {"batch_size": size}).settings.epochs == least
        given = {"batch_size": size, "epochs": 3}
        assert api.specify("elsa", split, given).settings.epochs == 3
    assert api.specify("elsa", split, {}).settings.epochs == 4  # of ceil(70 / 30) updates each
    run = aerec.fit("elsa", split, latent=4, **QUIET)
    assert run.config["settings"]["epochs"] == 4
    assert run.config["settings"]["batch_size"] == 30


def test_the_penalty_of_ials_follows_from_the_data(split):
    """T = lambda sqrt(p q) is .45 R for the mean penalties p and q and any power; kept as used."""
    x = np.asarray(split.train.gather(np.arange(split.train.num_rows), 9999).dense()) > 0
    edge = x.mean() ** 0.5 * (len(x) ** 0.5 + len(x.T) ** 0.5)
    for power in (1, 0.5):
        for given in ({}, {"alpha0": 0.7}):
            found = api.specify("ials", split, {"power": power, **given}).set
            alpha0 = found["alpha0"]
            assert alpha0 == pytest.approx(given.get("alpha0", 3 * x.mean() ** 0.5), rel=5e-3)
            p = (x.sum(1).mean() + alpha0 * len(x.T)) ** power
            q = (x.sum(0).mean() + alpha0 * len(x)) ** power
            assert found["l2"] * (p * q) ** 0.5 == pytest.approx(0.45 * edge, rel=1e-2)
    assert api.specify("ials", split, {"l2": "0.3"}).set["l2"] == 0.3
    assert api.specify("elsa", split, {"latent": 4}).set == {"latent": 4}
    run = aerec.fit("ials", split, latent=4, **QUIET)
    assert {n: run.config["set"][n] for n in ("l2", "alpha0")}.items() <= (
        api.specify("ials", split, {}).set.items()
    )


def test_figures_know_their_errors(run):
    figure = run.test["ndcg@100"]
    each = np.stack([report.per_row["ndcg@100"] for report in run.finished.reports])
    assert figure == pytest.approx(np.nanmean(each), abs=1e-6)
    rows = np.nanmean(each, axis=0)
    rows = rows[~np.isnan(rows)]
    assert figure.se == pytest.approx(rows.std(ddof=1) / np.sqrt(len(rows)), rel=1e-4)
    assert figure.sd == pytest.approx(np.std(np.nanmean(each, axis=1), ddof=1), rel=1e-3)
    low, high = figure.interval()
    assert low < figure < high
    assert repr(figure) == f"{float(figure):.4f} ± {1.96 * figure.se:.4f}"
    assert np.isnan(run.test["coverage@10"].se)
    with pytest.raises(BadInput, match="no figure over rows"):
        run.test["coverage@10"].interval()
    with pytest.raises(BadInput, match=r"No figure is called 'ndcg'. Did you mean"):
        run.test["ndcg"]
    frame = run.figures()
    assert frame.filter(pl.col("figure") == "ndcg@100")["mean"][0] == float(figure)


def test_compare_pairs_the_rows_of_two_runs(run, ease, ratings):
    found = aerec.compare(run, ease, "ndcg@100")
    assert found.difference == pytest.approx(run.test["ndcg@100"] - ease.test["ndcg@100"], abs=1e-6)
    assert found.interval[0] < found.difference < found.interval[1]
    assert aerec.compare(ease, ease, "ndcg@100") == (0, (0, 0), 1)
    other = aerec.split(ratings, "strong", seed=1, log=lambda text: None)
    with pytest.raises(BadInput, match="the first run and the second run are of different"):
        aerec.compare(run, aerec.fit("ease", other, **QUIET), "ndcg@100")
    with pytest.raises(BadInput, match="nothing to pair"):
        aerec.compare(run, ease, "coverage@10")


def test_ratings_to_predict_pool_their_errors(ratings):
    parts = [
        aerec.split(ratings, "random_ratings", seed=seed, log=lambda text: None)
        for seed in range(2)
    ]
    run = aerec.fit("bias", parts, seeds=2, **QUIET)
    each = [report.figures["rmse"] for report in run.finished.reports]
    assert run.test["rmse"] == pytest.approx(np.mean(each)) and run.test["rmse"].se > 0
    pairs = run.predict({int(run.item_ids[0]): 5.0}, run.item_ids[1:3].tolist())
    assert pairs["score"].is_between(1, 5).all()
    with pytest.raises(BadInput, match="different numbers of splits"):
        aerec.compare(run, aerec.fit("bias", parts[:1], **QUIET), "rmse")


def test_evaluate_on_its_own_split_and_on_another(run, split, ratings, tmp_path):
    before = run.results["test_scored"]
    assert dict(aerec.evaluate(run, split)) == dict(run.test)
    assert run.results["test_scored"] == before + 1
    other = aerec.split(
        ratings, "strong", valid_users=20, test_users=30, fold_in=0.5, log=lambda text: None
    )
    figures = aerec.evaluate(run, other)
    assert 0 < figures["ndcg@100"] < 1 and figures["ndcg@100"] != run.test["ndcg@100"]
    opened = aerec.open(run.save(tmp_path / "run"))
    with pytest.raises(BadInput, match="give `own`"):
        aerec.evaluate(opened, other)
    assert dict(aerec.evaluate(opened, other, own=split)) == dict(figures)


def test_trained_on_everything_for_use(ratings):
    """Without a split: all clicks, the last parameters, no figures."""
    run = aerec.fit("multvae", ratings, **SMALL)
    assert not len(run.test) and run.config["protocol"]["name"] == "all_clicks"
    assert repr(run).startswith("multvae on synthetic")
    assert len(run.recommend([ratings.item_ids[0]], k=3)) == 3
    rated = aerec.fit("autorec", ratings, item_based=False, hidden=(4,), epochs=1, **QUIET)
    assert rated.config["protocol"]["name"] == "all_ratings"
    assert rated.config["shape"] == [len(ratings.user_ids), len(ratings.item_ids)]


def test_all_data_runs_are_saved_opened_and_resumed(ratings, tmp_path):
    run = aerec.fit("multvae", ratings, workdir=tmp_path / "run", **SMALL)
    again = aerec.fit("multvae", ratings, workdir=tmp_path / "run", **SMALL)
    chex.assert_trees_all_equal(run.replicas, again.replicas)
    memory = aerec.fit("multvae", ratings, **SMALL)
    chex.assert_trees_all_equal(run.replicas, memory.replicas)
    opened = aerec.open(memory.save(tmp_path / "saved"))
    assert opened.plot().axes and not len(opened.test)


def inverse(x, l2):
    """EASE by the inverse, in float64 (Steck 2019, eq. 8)."""
    precision = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    weights = -precision / np.diag(precision)
    np.fill_diagonal(weights, 0)
    return weights


def test_ease_of_a_matrix_and_of_frames_is_the_inverse():
    rng = np.random.default_rng(0)
    x = (rng.random((60, 15)) < 0.3).astype(float)
    x[:, 0], x[0] = 1, 1  # every id occurs
    user, item = np.nonzero(x)
    pairs = {"user": user, "item": item}
    for source in (scipy.sparse.csr_matrix(x), pd.DataFrame(pairs), pl.DataFrame(pairs)):
        run = aerec.fit("ease", source, l2=3.0, dropout=0.0, **QUIET)
        np.testing.assert_allclose(run.params["weights"], inverse(x, 3.0), atol=2e-6)
        assert run.item_ids.tolist() == list(range(15))


def test_audit_of_a_run_and_of_a_function(run):
    found = aerec.audit(run, budget=2000)
    assert found.order.verdict == "REFUTED" and found.order.witness is not None
    assert found.dimension.verdict == "CERTIFIED" and found.nonzero.rate is not None
    assert found.encoder == "multvae" and "in R^" in found.domain
    assert found.m == 8 + 1  # the last hidden layer and the bias: what the model ranks by
    codes, model = aerec.audit(run, alone=True, budget=2000).comparison.scored[:2]
    assert model.name == "the model's own score" and model.auc != codes.auc
    assert model.auc == pytest.approx(found.comparison.scored[0].auc, abs=1e-4)
    plain = aerec.audit(lambda x: x[:2], samplers.gaussian(3), budget=1000)
    assert plain.order.verdict == "REFUTED"
    with pytest.raises(BadInput, match="give a domain"):
        aerec.audit(lambda x: x)


def test_audit_of_two_towers(run, split):
    """Those of a run by hand are those of the run; and held-out items are the evaluator's."""
    held = aerec.audit(run, relevance="heldout", budget=2000)
    params, target = run.artefact(0).params, split.test.target
    query = lambda x: run.model.queries(params, x)  # noqa: E731
    codes = np.asarray(run.model.item_codes(params)), np.asarray(run.model.item_bias(params))
    rows = [scipy.sparse.csr_matrix((table.entries()[2], table.entries()[:2]), (30, 40)).toarray()
            for table in (split.test.input, target)]  # fmt: skip
    domain = samplers.empirical(rows[0], truth=rows[1], seen=rows[0])
    by_hand = aerec.audit(
        users=lambda x: jax.numpy.pad(query(x), ((0, 0), (0, 1)), constant_values=1.0),
        items=lambda u: u @ np.column_stack(codes), domain=domain, batched=True, budget=2000,
    )  # fmt: skip
    assert by_hand.comparison.scored[0] == held.comparison.scored[0]
    assert held.domain.endswith("in R^40, unseen items only, other scores as the truth")
    scores = np.where(rows[0] > 0, -np.inf, np.asarray(run.model.score(params, rows[0])))
    best = np.argsort(-scores, axis=1)[:, :10]
    hits = np.take_along_axis(rows[1], best, axis=1).mean(axis=1)
    expected = hits[rows[1].any(axis=1)].mean()
    assert held.comparison.scored[0].precision == pytest.approx(expected)


def test_audit_of_held_out_items_needs_some(ratings):
    run = aerec.fit("popularity", ratings, **QUIET)
    with pytest.raises(BadInput, match=r"^Protocol 'all_clicks' holds nothing out"):
        aerec.audit(run, relevance="heldout")


def test_audit_of_a_constant_code_is_vacuous_without_a_warning(split):
    popular = aerec.fit("popularity", split, **QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert aerec.audit(popular, alone=True, budget=1000).order.verdict == "VACUOUS"


def test_audit_of_an_opened_run_needs_a_domain(run, tmp_path):
    opened = aerec.open(run.save(tmp_path / "run"))
    with pytest.raises(BadInput, match="ratings are not at hand"):
        aerec.audit(opened)
    found = aerec.audit(opened, samplers.binary(run.config["shape"][1]), budget=1000)
    assert found.order.verdict == "REFUTED"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r, s: aerec.fit("multvea", s), "No model is called 'multvea'. Did you mean"),
        (lambda r, s: aerec.evaluate(aerec.fit("popularity", s, **QUIET), r), "`split` is a split"),
        (lambda r, s: aerec.fit("EASE", s), "Did you mean ease"),
        (lambda r, s: aerec.fit("ease", None), "NoneType is no split and no ratings"),
        (lambda r, s: aerec.fit("multvae", s, hidden=9), r"a tuple of numbers, like \(600, 200\)"),
        (lambda r, s: aerec.fit("ease", s, metric="ndcg@0"), "needs its cut, at least 1"),
        (lambda r, s: aerec.fit("multvae", s, latnet=3), "'latnet'. Did you mean latent"),
        (lambda r, s: aerec.fit("multvae", s, latent=4.5), "latent is a whole number, not 4.5"),
        (lambda r, s: aerec.fit("multvae", s, epochs=0), "epochs is at least 1, not 0"),
        (lambda r, s: aerec.fit("multvae", s, seeds=0), "seeds is from 1 to 1000, not 0"),
        (lambda r, s: aerec.fit("multvae", s, metric="ndgc@5"), "No ranking figure is called"),
        (lambda r, s: aerec.split(r, "stronk"), "No protocol is called 'stronk'. Did you mean"),
        (lambda r, s: aerec.split(r, "strong", fold=1), "no setting 'fold'. Did you mean fold_in"),
        (lambda r, s: aerec.split(r, "strong", fold=1), "There are: fold_in, min_user, test_"),
        (lambda r, s: aerec.split(r, "strong", seed="x"), "^seed is a whole number"),
        (lambda r, s: aerec.split("my.csv"), "`aerec.read` reads a file"),
        (lambda r, s: aerec.ratings(pd.DataFrame(), user="u"), "Correct the name of the user.$"),
        (lambda r, s: aerec.open("/no/where"), "has no config.json"),
        (lambda r, s: aerec.open(None), "None is no path"),
        (lambda r, s: aerec.load(None), "No dataset is called 'None'"),
        (lambda r, s: aerec.load("ml-1m", data_dir=5), "5 is no path"),
        (lambda r, s: aerec.split(r, None), "No protocol is called None"),
        (lambda r, s: aerec.fit(None, s), "No model is called None"),
        (lambda r, s: aerec.fit(["ease"], s), "No model is called"),
        (lambda r, s: aerec.fit("ease", s, seeds=True), "seeds is a whole number, not True"),
        (lambda r, s: aerec.fit("ease", s, seeds=2.5), "seeds is a whole number, not 2.5"),
        (lambda r, s: aerec.fit("ease", s, seeds=10**9), "seeds is from 1 to 1000"),
        (lambda r, s: aerec.fit("ease", s, seed=-1), "seed is at least 0"),
        (lambda r, s: aerec.fit("ease", s, seed=None), "seed is a whole number, not None"),
        (lambda r, s: aerec.fit("ease", s, seed=2**40), "seed is a whole number below"),
        (lambda r, s: aerec.fit("multvae", s, order_penalty=np.nan), "a finite number, not nan"),
        (lambda r, s: aerec.fit("ease", s, workdir=123), "123 is no path"),
        (lambda r, s: aerec.fit("ease", s, workdir="a\0b"), "is no path"),
        (lambda r, s: aerec.fit("ease", [s, s]), "2 splits and 1 seeds"),
        (lambda r, s: aerec.fit("ease", (s, None), seeds=2), "a list of splits alone"),
        (lambda r, s: aerec.compare(None, None, "ndcg@100"), "NoneType is no run"),
        (lambda r, s: aerec.evaluate(None, s), "NoneType is no run"),
        (lambda r, s: aerec.audit(None), "give a run, a function, or two functions"),
        (lambda r, s: aerec.audit(5), "int is no run and no function"),
        (lambda r, s: aerec.audit(len, items=len), "give a run, a function, or two functions"),
        (lambda r, s: aerec.audit(items=len), "NoneType is no run and no function"),
        (lambda r, s: aerec.audit(len, alone=True), "are for runs"),
        (lambda r, s: aerec.audit(len, relevance="seen"), "'listed' or 'heldout', not 'seen'"),
        (lambda r, s: aerec.audit(lambda x: x, "gaussian"), "str is no domain"),
        (lambda r, s: aerec.audit(lambda x: x, samplers.binary(3), seed="x"), "seed is a whole"),
    ],
)
def test_what_is_refused(ratings, split, call, message):
    with pytest.raises(BadInput, match=message):
        call(ratings, split)


def test_ratings_and_splits_are_shown_in_a_line(ratings, split):
    users, items = len(ratings.user_ids), len(ratings.item_ids)
    shown = f"{users} users, {items} items, {len(ratings.user):,} ratings from 1 to 5"
    assert repr(ratings).endswith(shown)
    rows, columns, entries = len(split.user_ids), len(split.item_ids), len(split.train.columns)
    assert f"{rows} rows x {columns} columns with {entries:,} entries in training" in repr(split)
    assert repr(split).endswith("20 validation, 30 test")


def test_an_audit_is_shown_in_a_few_lines(run, ease):
    found = aerec.audit(ease, budget=2**10)
    assert repr(found).count("\n") == 4 and "P2, order preservation: REFUTED" in repr(found)
    assert repr(found.order).startswith("REFUTED on ") and "array" not in repr(found.order)
    assert f"rate {found.order.rate:.4g} in [" in repr(found.order)
    witness = found.order.witness
    assert f"latent margin {witness.latent_margin:.4g}" in repr(witness)
    with pytest.raises(BadInput, match="in R\\^5, and the run reads rows of 40 items"):
        aerec.audit(ease, samplers.gaussian(5))
    for option, says in (({"truth": "cos"}, "choose 'dot'"), ({"confidence": 95}, "not in")):
        with pytest.raises(ValueError, match=says):
            aerec.audit(ease, **option)


def test_a_run_in_memory_that_diverges_has_no_checkpoint_to_name(split):
    with pytest.raises(loop.Diverged, match="Lower `learning_rate`") as error:
        aerec.fit("multvae", split, learning_rate=1e30, **SMALL)
    assert "checkpoint" not in str(error.value)


def test_settings_of_training_have_no_effect_on_what_is_solved(split):
    said = []
    aerec.fit("ease", split, epochs=3, learning_rate=0.1, l2=5.0, show=False, log=said.append)
    assert "ease is solved, not trained: no effect of epochs, learning_rate" in said


def test_what_a_run_refuses(run, split, tmp_path):
    for call, message in (
        (lambda: run.recommend([run.item_ids[0]], replica="a"), "has 2 replicas, 0 to 1"),
        (lambda: run.recommend([run.item_ids[0]], replica=[0]), "has 2 replicas, 0 to 1"),
        (lambda: run.test["ndcg@100"].interval(2), "confidence=2 is a share"),
        (lambda: run.save(None), "None is no path"),
        (lambda: run.export(5), "5 is no path"),
        (lambda: aerec.evaluate(run, None), "`split` is a split"),
        (lambda: aerec.evaluate(run, []), "`split` is a split"),
        (lambda: aerec.evaluate(run, ["x"]), "str is no split"),
        (lambda: aerec.evaluate(run, split, own=5), "`own` is a split, or a list"),
    ):
        with pytest.raises(BadInput, match=message):
            call()


def test_splits_of_two_protocols_are_not_one_run(ratings, split):
    other = aerec.split(ratings, "random_ratings", log=lambda text: None)
    with pytest.raises(BadInput, match="of several protocols: random_ratings, strong"):
        aerec.fit("ease", [split, other], seeds=2, **QUIET)


def test_settings_of_models_and_of_training_have_different_names():
    training = set(settings.Settings.__dataclass_fields__)
    for name, module in aerec.models.MODELS.items():
        assert not training & set(module.Config.__dataclass_fields__), name


def test_the_catalogue_lists_every_model():
    listed = aerec.models.catalogue()
    assert listed["model"].to_list() == sorted(aerec.models.MODELS)
    ease = listed.row(by_predicate=pl.col("model") == "ease", named=True)
    assert ease["task"] == "ranking" and ease["fitted"] == "in closed form"
    assert ease["paper"].startswith("Steck, Embarrassingly Shallow") and "2019" in ease["paper"]
    assert "l2=100.0" in ease["settings"]
    without = listed.filter(pl.col("paper") == "")["model"].to_list()
    assert set(without) <= {"popularity", "rvae"}


def test_what_has_no_answer_is_a_warning_at_the_callers_line(run):
    known = run.item_ids[0]
    with pytest.warns(UserWarning, match="Items unknown to the model are left out: what"):
        warned = warnings.catch_warnings(record=True)
        with warned as caught:
            warnings.simplefilter("always")
            run.recommend([known, "what"])
        assert caught[0].filename == __file__
        run.recommend([known, "what"])
    with pytest.warns(UserWarning, match="Unknown items have no score: "):
        run.predict([known], ["what"])


def test_replicas_answer_apart(run):
    each = [run.recommend([run.item_ids[0]], k=30, replica=replica) for replica in (0, 1)]
    assert not each[0].equals(each[1])
    with pytest.raises(BadInput, match="has 2 replicas, 0 to 1"):
        run.recommend([run.item_ids[0]], replica=2)


def test_a_figure_can_be_copied_and_asked_for_by_get(run):
    figure = run.test["ndcg@100"]
    for copied in (copy.deepcopy(figure), pickle.loads(pickle.dumps(figure))):
        assert copied == figure and copied.interval() == figure.interval()
    assert run.test.get("nope") is None and "nope" not in run.test


def test_splits_that_replicas_cannot_share(ratings, split):
    other = aerec.split(ratings, "strong", seed=1, log=lambda text: None)
    with pytest.raises(BadInput, match="2 splits and 1 seeds"):
        aerec.fit("ease", [split, split], **QUIET)
    with pytest.raises(BadInput, match=r"differ in their protocol, users, items or scale"):
        aerec.fit("ease", [split, other], seeds=2, **QUIET)


def test_a_run_shares_nothing_that_can_be_changed_with_its_split(ratings):
    part = aerec.split(ratings, "strong", log=lambda text: None)
    run = aerec.fit("popularity", part, **QUIET)
    part.protocol["threshold"] = 1
    assert run.config["protocol"]["threshold"] == 4


def test_ready_splits_take_no_ratings(ratings):
    with pytest.raises(BadInput, match="`files` takes no ratings"):
        aerec.split(ratings, "files", split_dir="x")
    with pytest.raises(BadInput, match="every other protocol takes some"):
        aerec.split(protocol="strong")
    with pytest.raises(BadInput, match="'x' is not a folder"):
        aerec.split(protocol="files", split_dir="x")


def test_an_item_based_run_answers_what_it_can(ratings, tmp_path):
    run = aerec.fit("autorec", ratings, hidden=(4,), epochs=1, **QUIET)
    with pytest.raises(BadInput, match="cannot fold one in"):
        run.recommend([ratings.item_ids[0]])
    run.export(tmp_path / "m.safetensors")
    names = json.loads((tmp_path / "m.safetensors.vocabulary.json").read_text())
    assert len(names["users"]) == run.config["shape"][1]  # the columns of its weights


def test_every_public_name_is_documented():
    for name in aerec.__all__:
        member = getattr(aerec, name)
        assert member.__doc__, name
        for inner, method in vars(member).items() if isinstance(member, type) else ():
            if not inner.startswith("_") and (callable(method) or isinstance(method, property)):
                documented = getattr(method, "__doc__", None) or (method.fget or method).__doc__
                assert documented, f"{name}.{inner}"


def test_an_exported_model_ranks_alike_without_the_package(split, request, tmp_path):
    """The example of the guide, in a process that cannot import aerec."""
    example = blocks("docs/guide/recommend.md")[-1]
    assert "(260, 1196)" in example and "top_k" in example
    assert "aerec" not in example
    liked = split.item_ids[[3, 5]].tolist()
    code = "import sys\nsys.modules['aerec'] = None\n" + example.replace("(260, 1196)", str(liked))
    for fixture in ("run", "ease"):
        run = request.getfixturevalue(fixture)
        run.export(tmp_path / "mine.stablehlo")
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert run.recommend(liked, k=10)["item"].to_list() == json.loads(ran.stdout)


def test_weights_as_safetensors(run, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    found = numpy.load_file(run.export(tmp_path / "m.safetensors"))
    leaves = jax.tree_util.tree_leaves_with_path(run.params)
    assert len(found) == len(leaves)
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        np.testing.assert_array_equal(found[name], leaf)


def test_what_cannot_be_exported(run, split, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="No format is called 'pt'"):
        run.export(tmp_path / "m.pt")
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(BadInput, match=r"needs the package flatbuffers: pip install 'aerec\[exp"):
        run.export(tmp_path / "m.stablehlo")
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(BadInput, match=r"needs the package jax2onnx: pip install 'aerec\[onnx"):
        run.export(tmp_path / "m.onnx")

    def to_onnx(*args, **settings):
        raise NotImplementedError("No plugin for while")

    monkeypatch.setitem(sys.modules, "jax2onnx", types.SimpleNamespace(to_onnx=to_onnx))
    with pytest.raises(BadInput, match=r"No plugin for while\); use the format stablehlo"):
        run.export(tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_protocols_for_use_hold_nothing_out(ratings):
    for name in ("all_clicks", "all_ratings"):
        part = protocols.parse(name).split(ratings, seed=0)
        assert part.test.input.num_rows == part.valid.target.num_rows == 0
    clicks = protocols.parse("all_clicks:threshold=3").split(ratings, seed=0)
    assert clicks.train.columns.size == (ratings.value >= 3).sum() and clicks.scale is None
    assert part.train.columns.size == len(ratings.value) and part.scale == ratings.scale
