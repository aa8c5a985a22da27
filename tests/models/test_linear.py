"""The linear models, the factorisations and the stacks against their formulas in NumPy float64."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from aerec import memory, models
from aerec.core import Facts, Table
from aerec.errors import BadInput
from aerec.models import ease, mdae

U, N = 9, 14


def clicks(seed=0, rows=U):
    """x [U, N] of 0 and 1, its first row empty, and its table."""
    x = (np.random.default_rng(seed).random((rows, N)) < 0.4).astype(float)
    x[0] = 0
    row, column = np.nonzero(x)
    return x, Table.from_entries(row, column, x[row, column], num_rows=rows, num_columns=N)


def rated(seed=0):
    """r [U, N] of ratings, the mask of those observed (in every column), and their table."""
    rng = np.random.default_rng(seed)
    listed = rng.random((U, N)) < 0.5
    listed[0] = False
    listed[1] = True
    r = np.where(listed, rng.integers(1, 6, (U, N)), 0).astype(float)
    row, column = np.nonzero(listed)
    return r, listed, Table.from_entries(row, column, r[listed], num_rows=U, num_columns=N)


def rows(table):
    gather = jax.jit(Table.gather, static_argnums=2)
    return gather(table, jnp.arange(table.num_rows), len(table.columns) + 2)


def build(name, given, num_rows=U, num_columns=N):
    """The model, its functions compiled whole: one by one their operations take far longer."""
    model = models.build(name, given, Facts(num_rows, num_columns))
    functions = {"init": model.init, "encode": model.encode, "score": model.score}
    functions |= {"loss": model.loss} if model.loss else {}
    return model._replace(**{part: jax.jit(function) for part, function in functions.items()})


def scores(model, params, table):
    return np.asarray(model.score(params, rows(table)), float)


def codes(model, params, table):
    return np.asarray(model.encode(params, rows(table)), float)


def test_ease_penalises_an_item_by_its_clicks():
    """Column j minimises |x_j - X b|^2 + sum_i (l2 + p / (1 - p) n_i) b_i^2 over b with b_j = 0."""
    x, table = clicks()
    model = build("ease", {"l2": 2.0, "dropout": 0.25}, U, N)
    weights = np.asarray(model.solve(table)["weights"], float)
    penalty = 2 + x.sum(0) / 3
    for j in range(N):
        others = np.arange(N) != j
        system = x[:, others].T @ x[:, others] + np.diag(penalty[others])
        want = np.linalg.solve(system, x[:, others].T @ x[:, j])
        chex.assert_trees_all_close(weights[others, j], want, atol=1e-5)
    assert not np.diag(weights).any()


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_nonnegative_ease_is_nnls_and_meets_the_kkt_conditions(dropout):
    x, table = clicks()
    given = {"l2": 0.5, "dropout": dropout, "nonnegative": True}
    weights = np.asarray(build("ease", given, U, N).solve(table)["weights"], float)
    penalty = 0.5 + dropout / (1 - dropout) * x.sum(0)
    for j in range(N):
        others = np.arange(N) != j
        stacked = np.vstack([x[:, others], np.diag(np.sqrt(penalty[others]))])
        want, _ = scipy.optimize.nnls(stacked, np.append(x[:, j], np.zeros(N - 1)))
        chex.assert_trees_all_close(weights[others, j], want, atol=2e-3)
    gradient = (x.T @ x + np.diag(penalty)) @ weights - x.T @ x
    gradient /= x.sum(0)[:, None] + penalty[:, None]
    off = ~np.eye(N, dtype=bool)
    assert weights.min() >= 0 and not np.diag(weights).any()
    assert np.abs(np.minimum(weights, gradient)[off]).max() < 2e-4
    free = np.asarray(build("ease", given | {"nonnegative": False}, U, N).solve(table)["weights"])
    assert free.min() < -0.05, "the constraint binds"


def test_ease_bounds_the_weight_of_an_item_on_itself():
    x, table = clicks()
    for self_weight in (0.0, 0.3, 0.9):
        given = {"l2": 2.0, "dropout": 0.25, "self_weight": self_weight}
        weights = np.asarray(build("ease", given, U, N).solve(table)["weights"], float)
        penalty = 2 + x.sum(0) / 3
        p = np.linalg.inv(x.T @ x + np.diag(penalty))
        for j in range(N):
            free = 1 - penalty[j] * p[j, j]  # of ridge regression, which may copy the item
            scale = penalty[j] if free <= self_weight else (1 - self_weight) / p[j, j]
            want = np.eye(N)[j] - scale * p[:, j]
            chex.assert_trees_all_close(weights[:, j], want, atol=1e-5)
        assert weights.diagonal().max() <= self_weight + 1e-7
    ridge = np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ x)
    chex.assert_trees_all_close(weights, ridge, atol=1e-5)  # .9 binds nowhere here


@pytest.mark.parametrize("rows", [3, 9, 400])  # by rows, by dense blocks, by a sparse product
def test_ease_weighs_users_by_a_power_of_their_clicks(rows, monkeypatch):
    monkeypatch.setattr(ease, "_SPARSE", 1 if rows > 9 else np.inf)
    monkeypatch.setattr(ease, "inverse" if rows == 3 else "inverse_by_rows", None)
    x, table = clicks(rows=rows)
    given = {"l2": 2.0, "dropout": 0.25, "user_power": 0.7}
    weights = np.asarray(build("ease", given, rows, N).solve(table)["weights"], float)
    scale = np.where(x.sum(1) > 0, np.maximum(x.sum(1), 1) ** -0.7, 0)
    products = x.T @ (scale[:, None] * x)
    p = np.linalg.inv(products + np.diag(2 + np.diag(products) / 3))
    chex.assert_trees_all_close(weights, np.eye(N) - p / np.diag(p), atol=1e-5)


@pytest.mark.parametrize("l1", [0.2, 1.0])
def test_slim_is_coordinate_descent(l1):
    x, table = clicks()
    given = {"l2": 0.5, "dropout": 0.0, "nonnegative": True, "l1": l1}
    weights = np.asarray(build("ease", given, U, N).solve(table)["weights"], float)
    products, want = x.T @ x, np.zeros((N, N))
    for j in range(N):
        for _ in range(2000):
            before = want[:, j].copy()
            for i in range(N):
                if i != j:
                    rest = products[i, j] - products[i] @ want[:, j] + products[i, i] * want[i, j]
                    want[i, j] = max(rest - l1, 0) / (products[i, i] + 0.5)
            if np.abs(want[:, j] - before).max() < 1e-10:
                break
    chex.assert_trees_all_close(weights, want, atol=2e-3)
    assert (weights == 0).mean() > (want == 0).mean() - 0.05 > 0.2


def test_ease_refuses_settings_that_exclude_each_other():
    with pytest.raises(BadInput, match=r"l1=1\.0 goes with nonnegative=true"):
        models.configure("ease", {"l1": 1})
    with pytest.raises(BadInput, match=r"self_weight=0\.5 goes with nonnegative=false"):
        models.configure("ease", {"self_weight": 0.5, "nonnegative": True})


def test_nonnegative_ease_that_does_not_converge_is_refused():
    gram = ease.gram(clicks()[1])
    with pytest.raises(BadInput, match=r"still move by .* after 2 iterations; raise l2"):
        ease.nonnegative_weights(gram, jnp.full(N, 0.5), limit=2)


def test_elsa_is_x_times_a_zero_diagonal_matrix_and_its_loss_a_cosine():
    x, table = clicks()
    model = build("elsa", {"latent": 4}, U, N)
    params = model.init(jax.random.key(0))
    kernel = np.asarray(params["kernel"], float)
    a = kernel / np.sqrt((kernel**2).sum(1, keepdims=True))
    weights = a @ a.T - np.eye(N)
    chex.assert_trees_all_close(np.diag(weights), np.zeros(N), atol=1e-12)
    y = x @ weights
    chex.assert_trees_all_close(scores(model, params, table), y, atol=1e-5)
    chex.assert_trees_all_close(codes(model, params, table), x @ a, atol=1e-5)
    total, weight = model.loss(params, rows(table), jax.random.key(1), jnp.int32(0))
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    cosine = (x * y).sum(1) / np.where(lengths, lengths, 1)
    chex.assert_trees_all_close(np.asarray(total), (2 - 2 * cosine) * (x.sum(1) > 0), atol=1e-5)
    chex.assert_trees_all_equal(np.asarray(weight), (x.sum(1) > 0).astype(np.float32))

    def numpy_loss(flat):
        a = flat.reshape(kernel.shape)
        a = a / np.linalg.norm(a, axis=1, keepdims=True)
        seen = x[x.sum(1) > 0]
        y = seen @ a @ a.T - seen
        unit = seen / np.linalg.norm(seen, axis=1, keepdims=True)
        return ((unit - y / np.linalg.norm(y, axis=1, keepdims=True)) ** 2).sum()

    with jax.enable_x64(True):
        double = {"kernel": jnp.asarray(kernel)}
        objective = jax.jit(lambda p: model.loss(p, jnp.asarray(x), None, None)[0].sum())
        got = jax.grad(objective)(double)
    want = scipy.optimize.approx_fprime(kernel.ravel(), numpy_loss, 1e-6)
    chex.assert_trees_all_close(np.asarray(got["kernel"]).ravel(), want, atol=1e-4)


def test_itemknn_is_a_loop():
    x, table = clicks()
    model = build("itemknn", {"neighbours": 3, "shrinkage": 2.0}, U, N)
    weights = np.zeros((N, N))
    for j in range(N):
        similarity = np.zeros(N)
        for i in set(range(N)) - {j}:
            lengths = np.sqrt(x[:, i].sum() * x[:, j].sum())
            similarity[i] = x[:, i] @ x[:, j] / (lengths + 2)
        third = np.sort(similarity)[-3]
        weights[:, j] = np.where(similarity >= third - 1e-9, similarity, 0)
    params = model.solve(table)
    chex.assert_trees_all_close(np.asarray(params["weights"]), weights, atol=1e-5)
    chex.assert_trees_all_close(scores(model, params, table), x @ weights, atol=1e-5)
    assert (weights > 0).sum(0).max() < N - 1, "fewer neighbours than items"


def test_sparse_ease_of_all_neighbours_is_ease_and_few_are_the_nearest():
    x = np.vstack([clicks()[0], np.ones(N)])  # all items are clicked together
    row, column = np.nonzero(x)
    ones = np.ones(len(row))
    table = Table.from_entries(row, column, ones, num_rows=U + 1, num_columns=N)
    for given in ({"l2": 3.0, "dropout": 0.0}, {"l2": 3.0, "dropout": 0.4}):
        sparse = build("sparse_ease", {**given, "neighbours": N - 1}, U, N)
        whole = build("ease", given, U, N)
        ours, theirs = (scores(m, m.solve(table), table) for m in (sparse, whole))
        chex.assert_trees_all_close(ours, theirs, atol=1e-5)
    params = build("sparse_ease", {"neighbours": 2}, U, N).solve(table)
    cosine = x.T @ x / np.sqrt(np.outer(x.sum(0), x.sum(0)))
    np.fill_diagonal(cosine, -1)
    for item, near in enumerate(np.asarray(params["items"])):
        assert set(cosine[item, near]) == set(np.sort(cosine[item])[-2:])


def test_sparse_ease_where_few_items_are_clicked_together():
    """Two groups of items that share no user, an item alone, and one without a click."""
    row, column = [0, 0, 1, 1, 2, 3, 3, 4], [0, 1, 0, 1, 0, 2, 3, 4]
    table = Table.from_entries(row, column, np.ones(8), num_rows=5, num_columns=6)
    model = build("sparse_ease", {"neighbours": 3, "l2": 1.0, "dropout": 0.0}, 5, 6)
    params = model.solve(table)
    items, weights = map(np.asarray, (params["items"], params["weights"]))
    assert items.tolist() == [[1, 6, 6], [0, 6, 6], [3, 6, 6], [2, 6, 6], [6] * 3, [6] * 3]
    expected = [2 / 3, 2 / 4, 1 / 2, 1 / 2, 0, 0]  # products over clicks of the neighbour and l2
    chex.assert_trees_all_close(weights[:, 0], np.array(expected, np.float32), atol=1e-6)
    assert not weights[:, 1:].any()
    dense = np.zeros((5, 6))
    dense[row, column] = 1
    wanted = np.zeros((5, 6))
    for item in range(4):
        wanted[:, item] = dense[:, items[item, 0]] * weights[item, 0]
    chex.assert_trees_all_close(scores(model, params, table), wanted, atol=1e-6)


def test_ials_solves_its_ridge_regressions_on_both_sides():
    """With as many steps as needed; values are weights."""
    x = clicks()[0] * np.random.default_rng(1).integers(1, 4, (U, N))
    row, column = np.nonzero(x)
    table = Table.from_entries(row, column, x[row, column], num_rows=U, num_columns=N)
    l2, alpha0, power, k = 0.05, 0.3, 0.7, 3
    given = {"latent": k, "l2": l2, "alpha0": alpha0, "power": power, "steps": 3 * k}

    def penalty(r):
        return l2 * (r.sum(1) + alpha0 * r.shape[1]) ** power

    def half(fixed, r):
        """Row by row, with the weights of all cells as a full diagonal matrix."""
        out = []
        for w, ridge in zip(r, penalty(r), strict=True):
            system = fixed.T @ np.diag(w + alpha0) @ fixed + ridge * np.eye(k)
            out.append(np.linalg.solve(system, fixed.T @ w))
        return np.array(out)

    def objective(users, items):
        y = users @ items.T
        error = x * (y - 1) ** 2 + alpha0 * y**2
        return error.sum() + penalty(x) @ (users**2).sum(1) + penalty(x.T) @ (items**2).sum(1)

    start = 0.1 / k**0.5 * np.asarray(jax.random.normal(jax.random.key(0), (U, k)), float)
    values, before = [], half(start, x.T)
    for sweeps in (1, 2, 3):
        model = build("ials", given | {"sweeps": sweeps}, U, N)
        params = model.solve(table)
        items = np.asarray(params["items"], float)
        users = codes(model, params, table)
        chex.assert_trees_all_close(items, before, atol=1e-5)
        chex.assert_trees_all_close(users, half(items, x), atol=1e-5)
        chex.assert_trees_all_close(scores(model, params, table), users @ items.T, atol=1e-5)
        values += [objective(users, items)]
        before = half(half(items, x), x.T)
        values += [objective(users, before)]
    assert (np.diff(values) < 1e-6).all() and values[-1] < 0.9 * values[0]
    few = build("ials", given | {"steps": 1, "sweeps": 1}, U, N).solve(table)["items"]
    assert np.abs(np.asarray(few) - half(start, x.T)).max() > 1e-3, "one step solves nothing"

    by = np.random.default_rng(2).normal(size=x.shape) * (x > 0)
    derivative = jax.jvp(lambda x: model.encode(params, x), (jnp.asarray(x, jnp.float32),),
                         (jnp.asarray(by, jnp.float32),))[1]  # fmt: skip
    slope = (half(items, x + 1e-4 * by) - half(items, x - 1e-4 * by)) / 2e-4
    chex.assert_trees_all_close(np.asarray(derivative), slope, atol=1e-4)
    with jax.enable_x64(True):
        double = model.encode({"items": jnp.asarray(items)}, jnp.asarray(x, float))
    chex.assert_trees_all_close(np.asarray(double), half(items, x), atol=1e-12)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_pmf_solves_its_ridge_regressions_on_both_sides(power):
    r, listed, table = rated()
    l2, k = 0.1, 2
    mean = r[listed].mean()
    given = {"latent": k, "l2": l2, "power": power}

    def half(fixed, r, listed):
        """(b, p) of each row: ridge of what is left over on (1, q)."""
        out = np.zeros((len(r), 1 + k))
        for u in range(len(r)):
            on = listed[u]
            if on.any():
                f = np.hstack([np.ones((on.sum(), 1)), fixed[on, 1:]])
                left = r[u, on] - mean - fixed[on, 0]
                out[u] = np.linalg.solve(
                    f.T @ f + l2 * on.sum() ** power * np.eye(1 + k), f.T @ left
                )
        return out

    def objective(users, items):
        y = mean + users[:, :1] + items[:, 0] + users[:, 1:] @ items[:, 1:].T
        penalty = ((users**2).sum(1) * listed.sum(1) ** power).sum()
        penalty += ((items**2).sum(1) * listed.sum(0) ** power).sum()
        return (listed * (r - y) ** 2).sum() + l2 * penalty

    values, before = [], np.zeros((N, 1 + k))
    for sweeps in (1, 3):
        model = build("pmf", given | {"sweeps": sweeps}, U, N)
        params = model.solve(table)
        items = np.asarray(params["items"], float)
        users = codes(model, params, table)
        chex.assert_trees_all_close(users, half(items, r, listed), atol=1e-4)
        y = mean + users[:, :1] + items[:, 0] + users[:, 1:] @ items[:, 1:].T
        chex.assert_trees_all_close(scores(model, params, table), y, atol=1e-4)
        values.append(objective(users, items))
        if sweeps == 3:
            once = half(half(before, r, listed), r.T, listed.T)
            want = half(half(once, r, listed), r.T, listed.T)
            chex.assert_trees_all_close(items, want, atol=1e-3)
        before = items
    assert values[1] < values[0]
    assert not users[0].any(), (
        "somebody without ratings is predicted the mean and the items' biases"
    )


@pytest.mark.parametrize("name", ["ials", "pmf"])
def test_factorisations_refuse_a_lambda_of_zero_and_what_does_not_fit(name, monkeypatch):
    with pytest.raises(BadInput, match="l2 is a number above 0"):
        build(name, {"l2": 0.0}, U, N)
    model = build(name, {}, U, N)
    monkeypatch.setattr(memory, "available", lambda: 100)
    with pytest.raises(memory.TooLarge, match=r"9 rows and 14 columns .* lower latent"):
        model.solve(clicks()[1])


@pytest.mark.parametrize("name", ["itemknn", "mdae"])
def test_squares_of_the_items_that_do_not_fit_are_refused(name, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 100)
    with pytest.raises(memory.TooLarge, match=r"14 items needs .* fewer items"):
        build(name, {}, U, N).solve(clicks()[1])


def corrupted_least_squares(h, target, corruption, draws, l2):
    """The ridge regression of `target` on (h~, 1) over many sampled corruptions h~ of h."""
    rng = np.random.default_rng(3)
    kept = 1 - corruption
    q = np.zeros((h.shape[1] + 1,) * 2)
    p = np.zeros((h.shape[1] + 1, target.shape[1]))
    for _ in range(draws):
        noisy = np.hstack([h * (rng.random(h.shape) < kept), np.ones((len(h), 1))])
        q += noisy.T @ noisy / draws
        p += noisy.T @ target / draws
    q[:-1, :-1] += l2 * kept**2 * np.eye(h.shape[1])
    return np.linalg.solve(q, p)


@pytest.mark.parametrize("activation", ["tanh", "identity"])
def test_mdae_is_the_limit_of_averaging_sampled_corruptions(activation):
    x, table = clicks(rows=30)
    given = {"depth": 2, "corruption": 0.4, "activation": activation, "l2": 1.0}
    model = build("mdae", given, 30, N)
    params = model.solve(table)
    squash = np.tanh if activation == "tanh" else lambda t: t
    h, errors = x, []
    for layer in params:
        both = np.vstack([layer["kernel"], layer["bias"][None]]).astype(float)
        few, many = (corrupted_least_squares(h, h, 0.4, draws, 1.0) for draws in (30, 3000))
        errors.append([np.abs(sampled - both).max() for sampled in (few, many)])
        below, h = h, squash(h @ both[:-1] + both[-1])
    for few, many in errors:
        assert many < few / 4 and many < 0.02
    last = below @ both[:-1] + both[-1]
    chex.assert_trees_all_close(scores(model, params, table), last, atol=1e-4)
    chex.assert_trees_all_close(codes(model, params, table), h, atol=1e-4)


def test_mdae_is_e_p_times_the_inverse_of_e_q():
    """The expectations entry by entry, as the paper writes them, in columns."""
    x, table = clicks()
    wide = np.hstack([x, np.ones((U, 1))])
    s = wide.T @ wide
    q = np.append(np.full(N, 0.7), 1.0)
    e_p, e_q = np.zeros((N, N + 1)), np.zeros((N + 1, N + 1))
    for i in range(N + 1):
        for j in range(N + 1):
            e_q[i, j] = s[i, j] * (q[i] if i == j else q[i] * q[j])
            if i < N:
                e_p[i, j] = s[i, j] * q[j]
    e_q[:N, :N] += 1e-3 * 0.7**2 * np.eye(N)
    w = e_p @ np.linalg.inv(e_q)
    got = mdae.denoiser(
        mdae.moments(table, lambda _, x: x.dense(), (), batch_size=4), corruption=0.3, l2=1e-3
    )
    chex.assert_trees_all_close(np.asarray(got["kernel"], float), w[:, :N].T, atol=1e-3)
    chex.assert_trees_all_close(np.asarray(got["bias"], float), w[:, N], atol=1e-3)
    with pytest.raises(BadInput, match="l2 is a number above 0"):
        build("mdae", {"l2": 0.0}, U, N)


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def moved(params):
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    leaves = [np.asarray(leaf) + rng.normal(size=leaf.shape) / 2 for leaf in leaves]
    return jax.tree.unflatten(treedef, [jnp.asarray(leaf, jnp.float32) for leaf in leaves])


@pytest.mark.parametrize("likelihood", ["logistic", "multinomial", "gaussian"])
def test_sdae_is_a_stack_of_denoisers(likelihood):
    """Every stage's loss without corruption: layers 0 and 1 by themselves, then the whole net."""
    x, table = clicks()
    given = {"hidden": (6,), "latent": 3, "corruption": 0.0, "pretrain_steps": 20}
    model = build("sdae", given | {"activation": "sigmoid", "likelihood": likelihood}, U, N)
    params = moved(model.init(jax.random.key(0)))
    p = jax.tree.map(lambda leaf: np.asarray(leaf, float), params["params"])

    def affine(name, h):
        return h @ p[name]["kernel"] + p[name]["bias"]

    def cost(y):
        if likelihood == "logistic":
            return -(x * np.log(sigmoid(y)) + (1 - x) * np.log(1 - sigmoid(y))).sum(1)
        if likelihood == "gaussian":
            return ((x - y) ** 2).sum(1) / 2
        return -(x * (y - np.log(np.exp(y).sum(1, keepdims=True)))).sum(1)

    x0 = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    h1 = sigmoid(affine("encoder_0", x0))
    z = sigmoid(affine("encoder_1", h1))
    back = sigmoid(affine("decoder_0", z))
    nonempty = x.sum(1) > 0
    want = {
        0: cost(affine("decoder_1", h1)),
        10: ((back - h1) ** 2).sum(1),
        20: cost(affine("decoder_1", back)),
    }
    for step, total in want.items():
        got = model.loss(params, rows(table), jax.random.key(1), jnp.int32(step))
        chex.assert_trees_all_close(np.asarray(got[0]), total * nonempty, rtol=1e-4, atol=1e-5)
        chex.assert_trees_all_close(np.asarray(got[1]), nonempty.astype(np.float32))
    chex.assert_trees_all_close(scores(model, params, table), affine("decoder_1", back), atol=1e-4)
    chex.assert_trees_all_close(codes(model, params, table), z, atol=1e-5)
    with pytest.raises(BadInput, match="likelihood='logistik' is unknown"):
        build("sdae", {"likelihood": "logistik"}, U, N)


