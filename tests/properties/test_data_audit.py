"""Audits of data: two towers, held-out items, figures beside baselines, modules as encoders."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from flax import nnx

from aerec.properties import audit, baselines, comparison, counting, encoder, rates, samplers
from aerec.properties.budget import Budget
from aerec.properties.journal import Journal
from aerec.properties.modules import as_function
from aerec.properties.problem import pose
from aerec.properties.report import CERTIFIED, REFUTED
from aerec.properties.scores import score_rows, true_rows

U, N, M = 40, 15, 3
DRAW = np.random.default_rng(0)
LISTED = (DRAW.random((U, N)) < 0.3).astype(np.float32)
LISTED[0] = 0  # lists nothing
WEIGHT = DRAW.normal(size=(N, M)).astype(np.float32)
ITEMS = DRAW.normal(size=(N, M)).astype(np.float32)
HELD = ((DRAW.random((U, N)) < 0.3) & (LISTED == 0)).astype(np.float32)
HELD[1] = 1  # all of them are relevant: no pair has an order
SMALL = {"budget": 2**12, "search_points": 2**10}
KEY = jax.random.key(0)


def audited(domain, encode=lambda x: x @ WEIGHT, **options):
    return audit(encode, domain, jax.random.clone(KEY), **{**SMALL, "batched": True, **options})


def compared(domain, encode, own=None):
    """The figures of an audit, without the rest of it."""
    problem = pose(encoder.wrap(encode, domain.dimension, batched=True), domain)
    users, state = np.arange(domain.shape[0]), Journal(None, "")
    counts = comparison.count(problem, score_rows(problem).rows, users, state=state)
    key = jax.random.clone(KEY)
    options = {"own": own, "spending": Budget(1), "state": state, "confidence": 0.95}
    return counts, comparison.compare(problem, counts, users, key, **options)


@pytest.fixture(scope="module")
def towers():
    return audited(samplers.empirical(scipy.sparse.csr_matrix(LISTED)), items=lambda u: u @ ITEMS)


@pytest.fixture(scope="module")
def heldout():
    domain = samplers.empirical(LISTED, truth=scipy.sparse.csr_matrix(HELD), seen=LISTED)
    return audited(domain, items=lambda u: u @ ITEMS)


def by_loop(true, latent, seen=None):
    """(concordant, reversed, flattened) per user, and precision@10 where each item that ties with
    the tenth is among the ten with equal probability."""
    counts, precision = [], []
    for user in range(len(true)):
        kept = np.arange(N) if seen is None else np.flatnonzero(seen[user] == 0)
        outcome = [0, 0, 0]
        for i, j in itertools.permutations(kept, 2):
            if true[user, i] > true[user, j]:
                margin = latent[user, i] - latent[user, j]
                outcome[0 if margin > 1e-6 else 1 if margin < -1e-6 else 2] += 1
        counts.append(outcome)
        relevant = kept[true[user, kept] > 0]
        margins = latent[user, kept] - latent[user, relevant][:, None]
        above, tied = (margins > 1e-6).sum(axis=1), (abs(margins) <= 1e-6).sum(axis=1)
        hits = np.clip((10 - above) / tied, 0, 1).sum()
        precision.append(hits / 10 if len(relevant) else np.nan)
    return np.array(counts).T, np.array(precision)


def agree(found, counts, precision):
    right, wrong, flat = counts
    of = counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        users = (right + flat / 2) / of
    assert found.auc == pytest.approx((right + flat / 2).sum() / of.sum(), abs=1e-12)
    assert found.auc_users == pytest.approx(np.nanmean(users), abs=1e-12)
    assert found.precision == pytest.approx(np.nanmean(precision), abs=1e-12)
    assert found.reversed_ == pytest.approx(wrong.sum() / of.sum(), abs=1e-12)
    assert found.flat == ((right + wrong == 0) & (of > 0)).sum() / (of > 0).sum()
    for value, (low, high) in (
        (found.auc, found.auc_interval),
        (found.auc_users, found.auc_users_interval),
        (found.precision, found.precision_interval),
    ):
        assert 0 <= low < value < high <= 1


def test_two_towers_are_counted_as_pairs_are_by_a_loop(towers):
    codes = towers.comparison.scored[0]
    assert codes.name == "codes"
    agree(codes, *by_loop(LISTED, LISTED @ WEIGHT @ ITEMS.T))
    assert towers.order.verdict == REFUTED
    w = towers.order.witness
    assert w.x @ w.u >= w.x @ w.v
    assert (w.x @ WEIGHT) @ (w.u @ ITEMS) < (w.x @ WEIGHT) @ (w.v @ ITEMS)


def test_held_out_items_are_ranked_among_the_unseen(heldout):
    """By a loop; and the witness is a user and two items that were not seen."""
    latent = LISTED @ WEIGHT @ ITEMS.T
    agree(heldout.comparison.scored[0], *by_loop(HELD, latent, seen=LISTED))
    unseen = (LISTED == 0).sum(axis=1)
    assert heldout.triples == (unseen * (unseen - 1) // 2).sum()
    assert "unseen" in heldout.domain and "other scores as the truth" in heldout.domain
    user, u, v, true, margin = heldout.order.witness
    assert heldout.order.verdict == REFUTED
    assert not LISTED[user, [u, v]].any()
    assert HELD[user, u] - HELD[user, v] == true == 1.0
    codes = latent[user, u] - latent[user, v]
    sizes = np.linalg.norm(LISTED[user] @ WEIGHT) * np.linalg.norm(ITEMS[[u, v]], axis=1).max()
    assert margin == pytest.approx(codes / sizes, rel=1e-5) and margin < 0
    assert f"user {user}, items u = {u}" in heldout.to_markdown()


def test_baselines_are_what_their_names_say(towers, heldout):
    """Popularity is one ranking for all, and the SVD is NumPy's."""
    domain = samplers.empirical(scipy.sparse.csr_matrix(LISTED))
    _, _, right = np.linalg.svd(LISTED, full_matrices=False)
    expected = {
        "truncated SVD": LISTED @ right[:M].T @ right[:M],
        "popularity": np.broadcast_to(LISTED.sum(axis=0), (U, N)),
    }
    scores = baselines.baselines(domain, M, jax.random.clone(KEY))
    assert list(scores) == ["truncated SVD", "random projection", "popularity"]
    some = np.array([3, 1, 30])
    for name, latent in expected.items():
        np.testing.assert_allclose(scores[name](some), latent[some], atol=1e-5)
        for found, true, seen in ((towers, LISTED, None), (heldout, HELD, LISTED)):
            (each,) = [each for each in found.comparison.scored if each.name == name]
            agree(each, *by_loop(true, latent, seen))
    dense = baselines.baselines(samplers.empirical(LISTED, np.eye(N)), M, jax.random.clone(KEY))
    for name in ("truncated SVD", "random projection"):
        np.testing.assert_allclose(dense[name](some), scores[name](some), atol=1e-4)
    mean = LISTED.mean(axis=0)
    np.testing.assert_allclose(dense["popularity"](some), np.stack([mean] * 3), rtol=1e-6)


