"""What an audit may spend: a number of sampled triples, or seconds that cover all of its parts."""

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from aerec.properties.encoder import Encoder

T = TypeVar("T")
now = time.monotonic


class Spent(BaseException):
    """The seconds of a part are over. A BaseException, so that encoders do not catch it."""


class Budget:
    """A number of triples, or seconds.

    Each part of an audit has a share of the seconds that are left when it begins. It is interrupted
    at the next call of an encoder. A program that JAX has compiled is not interrupted.

    Args:
      amount: triples, or seconds as "30s".

    Attributes:
      triples: to sample; 2^62 for seconds.
      seconds: for all parts; infinite for triples.
      cost: seconds per row of an encoder that JAX cannot trace; 0 for all others.
      cut: the names of the interrupted parts.

    Raises:
      ValueError: neither of the two.
    """

    def __init__(self, amount: int | str):
        self.triples, self.seconds = _parse(amount)
        self.cost, self.cut = 0.0, list[str]()
        self._start, self._end = now(), math.inf

    @property
    def elapsed(self) -> float:
        """Seconds since the start, and those of the runs before."""
        return now() - self._start

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self.seconds - self.elapsed)

    def spend(self, seconds: float) -> None:
        """Count seconds of an earlier run."""
        self._start -= seconds

    def measure(self, encoder: Encoder) -> None:
        """Measure the cost of a row, unless JAX traces the encoder."""
        if not encoder.traceable:
            begun = now()
            encoder.native(np.linspace(-1.0, 1.0, 8 * encoder.n).reshape(8, -1))
            self.cost = max(self.cost, (now() - begun) / 8)

    def reserve(self, rows: int) -> None:
        """Let all parts end earlier, by the cost of so many rows, at most by half the seconds."""
        self.seconds -= min(self.seconds / 2, rows * self.cost)

    def rows(self, share: float) -> int:
        """Return how many rows an encoder can encode within a share of the seconds left."""
        if not self.cost or self.left == math.inf:
            return 2**62
        return int(share * self.left / self.cost)

    def check(self) -> None:
        """Raise Spent if the present part is over."""
        if now() > self._end:
            raise Spent

    def guard(self, function: Callable) -> Callable:
        """Let a function check the budget before it is called."""

        def guarded(*args):
            self.check()
            return function(*args)

        return guarded

    def part(self, name: str, share: float, work: Callable[[], T], otherwise: Any = None) -> T:
        """Do a part within a share of the seconds left; return `otherwise` if it is cut."""
        self._end = now() + share * self.left
        try:
            return work()
        except Spent:
            self.cut.append(name)
            return otherwise
        finally:
            self._end = math.inf


def _parse(amount: int | str) -> tuple[int, float]:
    try:
        if isinstance(amount, str) and amount.endswith("s"):
            if 0 < (seconds := float(amount[:-1])) < math.inf:
                return 2**62, seconds
        elif not isinstance(amount, bool) and int(float(amount)) > 0:
            return int(float(amount)), math.inf
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"budget {amount!r}: a number of triples, 1e7, or of seconds, '30s'")
