"""mDAE: a denoising autoencoder marginalised over its corruptions, in closed form.

Chen, Xu, Weinberger, Sha: *Marginalized Denoising Autoencoders for Domain Adaptation*, ICML 2012.
Each feature of h (the row, or the layer below) is set to zero with probability p, a constant 1
is appended and never corrupted; the layer that reconstructs h from its corruption h~ with the
least squared error, over infinitely many corruptions, is W = E[P] E[Q]^-1, P = sum h h~',
Q = sum h~ h~'. With S = sum h h' and q = 1 - p (q = 1 of the constant):
E[P]_ij = S_ij q_j, E[Q]_ij = S_ij q_i q_j, and S_ii q_i on the diagonal. Layers are stacked with
a squashing function between them, each trained on the uncorrupted output of the one below.

Here rows are users and a layer is h -> h K + b, [B, N] to [B, N]. With D = diag(q) and
L = diag((1 / q_i - 1) S_ii), Q = D (S + L) D, and so (K; b) = D^-1 (I - (S + L)^-1 L) without its
last column: one inverse a layer, the same as EASE's with its penalty on clicks. Scores are the last
layer's output before the squashing, which would not change their order.

Departures:
  - `l2` is added to L but for the constant, where the authors' code adds 1e-5 to Q: a ridge
    penalty, without which columns that nobody listed would make S + L singular;
  - the code is the last layer's output alone; the paper joins the outputs of all layers.
"""

import jax
import jax.numpy as jnp

from aerec import memory
from aerec.configuration import Count, Positive, Probability, settings
from aerec.core import Batch, Facts, Model, Table, Traits
from aerec.errors import BadInput
from aerec.models import ease
from aerec.nn import activations, layers
from aerec.space import Choice, Log, Space, Uniform


@settings
class Config:
    depth: Count = 1  # layers
    corruption: Probability = 0.4  # p
    activation: activations.Name = "tanh"  # between the layers; identity: a linear stack
    latent_activation: activations.Name = ""  # of the code; empty: the same as `activation`
    l2: Positive = 200.0  # ridge penalty, added to that of the corruption

    def __post_init__(self) -> None:
        if self.depth > 1 and activations.describe(self.activation).extra:
            raise BadInput(
                f"activation={self.activation} adds a column: only latent_activation can do that"
            )


SPACE: Space = {
    "depth": Choice((1, 2)),
    "corruption": Uniform(0.05, 0.95),
    "l2": Log(0.1, 1e4),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks, linear if nothing stands between its layers."""
    linear = config.depth == 1 or config.activation == "identity"
    return Traits(task="ranking", linear=linear)


def make(config: Config, facts: Facts) -> Model:
    """Build the model over N items.

    Params: a tuple of layers {"kernel": [N, N], "bias": [N]}; the code is [B, N].

    Raises:
      memory.TooLarge: from `solve`, before anything is allocated, if N^2 does not fit.
    """
    num_columns = facts.num_columns
    activation = activations.get(config.activation)
    latent = activations.get(config.latent_activation or config.activation)

    def below(params, x: Batch) -> Batch:
        """Return the input of the last layer."""
        for layer in params[:-1]:
            x = activation(_affine(layer, x))
        return x

    def score(params, x: Batch) -> jax.Array:
        return _affine(params[-1], below(params, x))

    def encode(params, x: Batch) -> jax.Array:
        return latent(score(params, x))

    def affine(params):
        names = [config.activation] * (config.depth - 1)
        names.append(config.latent_activation or config.activation)
        return [
            (layer["kernel"].T, layer["bias"], activations.describe(name))
            for layer, name in zip(params, names, strict=True)
        ]

    def between(params, x: Batch) -> jax.Array:
        return activation(score(params, x))

    def solve(table: Table):
        memory.require(
            (config.depth + 4) * 4 * (num_columns + 1) ** 2,
            f"mDAE's {config.depth} layers and their moments over {num_columns} items",
            "keep fewer items, or train a model whose size is linear in the items (sdae)",
        )
        params: tuple = ()
        for _ in range(config.depth):
            read = between if params else lambda _, x: x.dense()
            products = moments(table, read, params)
            params = (*params, denoiser(products, config.corruption, config.l2))
        return params

    def init(key):
        del key
        layer = {"kernel": jnp.zeros((num_columns, num_columns)), "bias": jnp.zeros(num_columns)}
        return (layer,) * config.depth

    return Model(
        traits=traits(config),
        init=init,
        encode=encode,
        score=score,
        solve=solve,
        queries=lambda params, x: layers.dense(below(params, x)),
        item_codes=lambda params: params[-1]["kernel"].T,
        item_bias=lambda params: params[-1]["bias"],
        layers=affine,
    )


def _affine(layer, x: Batch) -> jax.Array:
    return layers.product(x, layer["kernel"]) + layer["bias"][None, :]


def moments(table: Table, encode, params, batch_size: int = 1024) -> jax.Array:
    """Compute S = sum over rows of (h, 1)(h, 1)' [N + 1, N + 1], h = encode(params, row)."""
    index, capacity = table.blocks(batch_size)
    size = table.num_columns + 1

    @jax.jit
    def scan(table, index, params):
        def add(total, block):
            h = jnp.pad(encode(params, table.gather(block, capacity)), ((0, 0), (0, 1)))
            h = jnp.where((block < table.num_rows)[:, None], h.at[:, -1].set(1), 0)
            return total + h.T @ h, None

        return jax.lax.scan(add, jnp.zeros((size, size)), index)[0]

    return scan(table, index, params)


def denoiser(moments: jax.Array, corruption: float, l2: float) -> dict[str, jax.Array]:
    """Solve for the layer W = E[P] E[Q]^-1 of the module's docstring from S [N + 1, N + 1]."""
    kept = jnp.full(len(moments), 1 - corruption).at[-1].set(1)
    penalty = ((1 / kept - 1) * jnp.diagonal(moments) + l2).at[-1].set(0)
    inverse = ease.inverse(moments, penalty)
    both = (jnp.eye(len(moments)) - inverse * penalty[None, :]) / kept[:, None]
    return {"kernel": both[:-1, :-1], "bias": both[-1, :-1]}
