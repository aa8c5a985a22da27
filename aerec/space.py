"""Search spaces: for each setting that a search varies, the values it may have.

    SPACE = {"l2": Log(1, 1e4), "latent": Choice((64, 128, 200))}

`at(share)` is the quantile function of a distribution: a share uniform on [0, 1) gives a value of
it. Numbers are rounded to three significant digits, so that a setting can be read and typed.
"""

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Numbers from `low` to `high`, uniformly."""

    low: float
    high: float

    def at(self, share: float) -> float:
        """Return the value below which the given share of the values lies."""
        return rounded(self.low + share * (self.high - self.low))


@dataclasses.dataclass(frozen=True)
class Log:
    """Positive numbers from `low` to `high`, whose logarithm is uniform."""

    low: float
    high: float

    def at(self, share: float) -> float:
        """Return the value below which the given share of the values lies."""
        return rounded(self.low * (self.high / self.low) ** share)


@dataclasses.dataclass(frozen=True)
class LogIntegers:
    """Whole numbers from `low`, at least 1, to `high`, with a uniform logarithm before rounding."""

    low: int
    high: int

    def at(self, share: float) -> int:
        """Return the value below which the given share of the values lies."""
        ratio = (self.high + 1) / self.low
        return min(self.high, math.floor(self.low * ratio**share))


@dataclasses.dataclass(frozen=True)
class Choice:
    """Some values, equally likely."""

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """Return the value below which the given share of the values lies."""
        return self.values[int(share * len(self.values))]


Space = dict[str, Uniform | Log | LogIntegers | Choice]

TRAINING: Space = {  # of models trained by gradients
    "learning_rate": Log(1e-4, 1e-2),
    "batch_size": LogIntegers(16, 512),
    "epochs": LogIntegers(20, 120),
}


def rounded(value: float) -> float:
    """Round to three significant digits."""
    return float(f"{value:.3g}")
