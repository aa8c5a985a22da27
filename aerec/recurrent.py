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


def step(
    inputs: jax.Array, state: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    """h' [B, H], and of the way there [r, z] side by side [B, 2H], n and g_n + c."""
    width = len(kernel)
    chex.assert_shape([inputs], (len(state), 3 * width))
    product = state @ kernel
    opened = jax.nn.sigmoid(inputs[:, : 2 * width] + product[:, : 2 * width])
    reset, update = jnp.split(opened, 2, axis=1)
    recalled = product[:, 2 * width :] + bias[None]
    new = jnp.tanh(inputs[:, 2 * width :] + reset * recalled)
    return new + update * (state - new), (opened, new, recalled)


def last(
    read: Callable[[jax.Array], jax.Array],
    sequences: jax.Array,
    counts: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *,
    capacity: int,
) -> jax.Array:
    """The state [B, H] after the last entry of each row; zero where a row has none.

    Rows are taken longest first, and each time the step number has doubled only as many of them go
    on as can be that long: `capacity // t` of B rows with `capacity` entries have more than t.

    Args:
      read: entries of one step of `sequences` [W] -> a [W, 3H].
      sequences: [L, B].
      counts: [B] entries in each row, the first in its sequence.
      capacity: static, no fewer than all entries together.
    """
    length, batch = sequences.shape
    order = jnp.argsort(-counts)
    sequences, counts = sequences[:, order], counts[order]
    states = jnp.zeros((batch, len(kernel)), kernel.dtype)

    def forward(state, at):
        number, entries = at
        after, _ = step(read(entries), state, kernel, bias)
        listed = number < counts[: len(state)]
        return jnp.where(listed[:, None], after, state), None

    first, end = 0, 64
    while first < length and (width := min(batch, capacity // (first + 1))):
        steps = jnp.arange(first, min(end, length)), sequences[first:end, :width]
        states = states.at[:width].set(jax.lax.scan(forward, states[:width], steps)[0])
        first, end = end, 2 * end
    return jnp.zeros_like(states).at[order].set(states)


@jax.custom_vjp
def gru(inputs: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """The state after every step, [L, B, H].

    Its reverse derivative is written out: only delta, the derivative by the state, is carried back
    through time, and the kernel's derivative is one product over all steps instead of a sum of L
    small ones.

    Args:
      inputs: a, [L, B, 3H].
      kernel: U, [H, 3H].
      bias: c, [H].
    """
    return _forward(inputs, kernel, bias)[0]


def _forward(inputs, kernel, bias):
    chex.assert_rank([inputs, kernel, bias], [3, 2, 1])

    def forward(state, a):
        after, parts = step(a, state, kernel, bias)
        # All are outputs, which keeps XLA from melting sigmoid and tanh into one loop over the
        # block: on a CPU it would not be vectorised, and take several times as long.
        return after, (after, *parts)

    start = jnp.zeros((inputs.shape[1], len(kernel)), inputs.dtype)
    states, *parts = jax.lax.scan(forward, start, inputs)[1]
    return states, (states, *parts, kernel)


def _backward(saved, cotangent):
    states, opened, new, recalled, kernel = saved
    width = len(kernel)
    before = jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])

    def backward(delta, at):
        cotangent, before, opened, new, recalled = at
        reset, update = jnp.split(opened, 2, axis=1)
        delta = delta + cotangent
        of_new = delta * (1 - update) * (1 - new**2)
        of_reset = of_new * recalled * reset * (1 - reset)
        of_update = delta * (before - new) * update * (1 - update)
        of_state = jnp.concatenate([of_reset, of_update, of_new * reset], axis=1)  # by g
        of_input = jnp.concatenate([of_reset, of_update, of_new], axis=1)  # by a
        return update * delta + of_state @ kernel.T, (of_input, of_state)

    steps = (cotangent, before, opened, new, recalled)
    start = jnp.zeros_like(states[0])
    of_input, of_state = jax.lax.scan(backward, start, steps, reverse=True)[1]
    of_state = of_state.reshape(-1, 3 * width)
    of_kernel = before.reshape(-1, width).T @ of_state
    return of_input, of_kernel, of_state[:, 2 * width :].sum(0)


gru.defvjp(_forward, _backward)
