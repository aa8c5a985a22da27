"""The pictures hold the numbers that they are said to hold."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from aerec import plots


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, to look at their data."""
    figures = []
    save = Figure.savefig

    def keep(figure, *args, **kwargs):
        figures.append(figure)
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_learning_curve(tmp_path, drawn):
    lines = [{"epoch": 2, "loss": 3.0, "ndcg@100": 0.1}, {"epoch": 4, "loss": 2.0, "ndcg@100": 0.3}]
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    plots.learning_curve(metrics, "ndcg@100", tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    figure, loss = drawn[0].axes
    np.testing.assert_allclose(figure.lines[0].get_xydata(), [[2, 0.1], [4, 0.3]])
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [[2, 3], [4, 2]])
    assert figure.get_ylabel() == "validation ndcg@100"


def test_by_activity(tmp_path, drawn):
    """Eight groups of two rows; the figure of a row is its activity, so the points are means."""
    activity = np.arange(1, 18)[::-1].copy()
    values = activity.astype(float)
    values[-1] = np.nan  # the row of activity 1 has no target
    plots.by_activity(activity, {"itself": values}, "recall@20", tmp_path / "x.png")
    points = drawn[0].axes[0].lines[0].get_xydata()
    middle = np.arange(2, 18).reshape(8, 2).mean(axis=1)
    np.testing.assert_allclose(points, np.stack([middle, middle], axis=1))
    segments = drawn[0].axes[0].collections[0].get_segments()
    half = 1.96 * np.std([2, 3], ddof=1) / np.sqrt(2)
    np.testing.assert_allclose(segments[0][:, 1], [2.5 - half, 2.5 + half])


def test_by_activity_of_few_rows(tmp_path, drawn):
    plots.by_activity(np.array([3]), {"one": np.array([0.5])}, "ndcg@10", tmp_path / "x.png")
    assert (tmp_path / "x.png").exists()


def test_curves_of_several_runs(tmp_path, drawn):
    for name, losses in (("a", [[4.0, 2.0]]), ("b", [[3.0, 1.0]])):
        folder = tmp_path / name
        folder.mkdir()
        line = {"epoch": 1, "losses": losses}
        (folder / "losses.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line) + "\n")
        (folder / "metrics.jsonl").write_text(json.dumps({"epoch": 3, "rmse": losses[0][0]}) + "\n")
    workdirs = {name: tmp_path / name for name in ("a", "b")}
    plots.step_curves(workdirs, tmp_path / "steps.png")
    plots.validation_curves(workdirs, "rmse", tmp_path / "valid.png")
    steps, valid = (figure.axes[0] for figure in drawn)
    np.testing.assert_allclose(steps.lines[0].get_xydata(), [[1, 4], [2, 2], [3, 4], [4, 2]])
    np.testing.assert_allclose(valid.lines[1].get_xydata(), [[3, 3]])
