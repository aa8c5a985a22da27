"""The hypotheses of the latent study as paired comparisons over test users, and their verdicts."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from aerec.evaluation import statistics
from experiments.latent_cells import EPOCHS, LINEAR, METRIC, PLAIN
from experiments.latent_outcomes import Group, Groups, Key, Outcome, grouped, plain

SAMPLES, CORRELATIONS = 10_000, 2000  # of a bootstrap
LEVEL = 0.05
NEAR = 0.005  # N@100 that counts as no loss
STEPS = (  # from a sigmoid to a tanh
    ("offset", "experiments.sigmoids:centred", "sigmoid"),
    ("scale", "experiments.sigmoids:scaled", "experiments.sigmoids:centred"),
    ("slope", "tanh", "experiments.sigmoids:scaled"),
)
EARLY = ("order", "order_top", "auc", "auc_top", METRIC)  # by which one may choose early
MEASURES = {  # whose correlation with N@100 is tested
    "H4": ("order", "order_top", "auc", "auc_top"),
    "E2": ("rank", "gap"),  # explored, not registered
}


class Verdict(NamedTuple):
    """A comparison: its difference, its interval, and what it says of its hypothesis.

    Attributes:
      label: of its row.
      what: in words.
      bound: what the difference lies above, by the hypothesis.
      p, adjusted: two-sided, and by Holm's method over the family; None without a test.
    """

    hypothesis: str
    label: str
    what: str
    difference: float
    low: float
    high: float
    bound: float = 0.0
    p: float | None = None
    adjusted: float = 1.0
    further: Mapping[str, float] = {}

    @property
    def verdict(self) -> str:
        """supported, refuted or open."""
        if self.p is not None and self.adjusted >= LEVEL:
            return "open"
        if self.low > self.bound:
            return "supported"
        return "refuted" if self.high < self.bound else "open"


def all_of(found: Sequence[Outcome], each: Callable[..., Iterable] = iter) -> list[Verdict]:
    """Test every hypothesis on whatever cells there are; Holm's method within each hypothesis.

    `each` may show the progress of what it is given to iterate over.
    """
    groups = grouped(found)
    tests = (sigmoid, shifts, lifts, offsets, reduction, linear, choices)
    paired = [own for test in each(tests) for own in adjusted(list(test(groups)))]
    return sorted(
        [*paired, *correlations(groups), *ranges(groups)], key=lambda own: own.hypothesis
    )


def adjusted(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Adjust the p-values of a family by Holm's method."""
    values = statistics.holm([own.p for own in verdicts])
    return [own._replace(adjusted=float(p)) for own, p in zip(verdicts, values, strict=True)]


def paired(
    hypothesis: str, key: Key, first: Outcome, second: Outcome, *, bound: float = 0.0, of: str = ""
) -> Verdict:
    """Compare two outcomes over test users, and test that they differ by `bound`.

    `of` makes the label unique in its group.
    """
    found = statistics.paired_randomisation_test(
        first.per_row, second.per_row + bound, samples=SAMPLES
    )
    names = [own.name if own.similarity == key.similarity else f"{own.name} ({own.similarity})"
             for own in (first, second)]  # fmt: skip
    return Verdict(
        hypothesis,
        plain("-".join(filter(None, (hypothesis, key.label, of)))),
        f"{key.what}: {names[0]} less {names[1]}",
        found.difference + bound,
        found.interval[0] + bound,
        found.interval[1] + bound,
        bound,
        found.p,
    )


def best(group: Group, names: Iterable[str]) -> Outcome | None:
    """Return the outcome with the highest validation figure among the names that are there."""
    there = [group[name] for name in names if name in group]
    return max(there, key=lambda own: own.measures["validation"], default=None)


def sigmoid(groups: Groups) -> Iterator[Verdict]:
    """H1: a sigmoid ranks better than the other activation that is best on validation."""
    for key, group in groups.items():
        other = best(group, (name for name in PLAIN if name != "sigmoid"))
        if other and "sigmoid" in group:
            yield paired("H1", key, group["sigmoid"], other)


def shifts(groups: Groups) -> Iterator[Verdict]:
    """H2: a shift helps."""
    yield from _against_plain("H2", "shift", groups)


def lifts(groups: Groups) -> Iterator[Verdict]:
    """H3: a lift changes something under the cosine."""
    yield from _against_plain("H3", "lift", groups, similarity="cosine")


def _against_plain(
    hypothesis: str, prefix: str, groups: Groups, similarity: str | None = None
) -> Iterator[Verdict]:
    for key, group in groups.items():
        for name in PLAIN:
            changed = group.get(f"{prefix}:{name}")
            if changed and name in group and similarity in (None, key.similarity):
                yield paired(hypothesis, key, changed, group[name], of=name)


def offsets(groups: Groups) -> Iterator[Verdict]:
    """H5: a sigmoid loses its offset, its scale or its slope, each without the others."""
    for key, group in groups.items():
        for step, first, second in STEPS:
            if first in group and second in group:
                yield paired("H5", key, group[first], group[second], of=step)
        if key.similarity == "centred" and {"sigmoid", "tanh"} <= set(group):
            yield paired("H5", key, group["sigmoid"], group["tanh"], of="tanh")
            dot = groups.get(key._replace(similarity="dot"), {}).get("sigmoid")
            if dot:
                yield paired("H5", key, group["sigmoid"], dot, of="dot")