def test_sdae_trains_one_layer_at_a_time_and_then_all():
    table = clicks()[1]
    given = {"hidden": (6,), "latent": 3, "pretrain_steps": 20}
    model = build("sdae", given, U, N)
    params = moved(model.init(jax.random.key(0)))

    def objective(params, step):
        return model.loss(params, rows(table), jax.random.key(1), step)[0].sum()

    gradient = jax.jit(jax.grad(objective))

    def read(step):
        grads = gradient(params, jnp.int32(step))["params"]
        return {name for name, layer in grads.items() if np.any(layer["kernel"])}

    outer, inner = {"encoder_0", "decoder_1"}, {"encoder_1", "decoder_0"}
    assert read(0) == read(9) == outer
    assert read(10) == read(19) == inner
    assert read(20) == read(99) == outer | inner


def test_sdae_fine_tuning_has_the_gradient_of_finite_differences():
    """Along a random direction, in float64."""
    x, rng = clicks()[0], np.random.default_rng(2)
    given = {"hidden": (6,), "latent": 3, "pretrain_steps": 0}
    model = build("sdae", given, U, N)
    params = model.init(jax.random.key(0))
    with jax.enable_x64(True):
        way = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)

        @jax.jit
        def objective(params):
            return model.loss(params, jnp.asarray(x), jax.random.key(1), jnp.int32(0))[0].sum()

        def along(by):
            return jax.tree.map(lambda leaf, step: np.asarray(leaf, float) + by * step, params, way)

        slopes = jax.tree.map(lambda g, d: np.sum(g * d), jax.grad(objective)(along(0.0)), way)
        want = (objective(along(1e-6)) - objective(along(-1e-6))) / 2e-6
        np.testing.assert_allclose(sum(jax.tree.leaves(slopes)), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("step", [0, 10, 20])
def test_sdae_corrupts_the_input_of_each_stage_and_not_its_target(step):
    """All but everything is dropped: what comes out no longer depends on the input's entries."""
    x, table = clicks()
    given = {"hidden": (6,), "latent": 3, "pretrain_steps": 20, "corruption": 1 - 1e-9}
    model = build("sdae", given | {"activation": "sigmoid", "likelihood": "gaussian"}, U, N)
    params = moved(model.init(jax.random.key(0)))
    p = jax.tree.map(lambda leaf: np.asarray(leaf, float), params["params"])
    bias = {name: layer["bias"] for name, layer in p.items()}
    kernel = {name: layer["kernel"] for name, layer in p.items()}
    x0 = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    h1 = sigmoid(x0 @ kernel["encoder_0"] + bias["encoder_0"])
    empty = sigmoid(bias["encoder_0"])
    if step == 0:
        want = ((x - empty @ kernel["decoder_1"] - bias["decoder_1"]) ** 2).sum(1) / 2
    elif step == 10:
        back = sigmoid(sigmoid(bias["encoder_1"]) @ kernel["decoder_0"] + bias["decoder_0"])
        want = ((h1 - back) ** 2).sum(1)
    else:
        z = sigmoid(empty @ kernel["encoder_1"] + bias["encoder_1"])
        back = sigmoid(z @ kernel["decoder_0"] + bias["decoder_0"])
        want = ((x - back @ kernel["decoder_1"] - bias["decoder_1"]) ** 2).sum(1) / 2
    total, _ = model.loss(params, rows(table), jax.random.key(1), jnp.int32(step))
    chex.assert_trees_all_close(np.asarray(total), want * (x.sum(1) > 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_feature_ae_ranks_by_the_codes_of_users_and_unit_vectors(similarity, tied):
    x, table = clicks()
    given = {"hidden": (6,), "latent": 3, "dropout": 0.0, "similarity": similarity, "tied": tied}
    given |= {"latent_activation": "sigmoid"}
    model = build("feature_ae", given, U, N)
    params = moved(model.init(jax.random.key(0)))
    p = jax.tree.map(lambda leaf: np.asarray(leaf, float), params["params"])

    def mlp(of, h, last):
        h = np.tanh(h @ of["Layer_0"]["kernel"] + of["Layer_0"]["bias"])
        return last(h @ of["Layer_1"]["kernel"] + of["Layer_1"]["bias"])

    x0 = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    users, items = mlp(p["encoder"], x0, sigmoid), mlp(p["encoder"], np.eye(N), sigmoid)
    logits = users @ items.T if tied else mlp(p["decoder"], users, lambda t: t)
    log_softmax = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    total, weight = model.loss(params, rows(table), jax.random.key(1), jnp.int32(0))
    chex.assert_trees_all_close(np.asarray(total), -(x * log_softmax).sum(1), rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(np.asarray(weight), (x.sum(1) > 0).astype(np.float32))
    if similarity == "cosine":
        users = users / np.linalg.norm(users, axis=1, keepdims=True)
        items = items / np.linalg.norm(items, axis=1, keepdims=True)
    chex.assert_trees_all_close(scores(model, params, table), users @ items.T, atol=1e-5)
    with pytest.raises(BadInput, match="similarity='angle' is unknown"):
        build("feature_ae", {"similarity": "angle"}, U, N)