@pytest.mark.parametrize("m", [2, 5])
@pytest.mark.parametrize("sparse", [False, True])
def test_principal_directions_are_numpys(m, sparse):
    """By Lanczos iterations for a small share of the columns, of the Gram matrix for a larger."""
    users = (DRAW.random((50, 40)) < 0.3).astype(np.float32)
    expected = np.linalg.svd(users)[2][:m]
    found = baselines.principal(scipy.sparse.csr_matrix(users) if sparse else users, m)
    np.testing.assert_allclose(found @ found.T, expected.T @ expected, atol=1e-4)


def test_baselines_are_fitted_to_the_training_rows():
    domain = samplers.empirical(LISTED[:5], truth=HELD[:5], seen=LISTED[:5], training=LISTED)
    scores = baselines.baselines(domain, M, jax.random.clone(KEY))
    basis = np.linalg.svd(LISTED)[2][:M]
    some = np.arange(5)
    expected = LISTED[:5] @ basis.T @ basis
    np.testing.assert_allclose(scores["truncated SVD"](some), expected, atol=1e-4)
    np.testing.assert_array_equal(scores["popularity"](some), [LISTED.sum(axis=0)] * 5)


def test_an_svd_of_full_rank_ranks_all_as_listed():
    for users in (LISTED, scipy.sparse.csr_matrix(LISTED)):
        for items in (None, np.eye(N, dtype=np.float32)):
            data = samplers.empirical(users, items)
            scores = baselines.baselines(data, N, jax.random.clone(KEY))["truncated SVD"]
            np.testing.assert_array_equal(scores(np.arange(U)), LISTED)
    assert baselines.principal(scipy.sparse.csr_matrix(np.zeros((9, 5), np.float32)), 2) is None


