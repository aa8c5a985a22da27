"""Is the encoder what the caller declares? A certificate of another function proves nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties import bounds, order
from aerec.properties.encoder import Encoder
from aerec.properties.problem import SINGLE

_PROBES = 64
_ROOM = 16.0  # of the tie tolerance: rounding that several layers accumulate


def check(
    encoder: Encoder,
    points: np.ndarray,
    *,
    network: bounds.Network | None = None,
    activation: Any = None,
) -> None:
    """Compare an encoder with its declared layers and its declared last activation.

    Args:
      points: [B, n].
      network: whose codes must be those of the encoder, within rounding.
      activation: in whose range `[low, high]` the codes must lie, after its constant coordinates.

    Raises:
      ValueError: they differ, with the first such point; or the network has another activation.
    """
    points = np.asarray(points[:_PROBES], np.float64)
    codes = encoder.exact(points)
    size = float(abs(codes).max(initial=0.0))
    room = _ROOM * order.code_tolerance(max(encoder.eps, SINGLE), encoder.n, encoder.m)
    if network is not None:
        if activation is not None and activation.name != network[-1].activation.name:
            last = network[-1].activation.name
            raise ValueError(f"activation={activation.name}, but the network ends with {last}")
        with jax.enable_x64(True):
            theirs = np.asarray(bounds.apply(network, jnp.asarray(points)), np.float64)
        if theirs.shape != codes.shape:
            raise ValueError(f"the network's codes are {theirs.shape}, the encoder's {codes.shape}")
        off = abs(codes - theirs).max(axis=1) > room * max(size, float(abs(theirs).max()))
        _refuse(off, points, "the code of the network is another than that of the encoder")
        activation = network[-1].activation
    if activation is not None:
        with jax.enable_x64(True):
            constants = np.asarray(activation.function(jnp.zeros(1)))[: activation.extra]
        low, high = activation.low, activation.high
        ends = np.array([abs(end) for end in (low, high, *constants) if np.isfinite(end)])
        slack = room * float(ends.max(initial=0.0))
        rest = codes[:, activation.extra :]
        off = ((rest < low - slack) | (rest > high + slack)).any(axis=1)
        off |= (abs(codes[:, : activation.extra] - constants[None]) > slack).any(axis=1)
        _refuse(off, points, f"the code is outside the range of {activation.name}, as declared")


def _refuse(off: np.ndarray, points: np.ndarray, what: str) -> None:
    if off.any():
        shown = np.array2string(points[np.argmax(off)], precision=4, threshold=12)
        raise ValueError(f"{what}, for {off.sum()} of {len(off)} inputs; the first is {shown}")
