"""What an audit examines: two encoders, a domain, two similarities, and what counts as a tie."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from aerec.properties import order
from aerec.properties.domain import Data, Domain, Separated
from aerec.properties.encoder import COARSE, Encoder, resolution

SINGLE = float(np.finfo(np.float32).eps)


class Problem(NamedTuple):
    """Does `<x, u> <= <x, v>` imply `<f(x), g(u)> <= <f(x), g(v)>` for the triples of a domain?

    Attributes:
      users: f, the encoder of x.
      items: g, the encoder of u and v; the same object as f unless there are two towers.
      domain: where the triples come from.
      truth, latent: the true similarity and that of the codes, "dot" or "cosine".
      true_ties, latent_ties: the largest relative margins that count as ties.
      eps: machine epsilon of the coarser code.
      fixed: coordinates in which all items' codes agree, as far as is known.
    """

    users: Encoder
    items: Encoder
    domain: Domain
    truth: str
    latent: str
    true_ties: float
    latent_ties: float
    eps: float
    fixed: tuple[int, ...] = ()

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
    def resolved(self) -> float:
        """The relative margin up to which rounding of one code may change the order."""
        return order.code_tolerance(max(self.eps, SINGLE), self.n, self.m)

    def margin(self, x: Any, u: Any, v: Any) -> Any:
        """Compute relative latent margins of codes [..., m]."""
        return order.code_margin(x, u, v, kind=self.latent, fixed=self.fixed)

    def informed(self, codes: tuple[np.ndarray, np.ndarray]) -> "Problem":
        """Return the problem with what codes f(x) [A, m] and g(u) [B, m] of a sample show.

        They may fit a coarser format than they come in, and have constant coordinates.
        """
        eps = max(self.eps, *(resolution(part.astype(np.float64), *COARSE) for part in codes))
        fixed = np.flatnonzero((codes[1] == codes[1][:1]).all(axis=0)).tolist()
        known = self._replace(eps=eps, fixed=tuple(fixed))
        return known._replace(latent_ties=2 * known.resolved)

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
    ties, eps = order.tolerance(SINGLE, users.n), max(users.eps, items.eps)
    problem = Problem(users, items, domain, truth, latent, ties, 0.0, eps)
    return problem._replace(latent_ties=2 * problem.resolved)


def _join(parts: list) -> Any:
    return (np if isinstance(parts[0], np.ndarray) else jnp).concatenate(parts)