def test_errors_by_length_of_history_add_up_and_t6_stands_beside(towers):
    compared = towers.comparison
    length = LISTED.sum(axis=1).astype(int)
    assert sum(users for _, _, users in compared.lengths) == compared.users == U
    (_, wrong, flat), _ = by_loop(LISTED, LISTED @ WEIGHT @ ITEMS.T)
    for place, (low, high, users) in enumerate(compared.lengths):
        among = (length >= low) & (length <= high)
        assert among.sum() == users and high < 2 * max(low, 1)
        of = length * (N - length)
        lost = (wrong + flat / 2)[among].sum()
        loss, curve = compared.scored[0].by_length[place], compared.expected[place]
        if not of[among].sum():
            assert np.isnan(loss) and np.isnan(curve)
            continue
        assert loss == pytest.approx(lost / of[among].sum(), abs=1e-12)
        rate = rates.random_projection_rate(M, np.maximum(length, 1))
        assert curve == pytest.approx((rate * of)[among].sum() / of[among].sum(), abs=1e-12)


def test_t6_holds_where_it_is_claimed(heldout):
    """A random projection is near its mean over many users; elsewhere no curve is shown."""
    users = (np.random.default_rng(5).random((400, 60)) < 0.1).astype(np.float32)
    domain = samplers.empirical(users)
    projected = baselines.baselines(domain, 24, jax.random.clone(KEY))["random projection"]
    problem = pose(encoder.wrap(lambda x: x, 60), domain)
    truths, _ = true_rows(problem)
    everyone = np.arange(400)
    tally = counting.count_rows(truths(everyone), projected(everyone))
    length = users.sum(axis=1)
    expected = (rates.random_projection_rate(24, np.maximum(length, 1)) * tally.ordered).sum()
    assert tally.reversed_.sum() == pytest.approx(expected, rel=0.1)
    assert heldout.comparison.expected is None
    assert compared(samplers.empirical(3 * LISTED), lambda x: x)[1].expected is None


def test_a_random_projection_has_no_skill_over_itself():
    """The baseline is counted on the data, not that of isotropic triples."""
    users = (np.random.default_rng(7).random((150, 80)) < 0.06).astype(np.float32)
    weight = np.random.default_rng(8).normal(size=(80, 20)).astype(np.float32)
    found = audited(samplers.empirical(users), lambda x: x @ weight).order
    assert abs(found.details["skill_over_projection"]) < 0.15
    isotropic = rates.projection_baseline(80, 20, asymptotic=False)
    assert 1 - found.details["reversed_of_ordered"] / isotropic > 0.3


def test_flat_users_are_seen():
    """`(1, x [sum x < 6])` ranks nothing for users of six items and more."""
    users = (np.random.default_rng(1).random((300, 12)) < 0.5).astype(np.float32)
    length = users.sum(axis=1)

    def encode(x):
        short = x * (x.sum(axis=1, keepdims=True) < 6)
        return jnp.concatenate([jnp.ones((len(x), 1)), short], axis=1)

    counts, found = compared(samplers.empirical(users), encode)
    some = (length > 0) & (length < 12)
    flat = some & (length >= 6)
    codes = found.scored[0]
    assert codes.flat == flat.sum() / some.sum() > 0.55
    assert codes.auc_users == pytest.approx((some.sum() - flat.sum() / 2) / some.sum())
    assert codes.reversed_ == 0.0
    tau = rates.tau_b(counts.tally)
    assert (tau[flat] == 0).all() and tau[some & ~flat] == pytest.approx(1.0)


