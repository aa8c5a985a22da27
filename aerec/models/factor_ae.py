"""Factor AE: vectors of users and items in one space, compressed by one autoencoder and compared.

Susman: *Theoretically informed selection of latent activation in autoencoder based recommender
systems*, 2024, figure 1. Users x and items u_i have feature vectors in one R^n (`aerec.features`).
An autoencoder g(f(v)) is trained to reconstruct them; items are ranked by the similarity of the
codes f(x) and f(u_i) in R^m, in place of that of the vectors. Let c be the mean code of the items:

    dot       <f(x), f(u_i)>
    cosine    <f(x), f(u_i)> / (|f(x)| |f(u_i)|)
    centred   <f(x) - c, f(u_i) - c>
    decoder   <g(f(x)), g(f(u_i))>

An autoencoder with separate decoder determines its code up to an invertible map only, under which
the dot product of codes is arbitrary; that of the reconstructions is not. With the last layer
g = K h + b, the latter is <K'(K h(x) + b), h(u_i)> and a constant of the user, so that an item
costs the width of h (m without hidden layers).

The objective is the sum of |v - g(f(v))|^2 over the vectors v of all users and all items.
A batch of users draws as many items as make its gradient an unbiased estimate of that.

`compression` has the alternatives of the same m in closed form: the vectors as they are, principal
components of all vectors, centred or not, a random projection, and a constant coordinate beside
m - 1 centred components (theorem B).

Departures: the paper leaves features, autoencoder and training open.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aerec import features
from aerec.configuration import Count, Probability, Weight, Widths, settings
from aerec.core import Batch, Facts, Model, Params, Table, Traits
from aerec.errors import BadInput
from aerec.features import Origin
from aerec.nn import activations, autoencoders, layers, losses
from aerec.space import TRAINING, Choice, Log, Space, Uniform

Compression = Literal["autoencoder", "none", "pca", "pca_uncentred", "random", "lifted_pca"]


@settings
class Config:
    features: Origin = "spectral"  # where the vectors come from
    file: str = ""  # of features=file: its path
    size: Count = 256  # n, the coordinates of a vector
    damping: float = 0.25  # of features=spectral and cooccurrence: power of an item's clicks
    power: float = 0.25  # of features=spectral: power of the singular values
    scaling: Literal["length", "unit"] = "length"  # root mean square length 1, or each of length 1
    compression: Compression = "autoencoder"  # f; all others are in closed form
    hidden: Widths = ()  # widths between the vectors and the code, mirrored after it
    latent: Count = 128  # m
    activation: activations.Name = "tanh"  # of the hidden layers
    latent_activation: activations.Name = "identity"  # of the code
    tied: bool = False  # the decoder's kernels are the encoder's transposed, its biases its own
    corruption: Probability = 0.0  # share of the coordinates that is dropped in training
    similarity: Literal["dot", "cosine", "centred", "decoder"] = "decoder"  # of codes
    l2: Weight = 0.0  # lambda of lambda / 2 |kernels|^2, added to the sum over all vectors

    def __post_init__(self) -> None:
        if (self.features == "file") != bool(self.file):
            raise BadInput("features=file and file=PATH go together")
        if self.tied and self.hidden and activations.describe(self.activation).extra:
            raise BadInput(
                f"{self.activation} adds a coordinate, which a layer of a tied model has no room "
                "for"
            )
        linear = self.compression != "autoencoder"
        if linear and (self.hidden or self.latent_activation != "identity"):
            raise BadInput(f"compression={self.compression} is linear: leave out hidden and "
                           "latent_activation")  # fmt: skip
        low, high = self.compression == "lifted_pca", math.inf
        if self.compression in ("pca", "pca_uncentred", "random", "lifted_pca"):
            high = self.size
        if not low < self.latent <= high:
            raise BadInput(f"compression={self.compression} of {self.size} coordinates has no "
                           f"latent={self.latent}")  # fmt: skip


SPACE: Space = {
    "damping": Uniform(0, 0.7),
    "power": Uniform(-0.25, 1),
    "latent": Choice((32, 64, 128, 256)),
    "latent_activation": Choice(("sigmoid", "tanh", "identity")),
    "similarity": Choice(("dot", "cosine", "centred", "decoder")),
    "tied": Choice((False, True)),
    "corruption": Uniform(0, 0.5),
    **TRAINING,
    "learning_rate": Log(1e-4, 3e-2),
}


class System(NamedTuple):
    """Figure 1 as pure functions of params {"features": Parts, "network": of an autoencoder}.

    Attributes:
      source: where the vectors come from.
      init: key -> the params.
      users: (params, x) -> the users' vectors [B, n], scaled.
      items: params -> the items' vectors [N, n], scaled.
      encode: (params, v [B, n]) -> f(v) [B, m].
      decode: (params, v [B, n]) -> g(f(v)) [B, n].
      compare: (params, users [B, n], items [N, n]) -> (q [B, D], codes [N, D]), whose products
        <q, code> rank like the similarity of the codes.
    """

    source: features.Source
    init: Callable[[jax.Array], Params]
    users: Callable[[Params, Batch], jax.Array]
    items: Callable[[Params], jax.Array]
    encode: Callable[[Params, jax.Array], jax.Array]
    decode: Callable[[Params, jax.Array], jax.Array]
    compare: Callable[[Params, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    return Traits(
        task="ranking",
        l2=config.l2,
        features={"content": "content", "file": config.file}.get(config.features, ""),
        training={
            "epochs": 40, "batch_size": 100, "learning_rate": 3e-3, "schedule": "cosine",
            "evaluate_every": 4,
        },
    )  # fmt: skip


def system(config: Config, facts: Facts) -> System:
    """Build the functions over N items; `config.similarity` changes `compare` alone."""
    net = network(config)
    apply: Callable[..., Any] = net.apply
    source = features.source(
        config.features, facts, size=config.size, damping=config.damping, power=config.power
    )

    def init(key: jax.Array) -> Params:
        vectors, weights = jax.random.split(key)
        shape = (facts.num_columns, config.size)
        parts = {  # drawn only until a table replaces them
            "items": jax.random.normal(vectors, shape) / math.sqrt(config.size),
            "weights": jnp.ones(facts.num_columns),
            "lengths": jnp.ones(2),
        }
        return {"features": parts, "network": net.init(weights, jnp.zeros((1, config.size)))}

    def scaled(params, v: jax.Array, side: int) -> jax.Array:
        if config.scaling == "unit":
            return layers.normalise(v)
        return v / params["features"]["lengths"][side]

    def encode(params, v: jax.Array) -> jax.Array:
        return apply(params["network"], v, method="encode")

    def compare(params, users: jax.Array, items: jax.Array) -> tuple[jax.Array, jax.Array]:
        if config.similarity == "decoder":
            kernel, bias = apply(params["network"], method="codes")
            width = kernel.shape[1]  # a tied decoder does not read the constant of a lifted code
            last = lambda v: apply(params["network"], v, method="query")[:, -width:]  # noqa: E731
            return (last(users) @ kernel.T + bias[None]) @ kernel, last(items)
        queries, codes = encode(params, users), encode(params, items)
        if config.similarity == "cosine":
            return layers.normalise(queries), layers.normalise(codes)
        if config.similarity == "centred":
            mean = jnp.mean(codes, axis=0, keepdims=True)
            return queries - mean, codes - mean
        return queries, codes

    return System(
        source=source,
        init=init,
        users=lambda params, x: scaled(params, source.users(params["features"], x), 0),
        items=lambda params: scaled(params, params["features"]["items"], 1),
        encode=encode,
        decode=lambda params, v: apply(params["network"], v),
        compare=compare,
    )


def make(config: Config, facts: Facts) -> Model:
    """Build the model over N items; scores are similarities of codes [B, N]."""
    parts = system(config, facts)
    share = facts.num_columns / max(facts.num_rows, 1)  # items per user
    draws = max(1, math.ceil(share))

    def loss(params, x: Batch, key: jax.Array, step: jax.Array):
        """Sum the errors of a row's vector and of its share of the items; weights likewise."""
        del step
        draw, noise = jax.random.split(key)
        users, items = parts.users(params, x), parts.items(params)
        number = jax.random.randint(draw, (x.shape[0], draws), 0, facts.num_columns)
        v = jnp.concatenate([users[:, None], items[number]], axis=1)
        error = errors(parts, params, v.reshape(-1, config.size), noise, config.corruption)
        error = error.reshape(-1, 1 + draws)
        total, weight = losses.by_row(error[:, 0] + share * jnp.mean(error[:, 1:], axis=1), x)
        return total, weight * (1 + share)

    def queries(params, x: Batch) -> jax.Array:
        return parts.compare(params, parts.users(params, x), parts.items(params))[0]

    def item_codes(params) -> jax.Array:
        items = parts.items(params)
        return parts.compare(params, items[:1], items)[1]

    def computed(table: Table) -> dict[str, Any]:
        return {"features": features.compute(parts.source, table)}

    def solve(table: Table) -> Params:
        params = computed(table)
        return {**params, "network": projection(config, *moments(parts, params, table))}

    def with_items(params, added: jax.Array) -> Params:
        return {**params, "features": features.extended(params["features"], added)}

    trained = config.compression == "autoencoder"
    return Model(
        traits=traits(config),
        init=parts.init,
        encode=lambda params, x: parts.encode(params, parts.users(params, x)),
        score=lambda params, x: queries(params, x) @ item_codes(params).T,
        loss=loss if trained else None,
        solve=None if trained else solve,
        frozen=computed if trained else None,
        with_items=with_items if config.features in features.READ else None,
        queries=queries,
        item_codes=item_codes,
        item_bias=lambda params: jnp.zeros(facts.num_columns),
    )


