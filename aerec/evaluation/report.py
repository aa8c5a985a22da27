"""The figures of an evaluation with their errors, and comparisons between two evaluations."""

from typing import NamedTuple

import numpy as np

from aerec.evaluation import statistics

POOLED = {  # figure -> (the sums per row it pools over the entries, whether it is their root)
    "rmse": ("squared_error", True),
    "mae": ("absolute_error", False),
    "rmse_unclipped": ("squared_error_unclipped", True),
    "mae_unclipped": ("absolute_error_unclipped", False),
}


class Report(NamedTuple):
    """The figures of an evaluation, and the values per row behind them.

    Attributes:
      figures: name -> float: 'ndcg@100', 'ndcg@100_se', ..., 'rows', 'rows_skipped'.
      per_row: name -> [R] float32, NaN where the row has no target; what `interval` and `compare`
        read. The pooled figures of rating prediction keep their sums and 'entries' here.
    """

    figures: dict[str, float]
    per_row: dict[str, np.ndarray]

    def interval(self, name: str, **options) -> tuple[float, float]:
        """Compute the bootstrap interval over rows; options of `statistics.bootstrap_interval`."""
        values, counts, root = sample(self.per_row, name)
        return statistics.bootstrap_interval(values, counts, root=root, **options)

    def compare(self, other: "Report", name: str, **options) -> statistics.Comparison:
        """Test a figure of two reports on the same held-out rows by paired randomisation.

        Options of `statistics.paired_randomisation_test`.

        Raises:
          ValueError: the reports are of different rows or different numbers of targets.
        """
        first, counts, root = sample(self.per_row, name)
        second, others, _ = sample(other.per_row, name)
        same = np.array_equal(counts, others, equal_nan=True) if counts is not None else True
        if first.shape != second.shape or not same:
            raise ValueError(f"{name}: the two reports are of different held-out ratings")
        return statistics.paired_randomisation_test(first, second, counts, root=root, **options)


def sample(per_row: dict[str, np.ndarray], name: str):
    """Return what a figure is estimated from: (values [R], counts [R] or None, root)."""
    sums, root = POOLED.get(name, (name, False))
    if sums not in per_row:
        raise ValueError(f"{name!r} is no figure over rows; there are {', '.join(per_row)}")
    return per_row[sums], per_row["entries"] if name in POOLED else None, root
