"""Recurrent units over padded histories: L steps of B rows, the step axis first.

The gated recurrent unit is that of Cho et al.: *Learning Phrase Representations using RNN
Encoder-Decoder*, EMNLP 2014, with the reset gate after the product as in cuDNN. With the input's
part a = W x + b of the three gates [r, z, n], each H wide, and the state's part g = U h:

  r = sigmoid(a_r + g_r),  z = sigmoid(a_z + g_z),  n = tanh(a_n + r (g_n + c)),
  h' = n + z (h - n),      h = 0 before the first step.
"""

import chex
import jax
import jax.numpy as jnp


def step(
    inputs: jax.Array, state: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    """Compute h' [B, H], and the intermediate [r, z] [B, 2H], n and g_n + c."""
    width = len(kernel)
    chex.assert_shape([inputs], (len(state), 3 * width))
    product = state @ kernel
    opened = jax.nn.sigmoid(inputs[:, : 2 * width] + product[:, : 2 * width])
    reset, update = jnp.split(opened, 2, axis=1)
    recalled = product[:, 2 * width :] + bias[None]
    new = jnp.tanh(inputs[:, 2 * width :] + reset * recalled)
    return new + update * (state - new), (opened, new, recalled)


def last(
    table: jax.Array,
    sequences: jax.Array,
    counts: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *,
    capacity: int,
) -> jax.Array:
    """Compute the state [B, H] after the last entry of each row; zero for an empty row.

    Rows are sorted, longest first. Each time the step number doubles, only as many rows continue as
    can be that long: `capacity // t` of B rows with `capacity` entries have more than t.

    Args:
      table, sequences, kernel, bias: as of `gru`.
      counts: [B] entries in each row, the first in its sequence.
      capacity: static, no fewer than all entries together.
    """
    length, batch = sequences.shape
    order = jnp.argsort(-counts)
    sequences, counts = sequences[:, order], counts[order]
    states = jnp.zeros((batch, len(kernel)), kernel.dtype)

    def forward(state, at):
        number, entries = at
        after, _ = step(table[entries], state, kernel, bias)
        listed = number < counts[: len(state)]
        return jnp.where(listed[:, None], after, state), None

    first, end = 0, 64
    while first < length and (width := min(batch, capacity // (first + 1))):
        steps = jnp.arange(first, min(end, length)), sequences[first:end, :width]
        states = states.at[:width].set(jax.lax.scan(forward, states[:width], steps)[0])
        first, end = end, 2 * end
    return jnp.zeros_like(states).at[order].set(states)


def gru(table: jax.Array, sequences: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Compute the state after every step, [L, B, H].

    Its reverse derivative is written out: only delta, the derivative with respect to the state, is
    carried back through time, and the kernel's derivative is a product over all steps instead of a
    sum of L small ones. Forward and backward on two CPU cores, 200 units: 82, 99 and 130 ms for 50,
    200 and 800 steps of 6,400 entries, 82, 114 and 196 with the derivative left to JAX, 100, 137
    and 217 with Flax's cell (`python -m experiments.benchmark --what=gru`).

    Args:
      table: [M, 3H], the input's part a of every item that may be read.
      sequences: [L, B], which row of the table each step reads.
      kernel: U, [H, 3H].
      bias: c, [H].
    """
    written_out = jax.custom_vjp(states)
    written_out.defvjp(_forward, _backward)
    return written_out(table, sequences, kernel, bias)


def states(table: jax.Array, sequences: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Compute `gru`, with its derivative left to JAX."""
    return _forward(table, sequences, kernel, bias)[0]


def _forward(table, sequences, kernel, bias):
    chex.assert_rank([table, sequences, kernel, bias], [2, 2, 2, 1])

    def forward(state, entries):
        after, parts = step(table[entries], state, kernel, bias)
        # All are outputs, which keeps XLA from fusing sigmoid and tanh into one loop over the
        # block: on a CPU it would not be vectorised, and take several times as long.
        return after, (after, *parts)

    start = jnp.zeros((sequences.shape[1], len(kernel)), table.dtype)
    states, *parts = jax.lax.scan(forward, start, sequences)[1]
    return states, (table, sequences, states, *parts, kernel)


def _backward(saved, cotangent):
    table, sequences, states, opened, new, recalled, kernel = saved
    width = len(kernel)
    before = jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])

    def backward(delta, at):
        cotangent, before, opened, new, recalled = at
        reset, update = jnp.split(opened, 2, axis=1)
        delta = delta + cotangent
        of_new = delta * (1 - update) * (1 - new**2)
        of_reset = of_new * recalled * reset * (1 - reset)
        of_update = delta * (before - new) * update * (1 - update)
        of_gates, of_recalled = jnp.concatenate([of_reset, of_update], axis=1), of_new * reset
        back = jnp.concatenate([of_gates, of_recalled], axis=1) @ kernel.T
        return update * delta + back, (of_gates, of_new, of_recalled)

    steps = (cotangent, before, opened, new, recalled)
    parts = jax.lax.scan(backward, jnp.zeros_like(states[0]), steps, reverse=True)[1]
    of_gates, of_new, of_recalled = (part.reshape(-1, part.shape[2]) for part in parts)
    before, entries = before.reshape(-1, width), sequences.reshape(-1)
    of_table = [
        jnp.zeros_like(table[:, : part.shape[1]]).at[entries].add(part)
        for part in (of_gates, of_new)
    ]
    of_kernel = [before.T @ of_gates, before.T @ of_recalled]
    return (
        jnp.concatenate(of_table, axis=1),
        None,
        jnp.concatenate(of_kernel, axis=1),
        of_recalled.sum(0),
    )


def lstm(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """Compute the states of a long short-term memory before each step and after the last.

    Hochreiter & Schmidhuber: *Long Short-Term Memory*, Neural Computation 1997, with the forget
    gate of Gers et al., 2000. With the input's part a of [i, f, g, o], each H wide, and g = h U:

      c' = sigmoid(a_f + g_f + 1) c + sigmoid(a_i + g_i) tanh(a_g + g_g),
      h' = sigmoid(a_o + g_o) tanh(c'),    h = c = 0 before the first step.

    Args:
      inputs: [L, B, 4H].
      kernel: U, [H, 4H].

    Returns:
      h [L + 1, B, H]; the first is zero.
    """
    chex.assert_rank([inputs, kernel], [3, 2])
    start = jnp.zeros((inputs.shape[1], len(kernel)), inputs.dtype)

    def forward(carry, given):
        state, cell = carry
        opened, kept, new, shown = jnp.split(given + state @ kernel, 4, axis=1)
        cell = jax.nn.sigmoid(kept + 1) * cell + jax.nn.sigmoid(opened) * jnp.tanh(new)
        state = jax.nn.sigmoid(shown) * jnp.tanh(cell)
        return (state, cell), state

    states = jax.lax.scan(forward, (start, start), inputs)[1]
    return jnp.concatenate([start[None], states])
