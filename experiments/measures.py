"""What the codes of an autoencoder do to similarity, on users that were held out."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from aerec.core import Table
from aerec.data.splits import Heldout

PAIRS = 4000  # pairs of items per user
BEST = 200  # items of a user among which pairs are drawn, too


class Pairs(NamedTuple):
    """Pairs of items of R users, [R, P] each: `first` should score higher; `weight` is 0 or 1."""

    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray


def pairs(truth: np.ndarray, held: Heldout) -> dict[str, Pairs]:
    """Draw the pairs that codes are judged on, the same for all codes of a data set.

    Args:
      truth: the dot products of the feature vectors [R, N].
      held: the fold-in and the held-out items of the R users.

    Returns:
      `order` and `order_top`: any two items, in the order of the truth. `auc` and `auc_top`: a
      held-out item above another unseen one. Those with `_top` are among the `BEST` items of the
      user by the truth. Pairs without an order have weight 0.
    """
    seen, target = dense(held.input, truth.shape), dense(held.target, truth.shape)
    best = np.argsort(-truth, axis=1, kind="stable")[:, :BEST]
    whole = np.broadcast_to(np.arange(truth.shape[1]), truth.shape)
    rng = np.random.default_rng(0)
    return {
        "order": _ordered(truth, *_drawn(rng, whole)),
        "order_top": _ordered(truth, *_drawn(rng, best)),
        "auc": _clicked(rng, target, ~seen & ~target),
        "auc_top": _clicked(
            rng, target & (among := _inside(best, truth.shape)), ~seen & ~target & among
        ),
    }


def shares(scores: np.ndarray, judged: Mapping[str, Pairs]) -> dict[str, float]:
    """Return the share of each kind of pairs that scores [R, N] order rightly, a tie as one half.

    It is the mean over the users who have a pair.
    """
    found = {}
    for name, own in judged.items():
        ahead, behind = (np.take_along_axis(scores, side, axis=1) for side in own[:2])
        right = ((ahead > behind) + 0.5 * (ahead == behind)) * own.weight
        count = own.weight.sum(axis=1)
        found[name] = float(np.mean(right.sum(axis=1)[count > 0] / count[count > 0]))
    return found


def of_codes(scores: np.ndarray, items: np.ndarray, encoded: np.ndarray) -> dict[str, float]:
    """Compute the measures that need no truth.

    Args:
      scores: similarities of codes [R, N].
      items: the codes of the items [N, D], as they are compared.
      encoded: the codes of users and items [M, m], as the encoder gives them.

    Returns:
      `zero`, the share of codes of zeros (P3); `flat`, of users whose scores are all alike (P3');
      `gap`, the median difference of two items' scores, in standard deviations of the user's
      scores; `rank`, the effective rank of the item codes (Roy, Vetterli: *The effective rank*,
      EUSIPCO 2007).
    """
    spectrum = np.sqrt(np.maximum(np.linalg.eigvalsh(items.T @ items), 0))
    part = spectrum[spectrum > 0] / max(spectrum.sum(), 1e-300)
    spread = scores.std(axis=1)
    u, v = np.random.default_rng(0).integers(0, scores.shape[1], (2, PAIRS))
    own = (scores / np.where(spread, spread, 1)[:, None])[spread > 0]
    apart = np.abs(own[:, u] - own[:, v])
    return {
        "zero": float(np.mean(~encoded.any(axis=1))),
        "flat": float(np.mean(spread == 0)),
        "gap": float(np.median(apart)) if apart.size else 0.0,
        "rank": float(np.exp(-np.sum(part * np.log(part)))),
    }


def dense(table: Table, shape: tuple[int, int]) -> np.ndarray:
    """Return which entries a table has, [R, N] bool."""
    row, column, _ = table.entries()
    out = np.zeros(shape, bool)
    out[row, column] = True
    return out


def _drawn(rng: np.random.Generator, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw two items [R, P] from each row of `among` [R, K]."""
    drawn = rng.integers(0, among.shape[1], (2, len(among), PAIRS))
    return np.take_along_axis(among, drawn[0], 1), np.take_along_axis(among, drawn[1], 1)


def _ordered(truth: np.ndarray, u: np.ndarray, v: np.ndarray) -> Pairs:
    margin = np.take_along_axis(truth, u, 1) - np.take_along_axis(truth, v, 1)
    return Pairs(np.where(margin > 0, u, v), np.where(margin > 0, v, u), margin != 0)


def _clicked(rng: np.random.Generator, wanted: np.ndarray, others: np.ndarray) -> Pairs:
    """Draw pairs of a wanted and another item, each [R, N] bool."""
    sides = []
    for allowed in (wanted, others):
        first = np.argsort(~allowed, axis=1, kind="stable")  # the allowed ones come first
        count = allowed.sum(axis=1, keepdims=True)
        number = (rng.random((len(allowed), PAIRS)) * count).astype(int)
        sides.append(np.take_along_axis(first, number, 1))
    some = (wanted.any(axis=1) & others.any(axis=1)).reshape(-1, 1)
    return Pairs(sides[0], sides[1], np.broadcast_to(some, sides[0].shape))


def _inside(items: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape, bool)
    np.put_along_axis(out, items, True, axis=1)
    return out