def test_no_violation_among_all_triples_is_a_certificate_for_these_data():
    found = audited(samplers.empirical(LISTED), lambda x: x).order
    assert found.verdict == CERTIFIED and found.rate == 0.0
    triples = U * N * (N - 1) // 2
    assert f"all {triples:,} triples of these data" in found.why
    assert found.details["rate_of_new_users_at_most"] == found.interval[1] > 0
    sampled = audited(samplers.empirical(LISTED), lambda x: x, exhaustive=False).order
    assert sampled.verdict.startswith("NOT REFUTED")


def test_a_sample_of_users_is_compared_where_all_are_too_many(monkeypatch):
    monkeypatch.setattr("aerec.properties.evidence._FEW", 25)
    found = audited(samplers.empirical(LISTED), exhaustive=False).comparison
    assert found.users == 25 == sum(users for _, _, users in found.lengths)


def test_scores_of_the_model_itself_stand_beside(towers):
    own = lambda x: x @ WEIGHT @ ITEMS.T  # noqa: E731
    codes, other = compared(samplers.empirical(LISTED), lambda x: x @ WEIGHT, own)[1].scored[:2]
    assert other.name == "the model's own score"
    assert other.auc == towers.comparison.scored[0].auc != codes.auc
    features = compared(samplers.empirical(LISTED, np.eye(N)), lambda x: x @ WEIGHT, own)[1]
    assert "the model's own score" not in [each.name for each in features.scored]
    assert features.lengths == [] and features.scored[0].precision is None


def test_the_report_begins_with_the_figures(towers):
    text = towers.to_markdown()
    assert text.index("| scores | AUC |") < text.index("| property | verdict |")
    plain = towers.to_dict()["comparison"]
    assert [each["name"] for each in plain["scored"]] == [
        "codes", "truncated SVD", "random projection", "popularity",
    ]  # fmt: skip
    for each in towers.comparison.scored:
        assert f"| {each.name} | {each.auc:.4f} [{each.auc_interval[0]:.4f}," in text
    assert "by theorem T6" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"truth": HELD[:, :4]}, r"truth is \(40, 4\): not 40 users x 15 items"),
        ({"seen": LISTED[:4]}, r"seen is \(4, 15\)"),
        ({"seen": np.arange(N) * np.ones((U, 1))}, "no user has two unseen items"),
        ({"seen": scipy.sparse.csr_matrix(np.ones((U, N)))}, "no user has two unseen items"),
        ({"items": np.full((3, N), np.nan)}, "items: not a matrix of finite numbers"),
        ({"items": np.ones(N)}, "items: not a matrix"),
        ({"training": np.ones((3, 4))}, r"training is \(3, 4\): not rows of R\^15"),
    ],
)
def test_parts_of_data_that_do_not_go_together(given, message):
    with pytest.raises(ValueError, match=message):
        samplers.empirical(LISTED, **given)


def test_users_who_have_seen_all_have_no_triples():
    seen = np.ones((3, 4))
    seen[0, :2] = 0
    domain = samplers.empirical(np.eye(3, 4), truth=np.eye(3, 4), seen=seen)
    found = audited(domain, lambda x: x)
    assert found.triples == 1 and found.per_user["rate"][0] == 0
    assert np.isnan(found.per_user["rate"][1:]).all()
    assert domain.ranking_users().tolist() == [0]  # the only one that is drawn
    sampled = audited(domain, lambda x: x, budget=1000, exhaustive=False)
    assert sampled.triples >= 1000


@pytest.mark.parametrize("on_device", [False, True])
def test_items_without_a_true_score_are_left_out(on_device):
    true = np.where(LISTED > 0, np.nan, HELD).astype(np.float32)
    latent = (LISTED @ WEIGHT @ ITEMS.T).astype(np.float32)
    count = counting.counter(0.0, 0.1, on_device=on_device)
    whole = count(true, latent)
    for user in range(4):
        kept = ~np.isnan(true[user])
        alone = counting.count_rows(true[user, kept][None], latent[user, kept][None],
                                    latent_ties=0.1)  # fmt: skip
        assert [int(part[user]) for part in whole] == [int(part[0]) for part in alone]


