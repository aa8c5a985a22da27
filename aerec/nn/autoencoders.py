"""Networks that several models share, and the `Model` of a network."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aerec.core import Batch, Facts, Model, Traits
from aerec.nn import activations, layers
from aerec.nn.content import Content

Affine = tuple[jax.Array, jax.Array, activations.Activation]  # of `Model.layers`
After = Callable[[int, jax.Array], jax.Array]  # (layer, its output) -> what the next layer reads


def model(
    net: nn.Module,
    facts: Facts,
    traits: Traits,
    loss: Callable,
    *,
    read: Callable[[Batch], Batch] = lambda x: x,
    linear: bool = True,
    mlp: bool = False,
) -> Model:
    """Make a `Model` that encodes by the network's method `encode` and scores by calling it.

    Args:
      loss: (params, x, key, step) -> (total [B], weight [B]).
      read: turns a batch into the network's input.
      linear: whether scores are the network's method `query` times `codes`, plus their bias.
      mlp: whether the encoder of a dense row is the affine layers of the network's method `layers`.
    """
    apply: Callable[..., Any] = net.apply
    return Model(
        traits=traits,
        init=lambda key: net.init(key, jnp.zeros((1, facts.num_columns))),
        encode=lambda params, x: apply(params, read(x), method="encode"),
        score=lambda params, x: apply(params, read(x)),
        loss=loss,
        queries=(lambda params, x: apply(params, read(x), method="query")) if linear else None,
        item_codes=(lambda params: apply(params, method="codes")[0]) if linear else None,
        item_bias=(lambda params: apply(params, method="codes")[1]) if linear else None,
        layers=(lambda params: apply(params, method="layers")) if mlp else None,
    )


class Stack(nn.Module):
    """An encoder of dense layers and a decoder that is its mirror image, layer by layer.

    Encoder layer `level` and decoder layer -1 - `level` form a pair, for greedy pre-training and
    tied kernels.

    Attributes:
      encoder_widths: of the encoder's layers, the last of the code.
      decoder_widths: as many, the last N.
      activation: of every layer but the code and the output.
      latent_activation: of the code; empty: the same.
      output: applied to the last layer.
      tied: whether the decoder's kernels are the encoder's, transposed.
      content: what the first layer reads besides the batch.
    """

    encoder_widths: Sequence[int]
    decoder_widths: Sequence[int]
    activation: str
    latent_activation: str = ""
    output: Callable[[jax.Array], jax.Array] = lambda y: y
    tied: bool = False
    content: Content | None = None

    def setup(self) -> None:
        self.encoder = [layers.Layer(width) for width in self.encoder_widths]
        if self.tied:
            widths, zeros = enumerate(self.decoder_widths), nn.initializers.zeros
            self.biases = [self.param(f"bias_{j}", zeros, (width,)) for j, width in widths]
        else:
            self.decoder = [layers.Layer(width) for width in self.decoder_widths]
        self.between = activations.get(self.activation)
        self.latent = activations.get(self.latent_activation or self.activation)

    def layers(self) -> list[Affine]:
        """Return the encoder as affine layers."""
        names = [self.activation] * (len(self.encoder) - 1)
        names.append(self.latent_activation or self.activation)
        pairs = zip(self.encoder, names, strict=True)
        return [_affine(layer.variables["params"], name) for layer, name in pairs]

    def up(self, level: int, h: Batch) -> jax.Array:
        """Apply encoder layer `level`."""
        last = level == len(self.encoder) - 1
        beside = self.content(h) if self.content and not level else None
        return (self.latent if last else self.between)(self.encoder[level](h, beside))

    def down(self, level: int, h: jax.Array) -> jax.Array:
        """Apply the mirror image of encoder layer `level`."""
        return (self.between if level else self.output)(self._affine(level, h))

    def mirror(self, level: int, h: Batch) -> jax.Array:
        """Apply encoder layer `level` and its mirror image."""
        return self.down(level, self.up(level, h))

    def encode(self, x: Batch, depth: int | None = None, after: After = lambda _, h: h) -> Batch:
        """Return the code [B, K], or the output of the first `depth` layers."""
        for level in range(len(self.encoder))[:depth]:
            x = after(level, self.up(level, x))
        return x

    def decode(self, z: jax.Array, after: After = lambda _, h: h) -> jax.Array:
        """Return the scores [B, N] of codes z [B, K]."""
        return self.down(0, self._hidden(z, after))

    def __call__(self, x: Batch, after: After = lambda _, h: h) -> jax.Array:
        """Return scores [B, N]; `after` is applied to layers 0 to 2 L - 2, in order."""
        return self.decode(self.encode(x, after=after), after)

    def query(self, x: Batch) -> jax.Array:
        """Return the input of the last layer, [B, D]."""
        return self._hidden(self.encode(x), lambda _, h: h)

    def codes(self) -> tuple[jax.Array, jax.Array]:
        """Return the last layer's kernel [N, D] and bias [N]."""
        if self.tied:
            return self._kernel(0), self.biases[-1]
        return _transposed(self.decoder[-1].variables["params"])

    def _hidden(self, z: jax.Array, after: After) -> jax.Array:
        depth = len(self.encoder)
        for level in reversed(range(1, depth)):
            z = after(2 * depth - 1 - level, self.down(level, z))
        return z

    def _affine(self, level: int, h: jax.Array) -> jax.Array:
        if not self.tied:
            return self.decoder[-1 - level](h)
        kernel = self._kernel(level)
        constant = h.shape[1] - kernel.shape[1]  # of a lifted code, which the bias makes up for
        return h[:, constant:] @ kernel.T + self.biases[-1 - level][None, :]

    def _kernel(self, level: int) -> jax.Array:
        return self.encoder[level].variables["params"]["kernel"]


