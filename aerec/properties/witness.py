"""Witnesses: three vectors that refute order preservation, checked outside JAX.

A witness (x, u, v) has `<x, v> <= <x, u>` and `<f(x), f(v)> > <f(x), f(u)>`. The sign of the true
margin is computed in rational arithmetic from the float64 coordinates, so it is exact. The latent
margin is computed by NumPy from codes in float64. It must exceed the tie tolerance and, in a
continuous domain, persist under changes of the three inputs by a rounding error. The tolerance is
never below that of float32: weights are rounded to float32, so a rotation is one to that precision
only and must not be refuted for it.
"""

import dataclasses
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np

from aerec import files
from aerec.properties import order
from aerec.properties.domain import Data
from aerec.properties.encoder import resolution
from aerec.properties.problem import Problem

_COPIES = 8  # of a candidate, with inputs changed by a few units in the last place
_WIDE = 1024  # the finite construction uses at most this many coordinates, or m + 1
_PATTERNS = 64  # candidates for b
_CHUNK = 512  # rows of the finite construction's table held at once


@dataclasses.dataclass(frozen=True, repr=False)
class Witness:
    """One violation of P2.

    Attributes:
      x, u, v: [n] float64.
      kind: "strict", or "tie" if the true scores are exactly equal.
      source: the method that found it.
      true_margin: the true score of u minus that of v, at least 0.
      latent_margin: the latent score of u minus that of v, below 0.
      true_relative, latent_relative: the same over `|x| max(|u|, |v|)`.
      native_margin: the relative latent margin in the encoder's own precision.
      tolerance: of latent ties, relative.
    """

    x: np.ndarray
    u: np.ndarray
    v: np.ndarray
    kind: str
    source: str
    true_margin: float
    latent_margin: float
    true_relative: float
    latent_relative: float
    native_margin: float
    tolerance: float

    def __repr__(self) -> str:
        """Show the margins, without the vectors."""
        return (
            f"Witness in R^{len(self.x)} ({self.kind}, by {self.source}): true margin"
            f" {self.true_margin:.4g}, latent margin {self.latent_margin:.4g}"
        )

    def to_dict(self) -> dict:
        """Convert to types of JSON; a sparse vector becomes index -> value."""
        fields = dataclasses.asdict(self)
        for name in ("x", "u", "v"):
            vector = fields[name]
            listed = np.flatnonzero(vector)
            sparse = {str(i): float(vector[i]) for i in listed}
            fields[name] = sparse if 2 * len(listed) < len(vector) else vector.tolist()
        return fields

    @classmethod
    def from_dict(cls, fields: dict, n: int) -> "Witness":
        """Rebuild a witness from `to_dict`; n is the dimension of its vectors."""
        vectors = {name: np.zeros(n) for name in ("x", "u", "v")}
        for name, vector in vectors.items():
            given = fields[name]
            for i, value in given.items() if isinstance(given, dict) else enumerate(given):
                vector[int(i)] = value
        return cls(**{**fields, **vectors})

    def save(self, path: Path) -> None:
        """Write the vectors to `.npz` and all fields to `.json`; `path` has no suffix."""
        files.write_arrays(path.with_suffix(".npz"), {"x": self.x, "u": self.u, "v": self.v})
        files.write_text(path.with_suffix(".json"), json.dumps(self.to_dict(), indent=1))


def recheck(
    problem: Problem, x: np.ndarray, u: np.ndarray, v: np.ndarray, *, source: str
) -> Witness | None:
    """Return the triple as a `Witness` if it is one, with u and v swapped if needed; else None."""
    x, u, v = (np.asarray(a, np.float64) for a in (x, u, v))
    if not problem.domain.admits(x, u, v):
        return None
    truth, latent = problem.truth, problem.latent
    true = _exact_margin(x, u, v, truth)
    size = len(x)
    changes = _COPIES if problem.domain.continuous else 0  # which would leave a discrete domain
    wobble = np.random.default_rng(0).choice([-2.0, -1.0, 1.0, 2.0], (changes, 3, size))
    copies = np.stack([x, u, v]) * (1.0 + np.finfo(np.float64).eps * wobble)
    inputs = np.concatenate([np.stack([x, u, v])[None], copies])
    codes = np.stack(problem.exact(*inputs.swapaxes(0, 1)), axis=1)
    if not np.isfinite(codes).all():
        return None
    margins = problem.margin(codes[:, 0], codes[:, 1], codes[:, 2])
    if true < 0 or (true == 0 and margins[0] > 0):
        u, v, codes, margins, true = v, u, codes[:, [0, 2, 1]], -margins, -true
    eps = max(problem.eps, resolution(codes))
    ties = problem._replace(eps=eps).resolved
    noise = abs(margins[1:] - margins[0]).max(initial=0.0)
    if not margins[0] < -(ties + 4.0 * noise):
        return None
    singles = (a[None].astype(np.float32) for a in (x, u, v))
    native = [np.asarray(code, np.float64)[0] for code in problem.native(*singles)]
    with np.errstate(all="ignore"):  # values of float64 may overflow in either
        native_margin = float(problem.margin(*native))
        latent_margin = float(codes[0, 0] @ (codes[0, 1] - codes[0, 2]))
    if latent == "cosine":
        latent_margin = float(margins[0])
    return Witness(
        x=x, u=u, v=v,
        kind="tie" if true == 0 else "strict",
        source=source,
        true_margin=float(true),
        latent_margin=latent_margin,
        true_relative=float(order.relative_margin(x, u, v, kind=truth)),
        latent_relative=float(margins[0]),
        native_margin=native_margin,
        tolerance=ties,
    )  # fmt: skip


