"""EASE: a linear item-to-item autoencoder in closed form.

Steck: *Embarrassingly Shallow Autoencoders for Sparse Data*, WWW 2019. With G = X'X + lambda I
and P = G^-1, the weights are B = I - P diag(P)^-1 with a zero diagonal (eq. 8); a user's scores
are x B. With less than half as many users as items, P is computed from the inverse of a matrix over
the users.

Options:
  - `dropout` (EDLAE): item i is penalised by lambda_i = l2 + p / (1 - p) n_i, n_i its clicks, which
    is what dropping a share p of the input amounts to on average (Steck: *Autoencoders that don't
    overfit towards the Identity*, NeurIPS 2020);
  - `self_weight` (RDLAE): an item's weight on itself is at most xi: B = I - P diag(s) with
    s_i = max(lambda_i, (1 - xi) / P_ii) (Moon, Kim, Lee: *It's enough: relaxing diagonal
    constraints in linear autoencoders for recommendation*, SIGIR 2023);
  - `user_power` (DAN): user u counts n_u^-beta in G, n_u its clicks (Park et al.: *Why is
    normalization necessary for linear recommenders?*, SIGIR 2025);
  - `nonnegative`: the same least squares over B >= 0 (an ablation in the 2019 paper), with
    2 `l1` |B|_1 added (Ning, Karypis: *SLIM*, ICDM 2011). It has no closed form; see
    `nonnegative_weights`.

Departures: of DAN only the users' part is here, not its normalisation of items. `dropout` is .3 by
default, because one pair of `l2` and `dropout` then suits data of
several sizes; `dropout=0` is the paper's model. With it, none of the `l2` 50, 100, 200 and 400 is
within .015 of the tuned validation NDCG@100 on all of MovieLens (529 and 4,534 users) and anime.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg.lapack
import scipy.sparse

from aerec import memory, mesh
from aerec.configuration import Positive, Probability, Weight, settings
from aerec.core import Batch, Facts, Model, Params, Rows, Table, Traits, sharded
from aerec.errors import BadInput
from aerec.nn import activations, layers
from aerec.space import Log, Space, Uniform


@settings
class Config:
    l2: Positive = 100.0  # lambda
    dropout: Probability = 0.3  # p of the penalty that grows with an item's clicks
    self_weight: Probability = 0.0  # xi, the largest weight of an item on itself
    user_power: Weight = 0.0  # beta: a user of n clicks counts n^-beta
    nonnegative: bool = False  # forbid negative weights
    l1: Weight = 0.0  # penalty of the weights' sum, with nonnegative=true

    def __post_init__(self) -> None:
        if self.l1 and not self.nonnegative:
            raise BadInput(f"l1={self.l1} goes with nonnegative=true")
        if self.self_weight and self.nonnegative:
            raise BadInput(f"self_weight={self.self_weight} goes with nonnegative=false")


SPACE: Space = {"l2": Log(1, 1e4), "dropout": Uniform(0, 0.9)}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    del config
    return Traits(task="ranking", linear=True)


def make(config: Config, facts: Facts) -> Model:
    """Build the model over N items; params {"weights": [N, N]}; the code is x B.

    Raises:
      memory.TooLarge: from `solve`, before anything is allocated, if N^2 does not fit.
    """
    num_columns = facts.num_columns

    def solve(table: Table):
        few = 2 * table.num_rows <= num_columns and not config.nonnegative and mesh.in_use() is None
        copies = 7 if config.nonnegative else 3 + few
        memory.require(
            copies * 4 * num_columns**2,
            f"EASE's Gram matrix and its inverse over {num_columns} items",
            "keep fewer items, or train a model whose size is linear in the items (elsa, multvae)",
        )
        if few:
            index, capacity = table.blocks(table.num_rows)
            x = _weighted(table.gather(index[0], capacity), config.user_power)
            penalty = penalised(jnp.sum(x**2, axis=0))
            return {"weights": _weights(inverse_by_rows(x, penalty), penalty, config.self_weight)}
        products = gram(table, config.user_power)
        penalty = penalised(jnp.diagonal(products))
        if config.nonnegative:
            return {"weights": nonnegative_weights(products, penalty, config.l1)}
        return {"weights": _weights(inverse(products, penalty), penalty, config.self_weight)}

    def penalised(counts: jax.Array) -> jax.Array:
        return config.l2 + config.dropout / (1 - config.dropout) * counts

    return item_item(solve, facts, traits(config))


def item_item(solve: Callable[[Table], Params], facts: Facts, traits: Traits) -> Model:
    """Build the model whose scores, and code, are a row times item-item weights: x B.

    Args:
      solve: table -> {"weights": B [N, N]}.
    """
    num_columns = facts.num_columns

    def score(params, x: Batch) -> jax.Array:
        return layers.product(x, params["weights"])

    return Model(
        traits=traits,
        init=lambda key: {"weights": jnp.zeros((num_columns, num_columns))},
        encode=score,
        score=score,
        solve=solve,
        queries=lambda params, x: layers.dense(x),
        item_codes=lambda params: params["weights"].T,
        item_bias=lambda params: jnp.zeros(num_columns),
        layers=lambda params: [
            (params["weights"].T, jnp.zeros(num_columns), activations.describe("identity"))
        ],
    )


def gram(table: Table, user_power: float = 0.0, batch_size: int = 1024) -> jax.Array:
    """Compute X' D X [N, N] of a table, D = diag(n_u^-user_power) with n_u the entries of row u.

    By a scan over dense blocks of rows; on a CPU, where rows are short, as a sparse product. Over a
    mesh, each device sums the products of its rows and columns.
    """
    if parts := mesh.size("data") * (mesh.in_use() is not None):
        index, capacity = table.blocks(parts * batch_size)
        return _divided_gram(mesh.divided(table), index, user_power, capacity, parts)
    lengths = table.lengths().astype(float)
    sparse, dense = np.sum(lengths**2), table.num_rows * table.num_columns**2  # products
    if jax.default_backend() == "cpu" and _SPARSE * sparse < dense:
        row, column, value = table.entries()
        value = (value * lengths[row] ** (-user_power / 2)).astype(np.float32)
        shape = table.num_rows, table.num_columns
        matrix = scipy.sparse.csr_array((value, column, np.asarray(table.indptr)), shape)
        return jnp.asarray((matrix.T @ matrix).toarray())
    index, capacity = table.blocks(batch_size)
    return _gram(table, index, user_power, capacity)


def _weighted(rows: Rows, user_power) -> jax.Array:
    return rows.dense() * jnp.maximum(rows.counts(), 1)[:, None] ** (-user_power / 2)


_SPARSE = 150  # a product in a sparse matrix costs as much as so many in a dense one


@functools.partial(jax.jit, static_argnames="capacity")
def _gram(table: Table, index: jax.Array, user_power, capacity: int) -> jax.Array:
    def add(total, block):
        x = _weighted(table.gather(block, capacity), user_power)
        return total + x.T @ x, None

    return jax.lax.scan(add, jnp.zeros((table.num_columns, table.num_columns)), index)[0]


@functools.partial(jax.jit, static_argnames=("capacity", "parts"))
def _divided_gram(table: Table, index: jax.Array, user_power, capacity: int, parts: int):
    """Compute `gram` over a mesh, with one sum [parts, N, N] for each part of the axis `data`."""
    num_columns = table.num_columns

    def add(total, block):
        x = _weighted(table.gather(block, capacity), user_power)
        x = x.reshape(parts, -1, num_columns)
        left, right = sharded(x, "data"), sharded(x, "data", None, "model")
        return sharded(total + jnp.einsum("pbi,pbj->pij", left, right), "data", None, "model"), None

    zeros = jnp.zeros((parts, num_columns, num_columns))
    return sharded(jax.lax.scan(add, zeros, index)[0].sum(0))


def inverse(gram: jax.Array, penalty: jax.Array | float) -> jax.Array:
    """Invert G + diag(penalty) [N, N] by Cholesky; on CPUs LAPACK's potrf and potri, in place.

    Args:
      penalty: [N], or one number for all.
    """
    if jax.default_backend() != "cpu":
        penalties = jnp.diag(jnp.broadcast_to(penalty, gram.shape[:1]))
        factor = jax.scipy.linalg.cho_factor(gram + penalties)
        return jax.scipy.linalg.cho_solve(factor, jnp.eye(gram.shape[0]))
    # Symmetric, so the transpose is LAPACK's column order at no cost.
    system: np.ndarray = np.array(gram).T
    system.flat[:: system.shape[0] + 1] += np.asarray(penalty)
    triangle, failed = scipy.linalg.lapack.spotrf(system, lower=True, overwrite_a=True)
    if failed:
        raise BadInput("X'X and its penalty are not positive definite in float32; raise l2")
    half, _ = scipy.linalg.lapack.spotri(triangle, lower=True, overwrite_c=True)
    return _symmetric(half.T)


@jax.jit
def inverse_by_rows(x: jax.Array, penalty: jax.Array) -> jax.Array:
    """Invert X'X + diag(penalty) [N, N] for X [M, N] of few rows, by the Woodbury identity.

    With D = diag(penalty) it is D^-1 - W'W, where W = L^-1 X D^-1 and L L' = I + X D^-1 X'. That
    costs some M N^2 products, and `inverse` N^3.
    """
    scaled = x / penalty[None, :]
    factor = jnp.linalg.cholesky(jnp.eye(len(x)) + scaled @ x.T)
    half = jax.scipy.linalg.solve_triangular(factor, scaled, lower=True)
    return jnp.diag(1 / penalty) - half.T @ half


@jax.jit
def _symmetric(upper: jax.Array) -> jax.Array:
    """Return the symmetric matrix with the upper triangle of `upper` (the rest is ignored)."""
    return jnp.triu(upper) + jnp.triu(upper, 1).T


@functools.partial(jax.jit, donate_argnums=0)
def _weights(precision: jax.Array, penalty: jax.Array, self_weight) -> jax.Array:
    """Compute B = I - P diag(s), the diagonal at most `self_weight`; exactly zero for 0 (eq. 8)."""
    diagonal = jnp.diagonal(precision)
    weights = -precision * jnp.maximum(penalty, (1 - self_weight) / diagonal)[None, :]
    own = jnp.minimum(1 - penalty * diagonal, self_weight)
    return jnp.where(jnp.eye(len(weights), dtype=bool), own, weights)


def nonnegative_weights(
    gram: jax.Array,
    penalty: jax.Array,
    l1: float = 0.0,
    *,
    tolerance: float = 1e-4,
    limit: int = 500,
) -> jax.Array:
    """Minimise |X - X B|^2 + sum_ij (penalty_i B_ij^2 + 2 l1 B_ij) over B [N, N] >= 0, diagonal 0.

    Alternating directions (Steck, Dimakopoulou, Riabov, Jebara: *ADMM SLIM*, WSDM 2020): least
    squares with a zero diagonal, in closed form, alternating with the projection onto B >= 0. The
    coupling is 3 times each row's curvature, and steps are over-relaxed by 1.7: with these, thirty
    iterations suffice on MovieLens-1M, of one product of N x N matrices each.

    With A = G + diag(penalty) half the gradient is A B - G + l1, and B is optimal (Karush-Kuhn-
    Tucker) exactly where B = max(B - (A B - G + l1) / diag(A), 0) off the diagonal: it stops where
    no entry differs by more than `tolerance`.

    Raises:
      BadInput: no convergence within `limit` iterations.
    """
    curvature = jnp.diagonal(gram) + penalty
    precision = inverse(gram, penalty + _COUPLING * curvature)
    weights, residual = _alternating_directions(gram, precision, curvature, l1, tolerance, limit)
    if residual > tolerance:
        raise BadInput(
            f"EASE: weights still move by {residual:.1e} after {limit} iterations; raise l2"
        )
    return weights


_COUPLING, _RELAXATION = 3.0, 1.7


@jax.jit
def _alternating_directions(gram, precision, curvature, l1, tolerance, limit):
    """Return the weights [N, N] and their distance from the optimum; see `nonnegative_weights`."""
    coupling = _COUPLING * curvature[:, None]
    shrunk = l1 / curvature[:, None]

    def feasible(weights):
        return jnp.where(jnp.eye(len(gram), dtype=bool), 0.0, jnp.maximum(weights, 0.0))

    def iterate(state):
        _, split, dual, _, count = state
        free = precision @ (gram + coupling * (split - dual))
        free -= precision * (jnp.diagonal(free) / jnp.diagonal(precision))[None, :]
        newton = _COUPLING * (split - dual - free)  # (A free - G) / diag(A), off the diagonal
        residual = jnp.abs(free - feasible(free - newton - shrunk)).max()
        relaxed = _RELAXATION * free + (1 - _RELAXATION) * split
        moved = relaxed + dual
        split = feasible(moved - shrunk / _COUPLING)
        kept = jnp.where(split > 0, feasible(free), 0.0)
        return kept, split, moved - split, residual, count + 1

    zeros = jnp.zeros_like(gram)
    state = (zeros, zeros, zeros, jnp.inf, 0)
    state = jax.lax.while_loop(lambda s: (s[3] > tolerance) & (s[4] < limit), iterate, state)
    return state[0], state[3]
