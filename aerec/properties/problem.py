"""What an audit examines: two encoders, a domain, two similarities, and what counts as a tie."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from aerec.properties import order
from aerec.properties.domain import Data, Domain, Separated
from aerec.properties.encoder import Encoder

SINGLE = float(np.finfo(np.float32).eps)


class Problem(NamedTuple):
    """Does `<x, u> <= <x, v>` imply `<f(x), g(u)> <= <f(x), g(v)>` for the triples of a domain?

    Attributes:
      users: f, the encoder of x.
      items: g, the encoder of u and v; the same object as f unless there are two towers.
      domain: where the triples come from.
      truth, latent: the true similarity and that of the codes, "dot" or "cosine".
      true_ties, latent_ties: the largest relative margins that count as ties.
    """

    users: Encoder
    items: Encoder
    domain: Domain
    truth: str
    latent: str
    true_ties: float
    latent_ties: float

    @property
    def towers(self) -> bool:
        """Whether users and items have encoders of their own."""
        return self.users is not self.items

    @property
    def n(self) -> int:
        return self.users.n

    @property
    def m(self) -> int:
        return self.users.m

    @property
    def traceable(self) -> bool:
        return self.users.traceable and self.items.traceable

    @property
    def data(self) -> Data:
        """The domain, which is data."""
        assert isinstance(self.domain, Data)
        return self.domain

    @property
    def eps(self) -> float:
        """Machine epsilon of the coarser code."""
        return max(self.users.eps, self.items.eps)

    def native(self, x: Any, u: Any, v: Any) -> tuple[Any, Any, Any]:
        """Encode x, u, v [B, n], in the precision of use: three arrays [B, m]."""
        return self._encode(self.users.native, self.items.native, x, u, v)

    def exact(self, x: Any, u: Any, v: Any) -> tuple[Any, Any, Any]:
        """Encode x, u, v [B, n] in float64, outside JAX."""
        return self._encode(self.users.exact, self.items.exact, x, u, v)

    def _encode(self, f, g, x, u, v):
        if self.towers:
            codes = g(_join([u, v]))
            return f(x), codes[: len(u)], codes[len(u) :]
        codes = f(_join([x, u, v]))  # one call
        return codes[: len(x)], codes[len(x) : len(x) + len(u)], codes[len(x) + len(u) :]


def pose(
    users: Encoder,
    domain: Domain,
    *,
    items: Encoder | None = None,
    truth: str = "dot",
    latent: str = "dot",
) -> Problem:
    """Make a problem, with the tolerances of its dimensions and formats.

    The latent tolerance is doubled, so that rounding near the threshold of a true tie does not
    count as a broken tie.

    Args:
      items: the encoder of u and v, if it is not that of x.

    Raises:
      ValueError: dimensions that do not go together, or cosines on separated boxes.
    """
    items = users if items is None else items
    if isinstance(domain, Separated) and truth != "dot":
        raise ValueError(f"{domain.name}: it separates dot products, not cosines")
    for encoder in (users, items):
        if encoder.n != domain.dimension:
            where = f"the domain is in R^{domain.dimension}"
            raise ValueError(f"the encoder takes R^{encoder.n}, {where}")
    if users.m != items.m:
        raise ValueError(f"codes of users in R^{users.m}, of items in R^{items.m}: no dot product")
    n, eps = users.n, max(users.eps, items.eps, SINGLE)
    ties = order.tolerance(SINGLE, n), 2 * order.code_tolerance(eps, n, users.m)
    return Problem(users, items, domain, truth, latent, *ties)


def _join(parts: list) -> Any:
    return (np if isinstance(parts[0], np.ndarray) else jnp).concatenate(parts)