def finite(problem: Problem, *, reach: float = math.inf) -> Witness | None:
    """Find a violation by the construction of theorem A, among ties of n + 2 points.

    The points are 0, b and u_1..u_n with `u_i = |b|^2 / b_i e_i`. If n is large, they span a
    subspace of m + 1 or more dimensions, in which the theorem holds as well. The coordinates of b
    are powers of two, so that all ties are exact in floating point: `<0, u_i> = <0, 0>`,
    `<b, u_i> = <b, b>`, `<u_i, u_j> = <u_i, 0>`. A triple must lie in the domain. At several
    scales, the b whose codes are farthest from f(0) are tried. The strongest violation of the first
    b that has one is made strict and returned. The search is deterministic. It applies to true dot
    products and a single encoder, and returns None otherwise. No point has a norm above `reach`.
    """
    if problem.truth != "dot" or problem.towers:
        return None
    encoder, domain, n = problem.users, problem.domain, problem.n
    k = n if n <= _WIDE else min(n, max(_WIDE, encoder.m + 1))
    support = np.linspace(0, n - 1, k).astype(int)  # theorem A holds on any subspace, k > m
    draw = np.random.default_rng(0)
    patterns = np.ones((_PATTERNS, k))
    patterns[1:] = np.where(draw.random((_PATTERNS - 1, k)) < 0.5, -1.0, 1.0)
    patterns[_PATTERNS // 2 :] *= 2.0 ** draw.integers(-3, 4, (_PATTERNS - _PATTERNS // 2, k))

    def encoded(points):
        inside = domain.contains(points) & (np.linalg.norm(points, axis=1) <= reach)
        codes = np.zeros((len(points), encoder.m))
        if inside.any():
            codes[inside] = encoder.exact(points[inside])
            inside &= np.isfinite(codes).all(axis=1)  # some encoders overflow at large scales
            codes[~inside] = 0.0
        return codes, inside

    for power in (0, -3, 3, -8, 8, -16, 16):
        points = np.zeros((_PATTERNS + 1, n))
        points[1:, support] = 2.0**power * patterns
        codes, inside = encoded(points)
        far = np.linalg.norm(codes[1:] - codes[0], axis=1) * inside[1:]
        for choice in np.argsort(-far, kind="stable")[:3]:
            if not far[choice]:  # theorem A requires f(b) != f(0)
                break
            b = 2.0**power * patterns[choice]
            points = np.zeros((k + 2, n))
            points[1, support] = b
            points[np.arange(2, k + 2), support] = (b @ b) / b
            codes, inside = encoded(points)
            for x, u, v in _strongest_tie(codes, inside, problem.latent):
                triple = points[x], points[u], points[v]
                found = recheck(problem, *triple, source="finite construction")
                if found is not None:
                    return make_strict(problem, found)
    return None


def make_strict(problem: Problem, witness: Witness) -> Witness:
    """Turn a witness that is a tie into a strict one.

    u moves along x (or x along u - v, if x is 0) until its true score is strictly higher and its
    latent score still lower. Where f jumps, the tie itself is returned.
    """
    if witness.kind == "strict" or problem.truth != "dot" or not problem.domain.continuous:
        return witness
    x, u, v = witness.x, witness.u, witness.v
    for power in range(3, 40, 3):
        if x.any():
            shift = 2.0**-power * float(max(np.linalg.norm(u), np.linalg.norm(v)))
            triple = (x, u + shift * order.unit(x), v)
        else:
            triple = (2.0**-power * (u - v), u, v)
        strict = recheck(problem, *triple, source=witness.source)
        if strict is not None and strict.kind == "strict" and np.array_equal(strict.v, v):
            return strict
    return witness


def shrink(problem: Problem, witness: Witness, *, keep: float = 0.2) -> Witness:
    """Simplify a witness: few non-zeros, then few digits.

    The simpler witness must preserve at least the share `keep` of both relative margins. Rows of
    data are left unchanged.
    """
    if isinstance(problem.domain, Data):
        return witness
    best = witness

    def attempt(x, u, v) -> bool:
        nonlocal best
        new = recheck(problem, x, u, v, source=witness.source)
        good = (
            new is not None
            and new.latent_relative <= keep * witness.latent_relative
            and new.true_relative >= keep * witness.true_relative
        )
        if good and new is not None:
            best = new
        return good

    scale = abs(np.stack([best.x, best.u, best.v])).max()
    if scale > 0 and not 1e-3 < scale < 1e3:
        attempt(*(a * 2.0 ** -np.round(np.log2(scale)) for a in (best.x, best.u, best.v)))
    count = 1
    while count < len(witness.x):
        if attempt(*(_largest(a, count) for a in (best.x, best.u, best.v))):
            break
        count *= 2
    for digits in range(5):
        if attempt(*(_rounded(a, digits) for a in (best.x, best.u, best.v))):
            break
    return best


def _strongest_tie(codes: np.ndarray, inside: np.ndarray, latent: str) -> list:
    """Return index triples (x, u, v) of tied points with the largest relative latent margins."""
    if latent == "cosine":
        codes = order.unit(codes)
    elif inside.any():
        codes = codes * (codes[inside] != codes[inside][:1]).any(axis=0)  # constants say nothing
    z = codes / order.safe(abs(codes).max())
    norm = np.linalg.norm(z, axis=1)
    g = z - z[0]
    found = []

    def offer(values, x, u, v):
        values = np.where(inside[x] & inside[u] & inside[v], abs(values), 0.0)
        flat = int(np.argmax(values))
        pick = np.broadcast_arrays(x, u, v)
        if values.flat[flat] > 0:
            found.append((values.flat[flat], *(int(a.flat[flat]) for a in pick)))

    items = np.arange(2, len(z))
    size = lambda x, u, v: order.safe(norm[x] * np.maximum(norm[u], norm[v]))  # noqa: E731
    offer(g[1:] @ z[0] / size(0, np.arange(1, len(z)), 0), np.array(0), np.arange(1, len(z)),
          np.array(0))  # fmt: skip
    offer((z[items] - z[1]) @ z[1] / size(1, items, 1), np.array(1), items, np.array(1))
    for start in range(0, len(items), _CHUNK):
        left = items[start : start + _CHUNK]
        table = z[left] @ g[items].T / size(left[:, None], items[None], 0)
        table[left[:, None] == items[None]] = 0.0
        offer(table, left[:, None], items[None], np.array(0))
    return [(x, u, v) for _, x, u, v in sorted(found, reverse=True)]


def _exact_margin(x: np.ndarray, u: np.ndarray, v: np.ndarray, truth: str) -> float:
    """Compute `<x, u> - <x, v>`, or the difference of cosines, with its exact sign.

    Cosines are not rational, but `sign(a) a^2 / |u|^2` with `a = <x, u>` is, and ranks as they do.
    A zero vector has cosine 0.
    """
    p, q, r = ([Fraction(value) for value in vector.tolist()] for vector in (x, u, v))
    if truth == "cosine":
        first, second = (
            a * abs(a) / _dot(w, w) if (a := _dot(p, w)) else Fraction(0) for w in (q, r)
        )
        sign = (first > second) - (first < second)
        size = abs(float(order.relative_margin(x, u, v, kind="cosine")))
        return sign * max(size, 5e-324) if sign else 0.0
    total = _dot(p, [a - b for a, b in zip(q, r, strict=True)])
    if total == 0:
        return 0.0
    try:
        return float(total) or math.copysign(5e-324, total)
    except OverflowError:
        return math.copysign(1.7e308, total)


def _dot(a: list[Fraction], b: list[Fraction]) -> Fraction:
    return sum((p * q for p, q in zip(a, b, strict=True) if p and q), Fraction(0))


def _largest(a: np.ndarray, count: int) -> np.ndarray:
    out = np.zeros_like(a)
    top = np.argsort(-abs(a), kind="stable")[:count]
    out[top] = a[top]
    return out


def _rounded(a: np.ndarray, digits: int) -> np.ndarray:
    size = abs(a).max()
    if size == 0:
        return a
    place = digits - int(np.floor(np.log10(size)))
    return np.round(a, place) if place >= 0 else np.round(a / 10.0**-place) * 10.0**-place
