"""SVAE: a variational autoencoder at every step of a history.

Sachdeva, Manco, Ritacco, Pudi: *Sequential Variational Autoencoders for Collaborative Filtering*,
WSDM 2019. A history x_1 ... x_T in time order is read by a GRU, h_t = GRU(h_{t-1}, x_t). Each state
has a code, q(z_t | x_1..t) = N(mean(h_t), diag(exp(log_variance(h_t)))) with the prior N(0, I), and
the decoder's softmax pi(z_t) over all N items is the distribution of the k items that follow:

  loss = sum_t -sum_{j=1..k} log pi(z_t)[x_{t+j}] + beta KL(q(z_t) | N(0, I)),

one draw of z_t, with noise of deviation 1; beta is annealed linearly. k = 1 is next-item
prediction. Near the end of a history fewer than k items follow; a step with none is left out. The
objective is the mean over steps. Items are ranked by the decoder's logits at the mean of the code
after the last item. Only the order of the entries is read, not their values; a dense row's order
is that of its columns.

Departures:
  - the code of the authors does not feed the last item of the history (it predicts from the state
    before it, and does not mask it); here it is fed;
  - their code divides the likelihood by k, and adds a KL that is a mean over the steps to a
    likelihood that is a sum. Its largest beta of .2 corresponds to 4 * .2 / T here, where both are
    sums, as in the paper: hence the smaller default;
  - it uses exp(log_variance) as the deviation of the noise; here, exp(log_variance / 2);
  - batches of users of similar length instead of one user per update, hence another learning rate;
  - the weight decay is `l2`, on kernels and item vectors but not on biases; theirs, .005 in each
    update of a user, would be .005 k times the training users here, 90 on MovieLens-1M;
  - only the last `max_length` items of a history are read;
  - with `scored` below 1 the loss of an update is that of a random share of the steps of its batch
    (the GRU still reads them all): an unbiased estimate of the gradient that saves time in the
    softmax.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aerec.configuration import Count, Natural, Part, Probability, Weight, Widths, settings
from aerec.core import Batch, Facts, Model, Rows, Traits
from aerec.nn import activations, autoencoders, layers, losses, recurrent, softmax
from aerec.space import Choice, Log, LogIntegers, Space, Uniform


@settings
class Config:
    embedding: Count = 256  # width of an item's vector
    recurrent: Count = 200  # width of the GRU's state
    hidden: Widths = (150,)  # widths between state and code, mirrored after the code
    latent: Count = 64  # K
    activation: activations.Name = "tanh"  # of the hidden layers
    latent_activation: activations.Name = "identity"  # of the code, after the noise
    ahead: Count = 4  # k: the items that a step predicts; 1: the next one
    max_length: Count = 1000  # only so many of the last items are read
    scored: Part = 1.0  # share of the steps, drawn in each update, in the loss
    dropout: Probability = 0.0  # of the states, where the encoder reads them
    beta: Weight = 0.02  # largest weight of the KL term
    anneal_steps: Natural = 10_000  # the KL term weighs min(beta, step / anneal_steps); 0: beta
    l2: Weight = 22.0  # lambda of lambda / 2 |kernels|^2, added to the sum over steps


SPACE: Space = {
    "embedding": Choice((64, 128, 256)),
    "recurrent": Choice((100, 200, 400)),
    "latent": Choice((32, 64, 128)),
    "ahead": Choice((1, 2, 4, 8)),
    "dropout": Uniform(0, 0.6),
    "beta": Log(1e-3, 1),
    "l2": Log(0.1, 100),
    "learning_rate": Log(3e-4, 1e-2),
    "batch_size": LogIntegers(16, 64),
    "epochs": LogIntegers(4, 32),
}


def traits(config) -> Traits:
    """Return the traits of a model of histories: rows are read in order, without their values."""
    return Traits(
        task="ranking",
        reads="sequence",
        l2=config.l2,
        training={
            "epochs": 8, "batch_size": 32, "buckets": 6, "learning_rate": 3e-3,
            "schedule": "cosine", "warmup": 0.1, "evaluate_every": 2,
        },
    )  # fmt: skip


class Network(nn.Module):
    """GRU, encoder, decoder. Histories are read as `Rows` with entries [C]."""

    config: Any  # with the widths of `Config`
    num_columns: int

    def setup(self) -> None:
        c = self.config
        activation, linear = activations.get(c.activation), activations.get("identity")
        glorot, zeros = nn.initializers.glorot_uniform(), nn.initializers.zeros
        last = activations.describe(c.activation if c.hidden else c.latent_activation)
        gates, width = 3 * c.recurrent, (*c.hidden, c.latent)[0] + last.extra
        self.items = self.param("items", nn.initializers.normal(1), (self.num_columns, c.embedding))
        self.input_kernel = self.param("input_kernel", glorot, (c.embedding, gates))
        self.input_bias = self.param("input_bias", zeros, (gates,))
        self.kernel = self.param("kernel", nn.initializers.orthogonal(), (c.recurrent, gates))
        self.bias = self.param("bias", zeros, (c.recurrent,))
        self.encoder = layers.MLP((*c.hidden, 2 * c.latent), activation, linear)
        self.decoder = layers.MLP(c.hidden[::-1], activation, activation)
        self.latent_activation = activations.get(c.latent_activation)
        self.output_kernel = self.param("output_kernel", glorot, (width, self.num_columns))
        self.output_bias = self.param("output_bias", zeros, (self.num_columns,))

    def histories(self, x: Rows) -> tuple[jax.Array, jax.Array]:
        """Return the GRU's input: rows of a table [M, 3H], and the row of each step, [L, B].

        The table has all N items or only the entries of the batch, whichever are fewer.
        """
        histories = x.sequences(min(self.config.max_length, x.longest)).T
        vectors, read = jnp.pad(self.items, ((0, 1), (0, 0))), histories
        if histories.size < self.num_columns:
            vectors = vectors[histories.reshape(-1)]
            read = jnp.arange(histories.size).reshape(histories.shape)
        return vectors @ self.input_kernel + self.input_bias[None], read

    def states(self, x: Rows) -> jax.Array:
        """Return the GRU's state after each entry, [C, H]; zero where it is not read."""
        table, read = self.histories(x)
        states = recurrent.gru(table, read, self.kernel, self.bias)
        return states.at[x.places(len(read)), x.row].get(mode="fill", fill_value=0)

    def last(self, x: Rows) -> jax.Array:
        """Return the state after the last entry of each row, [B, H]; zero for an empty row."""
        table, read = self.histories(x)
        counts, capacity = jnp.minimum(x.counts(), len(read)), len(x.columns)
        return recurrent.last(table, read, counts, self.kernel, self.bias, capacity=capacity)

    def posterior(self, states: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean and log-variance of q(z | state), each [., K]."""
        mean, log_variance = jnp.split(self.encoder(states), 2, axis=1)
        return mean, log_variance

    def encode(self, x: Batch) -> jax.Array:
        """Return the activated mean of the code after the last entry, [B, K]."""
        return self.latent_activation(self.mean(x))

    def mean(self, x: Batch) -> jax.Array:
        return self.posterior(self.last(layers.rows(x)))[0]

    def hidden(self, z: jax.Array) -> jax.Array:
        """Apply the decoder but for its last layer to z [., K], which is not yet activated."""
        return self.decoder(self.latent_activation(z))

    def logits(self, hidden: jax.Array) -> jax.Array:
        return hidden @ self.output_kernel + self.output_bias[None]

    def __call__(self, x: Batch) -> jax.Array:
        return self.logits(self.query(x))

    def query(self, x: Batch) -> jax.Array:
        """Return the input of the last layer, [B, D]."""
        return self.hidden(self.mean(x))

    def codes(self) -> tuple[jax.Array, jax.Array]:
        """Return the last layer's kernel [N, D] and bias [N]."""
        return self.output_kernel.T, self.output_bias


def following(x: Rows, ahead: int) -> jax.Array:
    """Find the columns of the `ahead` entries after each entry in its row, [C, ahead]; N: none."""
    at = jnp.arange(len(x.row))[:, None] + jnp.arange(1, ahead + 1)[None]
    same = x.row.at[at].get(mode="fill", fill_value=-1) == x.row[:, None]
    return jnp.where(same, x.columns.at[at].get(mode="clip"), x.num_columns)


def draw(key: jax.Array, counted: jax.Array, share: float) -> tuple[jax.Array, jax.Array]:
    """Draw the entries that are scored: a random `share` of those that count.

    Args:
      counted: [C], whether the entry may be scored; `share` of C places are returned.
    """
    if share == 1:
        return jnp.arange(len(counted)), counted
    shuffled = jnp.argsort(jnp.where(counted, jax.random.uniform(key, counted.shape), 2))
    size = math.ceil(share * len(counted))
    return shuffled[:size], jnp.arange(size) < jnp.ceil(share * counted.sum())


def make(config: Config, facts: Facts) -> Model:
    """Build the model over histories of N items; scores are the decoder's logits [B, N]."""
    num_columns = facts.num_columns
    net = Network(config, num_columns)
    apply: Callable[..., Any] = net.apply

    def loss(params, x, key, step):
        """Sum the loss over the scored steps of each row, and count these steps.

        Both are scaled up to all steps that could have been scored.
        """
        x = layers.rows(x)
        draw_key, dropout_key, noise_key = jax.random.split(key, 3)
        targets = following(x, config.ahead)
        length = min(config.max_length, x.longest)
        counted = (targets[:, 0] < num_columns) & (x.places(length) < length)
        drawn, scored = draw(draw_key, counted, config.scored)
        states = apply(params, x, method="states")[drawn]
        states = layers.dropout(dropout_key, states, config.dropout)
        mean, log_variance = apply(params, states, method="posterior")
        noise = jax.random.normal(noise_key, mean.shape, mean.dtype)
        hidden = apply(params, mean + jnp.exp(log_variance / 2) * noise, method="hidden")
        targets = jnp.where(scored[:, None], targets[drawn], num_columns)
        output = params["params"]["output_kernel"], params["params"]["output_bias"]
        total = softmax.multinomial(hidden, *output, targets)
        total += losses.annealed(step, config.beta, config.anneal_steps) * losses.gaussian_kl(
            mean, log_variance
        )
        share = counted.sum() / jnp.maximum(scored.sum(), 1)  # of all to those scored
        total, weight = share * jnp.where(scored, total, 0), share * scored
        rows, none = x.row[drawn], jnp.zeros(x.shape[0])
        return none.at[rows].add(total, mode="drop"), none.at[rows].add(weight, mode="drop")

    return autoencoders.model(net, facts, traits(config), loss)