# Modules


class Net(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.layer, self.drop = nnx.Linear(N, M, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
        self.norm = nnx.BatchNorm(M, rngs=rngs)

    def __call__(self, x):
        return self.drop(self.norm(self.layer(x)))


def test_a_module_of_nnx_in_two_towers_is_judged_without_dropout_and_stays_as_it_was():
    net = Net()
    function = as_function(net)
    wrapped = encoder.wrap(function, N, batched=True)
    assert wrapped.traceable
    kernel, bias = (np.asarray(part[...]) for part in (net.layer.kernel, net.layer.bias))
    expected = (LISTED @ kernel + bias) / np.sqrt(1 + net.norm.epsilon)
    np.testing.assert_allclose(wrapped.native(jnp.asarray(LISTED)), expected, atol=1e-5)
    assert not net.drop.deterministic and not net.norm.use_running_average
    found = audited(samplers.gaussian(N), net, items=lambda u: u @ ITEMS)
    assert found.order.verdict == REFUTED and "theorem T4" in found.order.why
    assert found.comparison is None


def test_a_module_of_torch_is_judged_without_dropout_and_stays_as_it_was():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(
        torch.nn.Linear(N, M), torch.nn.BatchNorm1d(M), torch.nn.Dropout(0.5)
    )
    net[1].eval()  # a part that the caller has frozen
    wrapped = encoder.wrap(as_function(net), N, batched=True)
    weight, bias = (part.detach().numpy() for part in net[0].parameters())
    expected = (LISTED @ weight.T + bias) / np.sqrt(1 + net[1].eps)
    np.testing.assert_allclose(wrapped.native(LISTED), expected, atol=1e-5)
    assert wrapped.eps == np.finfo(np.float32).eps
    assert net[2].training and not net[1].training
    found = audited(samplers.empirical(LISTED), net, items=torch.nn.Linear(N, M).double())
    assert found.order.verdict == REFUTED and "cannot trace" in found.notes[0]


def test_other_callables_stay_what_they_are():
    function = lambda x: x  # noqa: E731
    assert as_function(function) is function
    assert as_function(np.tanh) is np.tanh


def test_counts_of_a_comparison_resume(tmp_path):
    """Each scorer is a part of the state."""
    domain, state = samplers.empirical(LISTED), tmp_path / "state.json"
    first = audited(domain, state=state)
    again = audited(domain, state=state)
    assert first.to_dict() == again.to_dict()
    assert comparison.TOP == 10 and first.comparison.k == 10


def test_rows_that_no_second_was_left_to_count_certify_nothing():
    users = np.eye(6)[np.arange(40) % 6]
    users[7] = np.full(6, 0.5)  # whose code is 0
    domain = samplers.empirical(users, np.eye(6))
    encode = lambda x: np.where(np.asarray(x).max() < 1, 0, np.asarray(x))  # noqa: E731
    found = audit(encode, domain, jax.random.key(0), budget="0.05s", search_points=200)
    assert not found.nonzero.verdict.startswith("CERTIFIED")


def test_a_state_of_another_truth_is_refused(tmp_path):
    draw = np.random.default_rng(0)
    users, truth = draw.random((12, 6)), (draw.random((12, 6)) < 0.4) * 1.0
    for given in (truth, 1 - truth):
        domain = samplers.empirical(users, truth=given)
        run = lambda domain=domain: audit(  # noqa: E731
            lambda x: x[:4], domain, jax.random.key(0), budget=200, search_points=200,
            state=tmp_path / "state.json",
        )  # fmt: skip
        if given is truth:
            run()
        else:
            with pytest.raises(ValueError, match="left by another encoder, domain or seed"):
                run()


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)])
def test_principal_directions_by_the_smaller_gram_matrix(shape):
    users = np.random.default_rng(6).normal(size=shape)
    found = baselines.principal(users, 7)
    expected = np.linalg.svd(users)[2][:7].T
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-9)