def errors(
    system: System, params: Params, v: jax.Array, key: jax.Array, corruption: float
) -> jax.Array:
    """Compute |v - g(f(v~))|^2 [B] of vectors v [B, n], v~ their corrupted copies. Consumes key."""
    return jnp.sum((v - system.decode(params, layers.dropout(key, v, corruption))) ** 2, axis=1)


def network(config: Config) -> autoencoders.Stack:
    """Build the network that encodes and decodes; a projection is one of a single linear layer."""
    n, m = config.size, config.latent
    if config.compression != "autoencoder":
        lifted = config.compression == "lifted_pca"
        width = n if config.compression == "none" else m - lifted
        return autoencoders.Stack((width,), (n,), "identity", "lift:identity" if lifted else "")
    return autoencoders.Stack(
        (*config.hidden, m),
        (*config.hidden[::-1], n),
        config.activation,
        config.latent_activation,
        tied=config.tied,
    )


def moments(system: System, params: Params, table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean [n] and the second moment [n, n] of all vectors but zeros, in float64."""

    def sums(v: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        return int(v.any(axis=1).sum()), v.sum(axis=0), v.T @ v

    blocks = features.over_users(lambda x: system.users(params, x), table, sums)
    blocks.append(sums(np.asarray(system.items(params), np.float64)))
    counts, first, second = (np.array(part) for part in zip(*blocks, strict=True))
    count = max(counts.sum(), 1)
    return first.sum(axis=0) / count, second.sum(axis=0) / count


def projection(config: Config, mean: np.ndarray, second: np.ndarray) -> Params:
    """Return the network's parameters of a compression in closed form.

    With P [n, m] the projection and mu the mean, or zero, f(v) = P'(v - mu) and g(z) = P z + mu; of
    a random P, g has its pseudo-inverse.
    """
    n, kind = config.size, config.compression
    width = n if kind == "none" else config.latent - (kind == "lifted_pca")
    centre = mean if kind in ("pca", "lifted_pca") else np.zeros(n)
    if kind == "none":
        encoder = np.eye(n)
    elif kind == "random":
        drawn = jax.random.normal(jax.random.key(0), (n, width)) / math.sqrt(width)
        encoder = np.asarray(drawn, np.float64)
    else:
        _, directions = np.linalg.eigh(second - np.outer(centre, centre))
        encoder = features.signed(directions[:, ::-1][:, :width])
    decoder = np.linalg.pinv(encoder)
    if kind == "lifted_pca":  # the constant comes first, and is not decoded
        decoder = np.concatenate([np.zeros((1, n)), decoder])
    affine = {"encoder_0": (encoder, -centre @ encoder), "decoder_0": (decoder, centre)}
    layers = {name: dict(zip(("kernel", "bias"), own, strict=True)) for name, own in affine.items()}
    return {"params": jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), layers)}
