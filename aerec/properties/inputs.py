"""Item codes, queries and users' items as arrays, checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def items(
    item_codes: Any, item_bias: Any, bound: float | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check item codes [I, d], their bias [I] and the bound; the arrays as float64."""
    codes = _finite(item_codes, "item_codes", 2)
    bias = None if item_bias is None else _finite(item_bias, "item_bias", 1)
    if bias is not None and len(bias) != len(codes):
        raise ValueError(f"item_bias of {len(bias)} items, but item_codes of {len(codes)}")
    if len(codes) < 2:
        raise ValueError(f"item_codes of {len(codes)} items: a ranking has at least 2")
    if codes.shape[1] == 0 and (bias is None or np.ptp(bias) == 0):
        raise ValueError("item_codes without coordinates: every query ranks all items equally")
    if bound is not None and not bound > 0:
        raise ValueError(f"bound = {bound}: the largest size of a query's coordinate is positive")
    return codes, bias


def queries(values: Any, codes: np.ndarray) -> np.ndarray:
    """Check queries [U, d], at least one."""
    asked = _finite(values, "queries", 2)
    if asked.shape[1] != codes.shape[1] or not len(asked):
        raise ValueError(f"queries of shape {asked.shape}, but item_codes {codes.shape}")
    return asked


def _finite(values: Any, name: str, axes: int) -> np.ndarray:
    """An array of numbers without NaN and infinities."""
    array = np.asarray(values, np.float64)
    if array.ndim != axes:
        raise ValueError(f"{name} has {array.ndim} axes, not {axes}")
    if wrong := np.argwhere(~np.isfinite(array)).tolist():
        raise ValueError(f"{name} has {array[tuple(wrong[0])]} at {wrong[0]}")
    return array


def users(
    targets: Sequence[Any], seen: Sequence[Any], count: int, *, name: str = "targets"
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each user's held-out items, and the items that are neither held-out nor seen."""
    if len(targets) != len(seen) or not len(targets):
        raise ValueError(f"{name} of {len(targets)} users and seen items of {len(seen)}")
    found = []
    for u, (held_out, skipped) in enumerate(zip(targets, seen, strict=True)):
        kept = _numbers(held_out, count, f"{name}[{u}]")
        skip = _numbers(skipped, count, f"seen[{u}]")
        if not len(kept) or len(np.unique(kept)) < len(kept):
            raise ValueError(f"{name}[{u}] is empty or has an item twice")
        if len(both := np.intersect1d(kept, skip)):
            raise ValueError(f"item {both[0]} is in {name}[{u}] and in seen[{u}]")
        left = np.ones(count, bool)
        left[kept] = left[skip] = False
        found.append((kept, np.flatnonzero(left)))
    return found


def _numbers(values: Any, count: int, name: str) -> np.ndarray:
    """Check numbers of items."""
    array = np.asarray(values)
    if not array.size:
        return np.zeros(0, int)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} is not a list of item numbers")
    if not 0 <= array.min() <= array.max() < count:
        raise ValueError(f"{name} has items from {array.min()} to {array.max()}, of {count}")
    return array