def test_a_scorer_that_jax_cannot_trace_is_compared_too():
    own = lambda x: np.array(np.asarray(x) @ np.eye(N)[:, ::-1])  # noqa: E731
    found = audited(samplers.empirical(LISTED), own=own).comparison
    assert found.scored[1].name == "the model's own score"


def test_baselines_that_the_seconds_do_not_suffice_for_are_left_out():
    domain, spending = samplers.empirical(LISTED), Budget("10s")
    spending.spend(20.0)
    problem = pose(encoder.wrap(lambda x: x @ WEIGHT, N, batched=True), domain)
    counts, _ = compared(domain, lambda x: x @ WEIGHT)
    found = comparison.compare(
        problem, counts, np.arange(U), jax.random.clone(KEY), own=None, spending=spending,
        state=Journal(None, ""), confidence=0.95,
    )  # fmt: skip
    assert [each.name for each in found.scored] == ["codes"]
    assert len(spending.cut) == 3 and "the count of popularity" in spending.cut


def test_items_of_very_different_sizes_are_not_certified():
    """Beside one item of 10^9, a count takes all others for ties; a user reverses them."""
    draw = np.random.default_rng(0)
    users, items = draw.random((400, 4)), draw.normal(size=(30, 4))
    items[:, 0], items[0] = 0.0, [1e9, 0, 0, 0]
    rare = np.float32(users[123])
    domain = samplers.empirical(users, items)

    def reverses(rows):
        rows = np.array(rows)
        hit = (rows == rare).all(axis=1)
        return np.where(hit[:, None] & (np.arange(4) > 0), -rows, rows)

    for encode in (reverses, np.array):
        found = audit(
            encode, domain, jax.random.key(0), items=np.array, batched=True, budget=2**11,
            search_points=64,
        )  # fmt: skip
        assert found.order.details["reversed"] == found.order.details["broken"] == 0
        assert found.order.verdict.startswith("NOT REFUTED")
        assert "differ so much in size" in found.order.why


def test_a_counted_violation_is_a_witness_where_no_search_finds_it():
    """One of 3,000 users reverses the order: the search draws 64 of them."""
    draw = np.random.default_rng(1)
    users, items = np.float32(draw.normal(size=(3000, 4))), np.float32(draw.normal(size=(30, 4)))

    def encode(rows):
        rows = np.array(rows)
        return np.where((rows == users[2718]).all(axis=1, keepdims=True), -rows, rows)

    order = audit(
        encode, samplers.empirical(users, items), jax.random.key(0), items=np.array, batched=True,
        budget=2**11, search_points=64,
    ).order  # fmt: skip
    assert order.verdict == REFUTED and order.witness.source == "count of the triples"
    np.testing.assert_array_equal(order.witness.x, users[2718])
    u, v = order.witness.u, order.witness.v
    true = users[2718].astype(float) @ (u - v)
    assert order.witness.true_margin == pytest.approx(true) and true > 0
    assert order.witness.latent_margin == pytest.approx(-true)


def test_scores_of_all_sizes_are_not_a_constant_ranking():
    """Beside the product of the norms the scores are 10^-60, which float32 rounds to 0."""
    items = np.vstack([np.eye(3), 2 * np.eye(3)])
    f = lambda x: np.array([1e60, 1.0 + 0 * float(x[0])])  # noqa: E731
    g = lambda u: np.array([1.0 + float(u[1]), 1e60 * (u.sum() + 3 * u[2])])  # noqa: E731
    domain = samplers.empirical(np.eye(3), items)
    ranking = audit(f, domain, jax.random.key(0), items=g, budget=2**8).ranking
    assert len({f(u) @ g(u) for u in items}) > 3
    assert ranking.rate == 1 and ranking.verdict != REFUTED


def test_large_codes_of_a_domain_do_not_hide_what_the_others_rank():
    """Where exp(60 x) is small, its scores differ all the same: no x has a constant ranking."""
    encode = lambda x: np.exp(60.0 * np.asarray(x, float)) * (1 + 0 * float(x[0]))  # noqa: E731
    domain = samplers.gaussian(5)
    ranking = audit(encode, domain, jax.random.key(1), budget=2**12, search_points=2**8).ranking
    assert ranking.verdict != REFUTED
