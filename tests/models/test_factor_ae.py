"""Factor AE: similarities of codes, the objective, compressions in closed form, new items."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aerec
from aerec import models
from aerec.core import Facts, Table
from aerec.data import protocols
from aerec.data.datasets import synthesize
from aerec.errors import BadInput
from aerec.evaluation import ranking
from aerec.models import factor_ae
from aerec.properties import samplers
from aerec.runs.checkpoints import Checkpoints
from aerec.training import loop, program
from aerec.training.settings import Settings

U, N, SIZE = 30, 17, 6
SIMILARITIES = ("dot", "cosine", "centred", "decoder")


@functools.cache
def table(seed=0):
    rng = np.random.default_rng(seed)
    listed = rng.random((U, N)) < 0.3
    listed[0] = False
    listed[1, :3] = True
    row, column = np.nonzero(listed)
    return Table.from_entries(row, column, np.ones(len(row)), num_rows=U, num_columns=N)


def rows(table):
    return table.gather(jnp.arange(table.num_rows), len(table.columns))


def configured(**given):
    return factor_ae.Config(**{"size": SIZE, "latent": 3, **given})


@functools.cache
def trained(**given):
    """Parameters at a random point, on the vectors of the table."""
    config = configured(**given)
    model = factor_ae.make(config, Facts.of(table()))
    params = {**model.init(jax.random.key(0)), **model.frozen(table())}
    rng = np.random.default_rng(1)
    moved = jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape) / 5, params["network"])
    return model, {**params, "network": jax.tree.map(jnp.float32, moved)}


def scaled(params):
    """The scaled vectors of users and items, in float64."""
    parts = jax.tree.map(lambda leaf: np.asarray(leaf, float), params["features"])
    users = np.asarray(rows(table()).dense()) @ (parts["weights"][:, None] * parts["items"])
    return users / parts["lengths"][0], parts["items"] / parts["lengths"][1]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_scores_are_similarities_of_codes(similarity, tied):
    """The parameters of one similarity serve the others: it is no part of the training."""
    _, params = trained(hidden=(5,), tied=tied, latent_activation="sigmoid")
    given = {"hidden": (5,), "tied": tied, "latent_activation": "sigmoid"}
    model = factor_ae.make(configured(**given, similarity=similarity), Facts(U, N))
    p = jax.tree.map(lambda leaf: np.asarray(leaf, float), params["network"]["params"])
    first, second = (p[f"encoder_{i}"]["kernel"] for i in (0, 1))

    def encode(v):
        h = np.tanh(v @ first + p["encoder_0"]["bias"])
        return 1 / (1 + np.exp(-h @ second - p["encoder_1"]["bias"]))

    def decode(z):
        if tied:
            return np.tanh(z @ second.T + p["bias_0"]) @ first.T + p["bias_1"]
        h = np.tanh(z @ p["decoder_0"]["kernel"] + p["decoder_0"]["bias"])
        return h @ p["decoder_1"]["kernel"] + p["decoder_1"]["bias"]

    users, items = map(encode, scaled(params))
    got = np.asarray(jax.jit(model.score)(params, rows(table())))
    if similarity == "decoder":
        expected = decode(users) @ decode(items).T  # up to a constant of the user
        got, expected = np.diff(got, axis=1), np.diff(expected, axis=1)
        assert model.item_codes(params).shape == (N, 5), "an item costs the last hidden layer"
    else:
        mean = items.mean(0) * (similarity == "centred")
        expected = (users - mean) @ (items - mean).T
    if similarity == "cosine":
        lengths = [np.linalg.norm(z, axis=1) for z in (users, items)]
        expected /= lengths[0][:, None] * lengths[1]
    np.testing.assert_allclose(got, expected, atol=2e-5)
    np.testing.assert_allclose(model.encode(params, rows(table())), users, atol=1e-5)


def test_the_loss_is_that_of_all_users_and_items():
    """On average over the items that are drawn; the weights of all rows sum up to all vectors."""
    model, params = trained(latent_activation="tanh")
    p = jax.tree.map(lambda leaf: np.asarray(leaf, float), params["network"]["params"])

    def error(v):
        z = np.tanh(v @ p["encoder_0"]["kernel"] + p["encoder_0"]["bias"])
        return ((v - z @ p["decoder_0"]["kernel"] - p["decoder_0"]["bias"]) ** 2).sum(1)

    users, items = map(error, scaled(params))
    full = rows(table()).counts() > 0
    keys = jax.random.split(jax.random.key(5), 400)
    step = jax.jit(jax.vmap(lambda key: model.loss(params, rows(table()), key, 0)))
    totals, weights = map(np.asarray, step(keys))
    expected = (users + N / U * items.mean()) * np.asarray(full)
    deviation = N / U * items.std() / np.sqrt(len(keys))
    assert (np.abs(totals.mean(0) - expected) < 4.5 * deviation + 1e-4).all()
    np.testing.assert_allclose(weights[0], np.asarray(full) * (1 + N / U), rtol=1e-6)
    assert program.total_weight(model, table(), 8) == pytest.approx(full.sum() * (1 + N / U))
    assert totals.std(0)[np.asarray(full)].min() > 0, "items are drawn anew"


def test_denoising_and_unit_vectors():
    model, params = trained(corruption=0.5, scaling="unit")
    system = factor_ae.system(configured(scaling="unit"), Facts(U, N))
    v = system.items(params)
    np.testing.assert_allclose(jnp.linalg.norm(v, axis=1), 1, rtol=1e-5)
    kept = jax.random.bernoulli(jax.random.key(3), 0.5, v.shape)
    expected = jnp.sum((v - system.decode(params, v * kept * 2)) ** 2, axis=1)
    got = factor_ae.errors(system, params, v, jax.random.key(3), 0.5)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert model.loss(params, rows(table()), jax.random.key(0), 0)[0].shape == (U,)


def fit(given, tables, folder=None, epochs=2, seeds=(0, 1)):
    model = models.build("factor_ae", {"size": SIZE, "latent": 3, **given}, Facts.of(tables[0]))
    settings = Settings(epochs=epochs, batch_size=8, learning_rate=0.1, metric="ndcg@100")
    checkpoints = None if folder is None else Checkpoints(folder, seconds=0)
    fitted = loop.fit(model, tables, settings, seeds=seeds, evaluate=None, checkpoints=checkpoints)
    if checkpoints is not None:
        checkpoints.close()
    return model, fitted.last


def test_training_leaves_the_vectors_alone_whatever_the_penalty():
    model, last = fit({"l2": 10.0}, [table()])
    for name, leaf in model.frozen(table())["features"].items():
        np.testing.assert_array_equal(last["features"][name], jnp.stack([leaf, leaf]))
    start = jax.vmap(model.init)(jax.vmap(jax.random.key)(jnp.arange(2)))["network"]
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), start, last["network"])
    assert all(jax.tree.leaves(moved))


def test_replicas_on_several_tables_have_vectors_of_their_own():
    size = min(len(table(seed).columns) for seed in (0, 3))
    own = [Table.from_entries(*(e[:size] for e in table(seed).entries()), num_rows=U,
                              num_columns=N) for seed in (0, 3)]  # fmt: skip
    model, last = fit({}, own)
    for replica, each in enumerate(own):
        expected = model.frozen(each)["features"]
        chex.assert_trees_all_equal(loop.replica(last["features"], replica), expected)


def test_an_interrupted_run_ends_in_the_same_bits(tmp_path):
    fit({"l2": 1.0}, [table()], tmp_path / "run", epochs=1)
    _, resumed = fit({"l2": 1.0}, [table()], tmp_path / "run", epochs=2)
    chex.assert_trees_all_equal(resumed, fit({"l2": 1.0}, [table()], epochs=2)[1])


def closed(compression, **given):
    config = configured(compression=compression, **given)
    model = factor_ae.make(config, Facts.of(table()))
    return model, model.solve(table()), factor_ae.system(config, Facts(U, N))


def test_no_compression_ranks_by_the_vectors():
    model, params, _ = closed("none", similarity="dot")
    users, items = scaled(params)
    np.testing.assert_allclose(model.score(params, rows(table())), users @ items.T, atol=1e-5)
    chex.assert_trees_all_equal_shapes(params, model.init(jax.random.key(0)))


@pytest.mark.parametrize("compression", ["pca", "pca_uncentred", "random", "lifted_pca"])
def test_reconstructions_of_a_projection(compression):
    """Principal components leave the least squared error of any projection of their rank."""
    model, params, system = closed(compression, latent=4 if compression == "lifted_pca" else 3)
    chex.assert_trees_all_equal_shapes(params, model.init(jax.random.key(0)))
    users, items = scaled(params)
    v = np.concatenate([users[1:][np.abs(users[1:]).any(1)], items])
    left = v - np.asarray(system.decode(params, jnp.float32(v)), float)
    centre = v.mean(0) * (compression in ("pca", "lifted_pca"))
    values = np.linalg.svd(v - centre, compute_uv=False)
    error, least = (left**2).sum(), (values[3:] ** 2).sum()
    if compression == "random":
        assert error > 1.1 * least
        twice = system.decode(params, system.decode(params, jnp.float32(v)))
        np.testing.assert_allclose(twice, system.decode(params, jnp.float32(v)), atol=1e-4)
    else:
        np.testing.assert_allclose(error, least, rtol=1e-3)


def test_lifted_principal_components_rank_like_one_fewer_of_them():
    """Theorem B, in float64: the constant adds 1 to every dot product. Under the cosine it may not
    keep the order."""
    order = ranking.tie_order(N)
    lists = {}
    for similarity in ("dot", "cosine"):
        for compression, latent in (("pca", 3), ("lifted_pca", 4)):
            given = {"compression": compression, "latent": latent, "similarity": similarity}
            model = factor_ae.make(configured(**given), Facts.of(table()))
            params = model.solve(table())
            with jax.enable_x64(True):
                params = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, float)), params)
                x = jnp.asarray(np.asarray(rows(table()).dense(), float))
                both = jax.jit(lambda *given, m=model: (m.score(*given), m.encode(*given)))
                scores, codes = map(np.asarray, both(params, x))
            constant = codes[:, 0] == 1
            assert scores.dtype == np.float64
            assert constant.all() if compression == "lifted_pca" else not constant.any()
            by_score = np.argsort(-scores[:, order], axis=1, kind="stable")
            lists[similarity, compression] = order[by_score]
    np.testing.assert_array_equal(lists["dot", "pca"], lists["dot", "lifted_pca"])
    assert (lists["cosine", "pca"] != lists["cosine", "lifted_pca"]).any()


def test_in_float32_a_lift_keeps_the_order_up_to_ties():
    """A constant c adds c^2 to every dot product: pairs closer than c^2 eps may tie, others not."""
    x, eps = rows(table()), np.finfo(np.float32).eps
    (model, params, _), (lift, lifted, _) = (
        closed(compression, latent=latent, similarity="dot")
        for compression, latent in (("pca", 3), ("lifted_pca", 4))
    )
    q, g = model.queries(params, x), model.item_codes(params)
    exact = np.asarray(q, float) @ np.asarray(g, float).T
    size = np.abs(np.asarray(q, float)) @ np.abs(np.asarray(g, float)).T
    with_constant = lambda z, c: jnp.pad(z, ((0, 0), (1, 0)), constant_values=c)  # noqa: E731
    of_codes = {c: np.asarray(with_constant(q, c) @ with_constant(g, c).T) for c in (1.0, 300.0)}
    for c, scores in [*of_codes.items(), (1.0, np.asarray(lift.score(lifted, x)))]:
        assert scores.dtype == np.float32
        apart, found = (own[:, :, None] - own[:, None] for own in (exact, scores))
        sure = np.abs(apart) > 4 * eps * (c**2 + size.max())
        np.testing.assert_array_equal(np.sign(found)[sure], np.sign(apart)[sure])
        assert sure.mean() > 0.3
    wide = of_codes[300.0]
    assert (wide[:, :, None] == wide[:, None])[np.abs(apart) > 1e-4].any(), "these are ties"


def test_a_lifted_code_of_a_tied_autoencoder():
    """The decoder does not read the constant; the dot product grows by its square."""
    plain, params = trained(tied=True, latent_activation="tanh", similarity="dot")
    given = {"tied": True, "latent_activation": "lift:tanh"}
    x = rows(table())
    lifted = factor_ae.make(configured(**given, similarity="dot"), Facts(U, N))
    scores = (jax.jit(model.score)(params, x) for model in (lifted, plain))
    np.testing.assert_allclose(next(scores), next(scores) + 1, atol=1e-5)
    losses = (jax.jit(model.loss)(params, x, jax.random.key(2), 0) for model in (lifted, plain))
    chex.assert_trees_all_close(*losses, rtol=1e-6)
    decoders = [factor_ae.make(configured(**g, similarity="decoder"), Facts(U, N)).score(params, x)
                for g in (given, {**given, "latent_activation": "tanh"})]  # fmt: skip
    np.testing.assert_allclose(*decoders, atol=1e-6)


def test_the_system_of_the_paper_is_audited_on_its_vectors():
    """Two random coordinates of six break the order that all six keep."""
    _, params, system = closed("random", latent=2)
    users, items = np.asarray(system.users(params, rows(table()))), np.asarray(system.items(params))
    domain = samplers.empirical(users[1:9], items)
    found = aerec.audit(lambda v: system.encode(params, v), domain, batched=True, budget=2000)
    assert (found.n, found.m) == (SIZE, 2)
    codes = [np.asarray(system.encode(params, v), float) for v in (users[1:9], items)]
    scores = (users[1:9] @ items.T, codes[0] @ codes[1].T)
    signs = [np.sign(s[:, :, None] - s[:, None]) for s in scores]
    pairs = ~np.eye(N, dtype=bool)[None].repeat(8, 0)
    assert found.order.rate == pytest.approx((signs[0] != signs[1])[pairs].mean(), abs=0.01)
    assert found.order.witness is not None


def test_settings_that_do_not_go_together():
    for given, message in (
        ({"features": "file"}, "features=file and file=PATH go together"),
        ({"file": "x.npz"}, "features=file and file=PATH go together"),
        ({"compression": "pca", "latent": 7}, "compression=pca of 6 coordinates has no latent=7"),
        ({"compression": "lifted_pca", "latent": 1}, "has no latent=1"),
        ({"compression": "none", "latent_activation": "relu"}, "compression=none is linear"),
        ({"tied": True, "hidden": (4,), "activation": "lift:tanh"}, "adds a coordinate"),
    ):
        with pytest.raises(BadInput, match=message):
            configured(**given)


@pytest.fixture(scope="module")
def films():
    ratings = synthesize(users=90, items=24, ratings=900)[0]
    kinds = np.array(["Comedy", "Drama|War", "War|Western", "Drama", ""])
    ratings = ratings._replace(genres=kinds[np.arange(24) % 5])
    return protocols.parse("strong:threshold=3").split(ratings, seed=0)


SMALL = {"size": 5, "latent": 2, "epochs": 2, "show": False, "log": lambda text: None}


def test_a_new_item_with_the_vector_of_a_known_one_has_its_score(films, tmp_path):
    run = aerec.fit("factor_ae", films, features="content", seeds=2, **SMALL)
    assert run.config["features"]["names"] == ["Comedy", "Drama", "War", "Western"]
    items = films.item_ids.tolist()
    other = run.with_items([900, 901], [[0, 1, 1, 0], [1, 0, 0, 0]], titles=["New", "Newer"])
    twin, history = films.genres.tolist().index("Drama|War"), items[3:7]
    for replica in (0, 1):
        asked = [items[twin], 900, items[0]]
        found = other.predict(history, asked, replica=replica)["score"].to_list()
        assert found[0] == found[1]
        known = run.predict(history, [items[twin]], replica=replica)["score"].to_list()
        np.testing.assert_allclose(found[0], known[0], rtol=1e-5)
    listed = other.recommend(history, k=30)
    assert {900, 901} <= set(listed["item"].to_list())
    assert other.similar(items[twin], k=24)["similarity"].max() == pytest.approx(1, abs=1e-5)
    assert len(other.recommend([900], k=3)) == 3, "a new item is a history, too"
    again = aerec.open(other.save(tmp_path / "run"))
    assert again.predict(history, [900]).equals(other.predict(history, [900]))
    assert again.config["shape"] == [len(films.user_ids), 26]


def test_new_items_that_are_refused(films):
    run = aerec.fit("factor_ae", films, features="content", compression="none", **SMALL)
    known, one = films.item_ids[0], [[1, 0, 0, 0]]
    for ids, vectors, message in (
        ([known], one, f"knows item {known} already"),
        ([900, 900], one * 2, "item 900 is given twice"),
        ([900], [[1, 0, 0]], r"shape \(1, 3\), and 1 items of 4 coordinates \(Comedy, Drama"),
        ([900], [[1, 0, np.nan, 0]], "War of row 1 is no finite number"),
        ([900], [["a", 0, 0, 0]], "holds what is no number"),
        (900, one, "`ids`: int is no list of ids"),
    ):
        with pytest.raises(BadInput, match=message):
            run.with_items(ids, vectors)
    with pytest.raises(BadInput, match="2 titles for 1 items"):
        run.with_items([900], one, titles=["a", "b"])
    other = aerec.fit("factor_ae", films, compression="none", **SMALL)
    with pytest.raises(BadInput, match="factor_ae of these settings knows no vectors of new items"):
        other.with_items([900], one)


def test_vectors_of_a_file_are_part_of_a_run(films, tmp_path):
    path, notes = tmp_path / "items.npz", []
    rng = np.random.default_rng(0)
    given = {**SMALL, "features": "file", "file": str(path), "compression": "none"}

    def run(vectors):
        np.savez(path, item=films.item_ids[2:], vectors=vectors)
        return aerec.fit("factor_ae", films, **{**given, "log": notes.append})

    first, second = (run(rng.normal(size=(22, 5))) for _ in range(2))
    assert f"{path}: 2 of 24 items are not in it; their vectors are zero." in notes
    assert not np.asarray(first.params["features"]["items"])[:2].any()
    assert first.config["set"] == second.config["set"]
    assert first.config["features"]["hash"] != second.config["features"]["hash"]
    assert first.config["data_hash"] == second.config["data_hash"]
    aerec.compare(first, second, "ndcg@100")
    with pytest.raises(BadInput, match="has no genres"):
        aerec.fit("factor_ae", films._replace(genres=None), features="content", **SMALL)

