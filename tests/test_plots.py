"""The pictures hold the numbers that they are said to hold."""

import numpy as np

from aerec import plots


def test_learning_curve(tmp_path):
    log = [{"epoch": 2, "loss": 3.0, "ndcg@100": 0.1}, {"epoch": 4, "loss": 2.0, "ndcg@100": 0.3}]
    drawn = plots.learning_curve(log, "ndcg@100")
    figure, loss = drawn.axes
    np.testing.assert_allclose(figure.lines[0].get_xydata(), [[2, 0.1], [4, 0.3]])
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [[2, 3], [4, 2]])
    assert figure.get_ylabel() == "validation ndcg@100"
    plots.save(drawn, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_learning_curve_without_a_validation_part():
    figure, loss = plots.learning_curve([{"epoch": 1, "loss": 3.0}], "ndcg@100").axes
    assert not figure.lines and len(loss.lines) == 1


def test_by_activity():
    """Eight groups of two rows; the figure of a row is its activity, so the points are means."""
    activity = np.arange(1, 18)[::-1].copy()
    values = activity.astype(float)
    values[-1] = np.nan  # the row of activity 1 has no target
    (axes,) = plots.by_activity(activity, {"itself": values}, "recall@20").axes
    points = axes.lines[0].get_xydata()
    middle = np.arange(2, 18).reshape(8, 2).mean(axis=1)
    np.testing.assert_allclose(points, np.stack([middle, middle], axis=1))
    segments = axes.collections[0].get_segments()
    half = 1.96 * np.std([2, 3], ddof=1) / np.sqrt(2)
    np.testing.assert_allclose(segments[0][:, 1], [2.5 - half, 2.5 + half])


def test_by_activity_of_few_rows(tmp_path):
    drawn = plots.by_activity(np.array([3]), {"one": np.array([0.5])}, "ndcg@10")
    plots.save(drawn, tmp_path / "x.png")
    assert (tmp_path / "x.png").exists()


def test_curves_of_several_runs():
    losses = {name: [{"epoch": e, "losses": [own]} for e in (1, 2)]
              for name, own in (("a", [4.0, 2.0]), ("b", [3.0, 1.0]))}  # fmt: skip
    figures = {name: [{"epoch": 3, "rmse": own}] for name, own in (("a", 4.0), ("b", 3.0))}
    (steps,) = plots.step_curves(losses).axes
    (valid,) = plots.validation_curves(figures, "rmse").axes
    np.testing.assert_allclose(steps.lines[0].get_xydata(), [[1, 4], [2, 2], [3, 4], [4, 2]])
    np.testing.assert_allclose(valid.lines[1].get_xydata(), [[3, 3]])


def test_epochs_beside_each_other():
    log = [{"epoch": 2, "loss": 4.0, "rmse": 3.0}, {"epoch": 4, "loss": 1.0, "rmse": 2.0}]
    left, right = plots.epoch_curves({"a": log}, "rmse", rmse=True).axes
    np.testing.assert_allclose(left.lines[0].get_xydata(), [[2, 2], [4, 1]])
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[2, 3], [4, 2]])


def test_figures_of_rows_beside_the_published():
    """Rows from top to bottom; a figure that only some rows have is a panel of these."""
    panels = {"rmse": {"a": (0.9, 0.1), "b": (0.8, 0.2)}, "ndcg@100": {"c": (0.4, 0.05)}}
    first, second = plots.row_figures(panels, {"rmse": {"b": 0.7}}).axes
    np.testing.assert_allclose(first.lines[0].get_xydata(), [[0.9, 0], [0.8, 1]])
    np.testing.assert_allclose(first.lines[-1].get_xydata(), [[0.7, 1]])
    ends = [segment[:, 0] for segment in first.collections[0].get_segments()]
    np.testing.assert_allclose(ends, [[0.8, 1.0], [0.6, 1.0]])
    assert first.yaxis_inverted() and [label.get_text() for label in first.get_yticklabels()] == [
        "a", "b",
    ]  # fmt: skip
    assert second.get_xlabel() == "ndcg@100" and second.get_legend() is None


def test_by_dimension():
    """A panel for each data set, a line for each model; bars are half an interval each way."""
    lines = {"spectral": [(8, 0.2, 0.01), (16, 0.3, 0.02)], "ease": [(8, 0.4, 0.01)]}
    first, second = plots.by_dimension({"one": lines, "two": lines}, "ndcg@100").axes
    np.testing.assert_allclose(first.lines[0].get_xydata(), [[8, 0.2], [16, 0.3]])
    np.testing.assert_allclose(second.collections[0].get_segments()[1][:, 1], [0.28, 0.32])
    assert (first.get_title(), second.get_ylabel()) == ("one", "ndcg@100")
