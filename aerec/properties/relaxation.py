"""Lines under and over an activation, and the allowances for rounding they are widened by.

On [l, u] a line of any slope s bounds an activation a from below and above, moved by the extremes
of `a(t) - s t`. These are found on a grid that includes the kinks. Between grid points h apart, the
function departs from its chord by at most `curvature h^2 / 8`. So one rule is sound for every
activation of a catalogue and every slope.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

_GRID = 33
_FUNCTION = (
    1e-13  # relative error allowed to an activation's float64 evaluation, several hundred ulp
)

# What a sum of products, or an activation, may lose below the normal numbers, whether a platform
# rounds there or flushes to zero: 2^22 times the smallest normal number, for as many operations.
# A subnormal factor that is flushed loses that much times the other factor.
UNDERFLOW = 2.0**-1000


_call = jax.jit(lambda function, t: function(t), static_argnums=0)


def evaluate(activation: Any, t: np.ndarray) -> np.ndarray:
    """Evaluate an entry of a catalogue in float64."""
    with jax.enable_x64(True):
        return np.asarray(_call(activation.function, np.asarray(t, np.float64)))


def gamma(terms: int) -> float:
    """Bound on the relative rounding error of a float64 dot product of that many terms, doubled
    (Higham 2002, section 3.1)."""
    return 2.0 * (terms + 2) * float(np.finfo(np.float64).eps)


class Relaxation(NamedTuple):
    """An activation on boxes [low, high] of its m arguments.

    Attributes:
      grid: [G, m] points from low to high, kinks among them.
      values: [G, m] of the activation there.
      margin: [m] by how much a line must clear the values, for rounding and what lies between.
      slope: [m] of the chord from low to high.
      constants: [extra] coordinates that the activation adds in front.
      least, most: [extra + m] the range.
    """

    grid: np.ndarray
    values: np.ndarray
    margin: np.ndarray
    slope: np.ndarray
    constants: np.ndarray
    least: np.ndarray
    most: np.ndarray

    def lines(self, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what to add to `slope t` [..., m] to bound the activation: (under, over).

        Both are [..., extra + m]; of an added coordinate they are its value.
        """
        gap = self.values - slope[..., None, :] * self.grid
        reach = np.maximum(abs(self.grid[0]), abs(self.grid[-1]))
        product = 4 * np.finfo(float).eps * abs(slope) * reach
        margin = self.margin + product + UNDERFLOW * (abs(slope) + reach)
        return self.join(gap.min(axis=-2) - margin), self.join(gap.max(axis=-2) + margin)

    def join(self, values: np.ndarray) -> np.ndarray:
        """Put the added coordinates in front of values [..., m]."""
        front = np.broadcast_to(self.constants, (*values.shape[:-1], len(self.constants)))
        return np.concatenate([front, values], axis=-1)


def relax(activation: Any, low: np.ndarray, high: np.ndarray) -> Relaxation:
    """Relax an entry of a catalogue on [low, high], vectors [m].

    Raises:
      OverflowError: the activation, or what it is given, is not finite.
    """
    width = high - low
    kinks = [np.clip(np.full_like(low, kink), low, high) for kink in activation.kinks]
    grid = np.linspace(low, high, _GRID)
    grid = np.sort(np.stack([*grid, *kinks]), axis=0)
    grid[0], grid[-1] = low, high
    values = evaluate(activation, grid)
    constants = values[0, : activation.extra]
    values = values[:, activation.extra :]
    if not (np.isfinite(values).all() and np.isfinite(grid).all()):
        raise OverflowError(f"{activation.name} overflows on the box: make the box smaller")
    slope = np.where(width > 0, (values[-1] - values[0]) / np.where(width > 0, width, 1.0), 0.0)
    step = np.diff(grid, axis=0).max(axis=0)
    curvature = np.exp(high) if np.isinf(activation.curvature) else activation.curvature
    bulge = curvature * step * step / 8 * (1 + 1e-9)  # 0 without curvature, however large the step
    error = _FUNCTION * (abs(values).max(axis=0) + (activation.low > 0)) + UNDERFLOW
    small = 0.0 if activation.monotone else bulge
    shifted = not activation.extra and activation.low > 0  # a sum with 1 or so: absolute errors
    relative = _FUNCTION * (abs(values) + shifted) + UNDERFLOW
    least = (values - relative).min(axis=0) - small
    most = (values + relative).max(axis=0) + small
    if not activation.extra:  # the declared range, widened by what evaluation can round away
        floor, ceiling = activation.low, activation.high
        least = np.maximum(least, floor - _FUNCTION * (1 + abs(floor)) if floor else 0.0)
        most = np.minimum(most, ceiling + _FUNCTION * (1 + abs(ceiling)))
    found = Relaxation(grid, values, bulge + error, slope, constants, least, most)
    return found._replace(least=found.join(least), most=found.join(most))