class Pair(nn.Module):
    """An encoder and a decoder, mirror images, with a code of K coordinates between them.

    Attributes:
      hidden: widths between the items and the code, mirrored after it.
      latent: K.
      activation: of the hidden layers.
      latent_activation: of the code.
      num_columns: N.
      gaussian: whether the encoder returns the mean and log-variance of a distribution; the code is
        activated after sampling.
      content: what the first layer reads besides the batch.
    """

    hidden: tuple[int, ...]
    latent: int
    activation: str
    latent_activation: str
    num_columns: int
    gaussian: bool = False
    content: Content | None = None

    def setup(self) -> None:
        activation, linear = activations.get(self.activation), activations.get("identity")
        self.activated = activations.get(self.latent_activation)
        width, last = (2 * self.latent, linear) if self.gaussian else (self.latent, self.activated)
        self.encoder = layers.MLP((*self.hidden, width), activation, last)
        self.decoder = layers.MLP((*self.hidden[::-1], self.num_columns), activation, linear)

    def layers(self) -> list[Affine]:
        """Return the encoder as affine layers; of a distribution, that of its activated mean."""
        params, depth = self.encoder.variables["params"], len(self.hidden)
        found = [_affine(params[f"Layer_{level}"], self.activation) for level in range(depth)]
        last = jax.tree.map(lambda leaf: leaf[..., : self.latent], params[f"Layer_{depth}"])
        return [*found, _affine(last, self.latent_activation)]

    def posterior(self, x: Batch) -> tuple[jax.Array, jax.Array]:
        """Return mean and log-variance of q(z | x), each [B, K]."""
        mean, log_variance = jnp.split(self._encoded(x), 2, axis=1)
        return mean, log_variance

    def encode(self, x: Batch) -> jax.Array:
        """Return the code [B, K]; for a distribution, its activated mean."""
        return self.activated(self.posterior(x)[0]) if self.gaussian else self._encoded(x)

    def decode(self, z: jax.Array) -> jax.Array:
        """Decode z [B, K], sampled from q and not yet activated, to y [B, N]."""
        return self.decoder(self.activated(z))

    def __call__(self, x: Batch) -> jax.Array:
        return self.decoder(self.encode(x))

    def query(self, x: Batch) -> jax.Array:
        """Return the input of the last layer, [B, D]."""
        return self.decoder(self.encode(x), depth=-1)

    def codes(self) -> tuple[jax.Array, jax.Array]:
        """Return the last layer's kernel [N, D] and bias [N]."""
        return _transposed(self.decoder.variables["params"][f"Layer_{len(self.hidden)}"])

    def _encoded(self, x: Batch) -> jax.Array:
        return self.encoder(x, beside=self.content(x) if self.content else None)


def _transposed(layer: Any) -> tuple[jax.Array, jax.Array]:
    return layer["kernel"].T, layer["bias"]


def _affine(layer: Any, activation: str) -> Affine:
    return *_transposed(layer), activations.describe(activation)
