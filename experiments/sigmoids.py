"""The steps from a sigmoid to a tanh as activations of a code: its offset, its scale, its slope."""

import jax


def centred(z: jax.Array) -> jax.Array:
    """Compute sigmoid(z) - 1/2, without the offset."""
    return jax.nn.sigmoid(z) - 0.5


def scaled(z: jax.Array) -> jax.Array:
    """Compute 2 sigmoid(z) - 1 = tanh(z / 2), without the offset and from -1 to 1."""
    return 2 * jax.nn.sigmoid(z) - 1