def reduction(groups: Groups) -> Iterator[Verdict]:
    """H7: the best code of half the dimensions or fewer is within `NEAR` of no compression."""
    for key, group in groups.items():
        code = best(group, PLAIN)
        whole = next(
            (own["none"] for other, own in groups.items()
             if "none" in own and other.similarity == key.similarity
             and other.cell._replace(latent=0, tied=False)
             == key.cell._replace(latent=0, tied=False)),
            None,
        )  # fmt: skip
        if code and whole:
            yield paired("H7", key, code, whole, bound=-NEAR)


def linear(groups: Groups) -> Iterator[Verdict]:
    """E1, explored and not registered: the best activation ranks better than the best PCA."""
    for key, group in groups.items():
        code, pca = best(group, PLAIN), best(group, ("pca", "pca_uncentred"))
        if code and pca:
            yield paired("E1", key, code, pca)


def choices(groups: Groups) -> Iterator[Verdict]:
    """H8: choices by theory, and by the audit after a tenth of the epochs, and by a full search."""
    for key, group in groups.items():
        there = [group[name] for name in PLAIN if name in group]
        if len(there) < len(PLAIN) or key.cell.split:
            continue
        full = max(there, key=lambda own: own.measures["validation"])
        whole = sum(own.search_seconds for own in there)
        tenth = key.cell.checkpoints[0] / key.cell.epochs
        chosen = {"theory": (group["sigmoid"], group["sigmoid"].search_seconds / whole)}
        for measure in EARLY:
            values = [own.measures["early"][measure] for own in there]
            early = there[int(np.argmax(values))]
            chosen[f"early_{measure.partition('@')[0]}"] = (
                early, tenth + (1 - tenth) * early.search_seconds / whole
            )  # fmt: skip
        for of, (own, share) in chosen.items():
            verdict = paired("H8", key, own, full, bound=-NEAR, of=of)
            yield verdict._replace(
                what=f"{verdict.what} (choice by {of})", further={"cost": share}
            )


def correlations(groups: Groups) -> Iterator[Verdict]:
    """H4: encoders that keep more order rank better: Spearman's correlation, within m."""
    by_size: dict[tuple, list[Outcome]] = defaultdict(list)
    for key, group in groups.items():
        if not key.cell.split and key.cell.epochs == EPOCHS:
            for similarity in ("all", key.similarity):
                size = key.cell.dataset, key.cell.features, key.cell.latent, similarity
                by_size[size] += [own for own in group.values() if own.name not in LINEAR]
    for size, encoders in by_size.items():
        if len(encoders) < len(PLAIN):
            continue
        pairs = [(own, measure) for own, measures in MEASURES.items() for measure in measures]
        for hypothesis, measure in pairs:
            x = np.array([own.measures[measure] for own in encoders])
            y = np.array([own.figure for own in encoders])
            drawn = np.random.default_rng(0).integers(0, len(x), (CORRELATIONS, len(x)))
            if not (np.ptp(x) and np.ptp(y)):
                continue
            values = [_spearman(x[i], y[i]) for i in drawn]
            low, high = np.nanquantile(values, (LEVEL / 2, 1 - LEVEL / 2))
            dataset, features, latent, similarity = size
            yield Verdict(
                hypothesis,
                plain(f"{hypothesis}-{dataset}-{features}-{latent}-{similarity}-{measure}"),
                f"{dataset}, {features}, m = {latent}, {similarity}: N@100 and {measure} of "
                f"{len(x)} encoders",
                _spearman(x, y),
                float(low),
                float(high),
                further={"encoders": len(x)},
            )


def ranges(groups: Groups) -> Iterator[Verdict]:
    """H6: activations differ less by the decoder's metric, or tied, than by the dot product."""

    def spread(per_row: np.ndarray) -> np.ndarray:
        return np.ptp(per_row, axis=-1)

    for key, group in groups.items():
        if key.similarity != "dot" or key.cell.tied or not set(PLAIN) <= set(group):
            continue
        others = {
            "decoder": key._replace(similarity="decoder"),
            "tied": key._replace(cell=key.cell._replace(tied=True)),
        }
        first = np.stack([group[name].per_row for name in PLAIN], axis=1)
        for of, other in others.items():
            own = groups.get(other, {})
            if not set(PLAIN) <= set(own):
                continue
            second = np.stack([own[name].per_row for name in PLAIN], axis=1)
            drawn = np.random.default_rng(0).multinomial(
                len(first), np.full(len(first), 1 / len(first)), SAMPLES
            ) / len(first)
            difference = spread(drawn @ first) - spread(drawn @ second)
            low, high = np.quantile(difference, (LEVEL / 2, 1 - LEVEL / 2))
            ends = float(spread(first.mean(axis=0))), float(spread(second.mean(axis=0)))
            yield Verdict(
                "H6",
                plain(f"H6-{key.label}-{of}"),
                f"{key.what}: range over activations less that of {of}",
                ends[0] - ends[1],
                float(low),
                float(high),
                further={"range": ends[0], f"range_{of}": ends[1]},
            )


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    ranks = [scipy.stats.rankdata(part) - (len(part) + 1) / 2 for part in (x, y)]
    scale = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    return float(ranks[0] @ ranks[1] / scale) if scale else float("nan")
