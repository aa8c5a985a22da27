"""A gated recurrent unit over padded histories: L steps of B rows, the step axis first.

Cho et al.: *Learning Phrase Representations using RNN Encoder-Decoder*, EMNLP 2014, with the reset
gate after the product as in cuDNN. Of the input's share a = W x + b of the three gates
[r, z, n], each H wide, and the state's share g = U h:

  r = sigmoid(a_r + g_r),  z = sigmoid(a_z + g_z),  n = tanh(a_n + r (g_n + c)),
  h' = n + z (h - n),      h = 0 before the first step.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp


def gates(
    inputs: jax.Array, state: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """(r, z, n, g_n + c), each [..., H], of inputs a [..., 3H] and states [..., H]."""
    width = state.shape[-1]
    chex.assert_shape([inputs], (*state.shape[:-1], 3 * width))
    product = state @ kernel
    opened = jax.nn.sigmoid(inputs[..., : 2 * width] + product[..., : 2 * width])
    reset, update = jnp.split(opened, 2, axis=-1)
    recalled = product[..., 2 * width :] + jnp.expand_dims(bias, range(state.ndim - 1))
    return reset, update, jnp.tanh(inputs[..., 2 * width :] + reset * recalled), recalled


def step(inputs: jax.Array, state: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """h' [B, H]."""
    _, update, new, _ = gates(inputs, state, kernel, bias)
    return new + update * (state - new)


def last(
    read: Callable[[jax.Array], jax.Array],
    sequences: jax.Array,
    listed: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
) -> jax.Array:
    """The state [B, H] after the last listed step of each row; zero where none is.

    Args:
      read: what a step's entries of `sequences` [B] put in, a [B, 3H].
      sequences, listed: [L, B].
    """

    def forward(state, at):
        entries, listed = at
        new = step(read(entries), state, kernel, bias)
        return jnp.where(listed[:, None], new, state), None

    start = jnp.zeros((sequences.shape[1], len(kernel)), kernel.dtype)
    return jax.lax.scan(forward, start, (sequences, listed))[0]


@jax.custom_vjp
def gru(inputs: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """The state after every step, [L, B, H].

    Its reverse derivative is written out: the gates of all steps are computed again in one product
    and only delta, the derivative by the state, is carried back through time; the kernel's
    derivative is then one product over all steps, not a sum of L small ones.

    Args:
      inputs: a, [L, B, 3H].
      kernel: U, [H, 3H].
      bias: c, [H].
    """
    chex.assert_rank([inputs, kernel, bias], [3, 2, 1])
    start = jnp.zeros((inputs.shape[1], len(kernel)), inputs.dtype)

    def forward(state, a):
        new = step(a, state, kernel, bias)
        return new, new

    return jax.lax.scan(forward, start, inputs)[1]


def _gru_forward(inputs, kernel, bias):
    states = gru(inputs, kernel, bias)
    return states, (inputs, states, kernel, bias)


def _gru_backward(saved, cotangent):
    inputs, states, kernel, bias = saved
    before = jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])
    reset, update, new, recalled = gates(inputs, before, kernel, bias)
    # What g_r, g_z and g_n change in h', and so what delta is multiplied with on its way back.
    through_new = (1 - update) * (1 - new**2)
    slopes = jnp.concatenate(
        [
            through_new * recalled * reset * (1 - reset),
            (before - new) * update * (1 - update),
            through_new * reset,
        ],
        axis=-1,
    )

    def backward(delta, at):
        cotangent, slopes, update = at
        delta = delta + cotangent
        return update * delta + (jnp.tile(delta, 3) * slopes) @ kernel.T, delta

    deltas = jax.lax.scan(
        backward, jnp.zeros_like(states[0]), (cotangent, slopes, update), reverse=True
    )[1]
    of_state = jnp.tile(deltas, 3) * slopes  # by g
    of_input = jnp.concatenate(
        [of_state[..., : 2 * len(kernel)], deltas * through_new], axis=-1
    )  # by a
    of_kernel = jnp.einsum("lbh,lbg->hg", before, of_state)
    return of_input, of_kernel, of_state[..., 2 * len(kernel) :].sum((0, 1))


gru.defvjp(_gru_forward, _gru_backward)
