"""The notebooks run from top to bottom and are kept without their outputs."""

import pathlib
import re

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))


def test_there_is_one():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs"), cell.source
        assert cell.get("execution_count") is None, cell.source


def executed(name, monkeypatch, instead=(), **environment):
    """The text and the pictures of a notebook that ran from top to bottom.

    Args:
      instead: (text of its code, what runs in its place).
    """
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    notebook = nbformat.read(ROOT / "colab" / name, as_version=4)
    for cell in notebook.cells:
        for written, other in instead if cell.cell_type == "code" else ():
            cell.source = cell.source.replace(written, other)
    # Nothing is asked of the machine's own Jupyter settings; the kernel starts in the repository.
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    shown = [output.get("text", "") or output.get("data", {}).get("text/plain", "")
             for output in outputs]  # fmt: skip
    return "\n".join(shown), pictures


def test_quickstart(monkeypatch):
    smaller = [("movielens-small", "synthetic:users=260,items=1300,ratings=26000")]
    text, pictures = executed("quickstart.ipynb", monkeypatch, smaller, AEREC_NOTEBOOK_EPOCHS="1")
    assert len(pictures) == 2
    assert re.search(r"^multvae +0\.\d{4} ± 0\.\d{4}$", text, re.MULTILINE)
    assert "Comparison(difference=" in text
    for table in ("rank ┆ item ┆ title", "title ┆ contribution", "┆ similarity"):
        assert re.search(table, text), table


def test_audit(monkeypatch):
    text, pictures = executed("audit.ipynb", monkeypatch, AEREC_NOTEBOOK_TRIPLES="20000")
    assert len(pictures) == 2
    verdicts = dict(re.findall(r"^(dimension|order|nonzero) +([A-Z]+)", text, re.MULTILINE))
    assert verdicts == {"dimension": "CERTIFIED", "order": "REFUTED", "nonzero": "REFUTED"}
    assert "rate 0, skill 0: VACUOUS" in text
    # Theorem A: each margin of the finite witness has the sign that refutes.
    margins = re.findall(r"true margin (\S+), latent (\S+)", text)
    assert len(margins) == 4
    assert all(float(true) >= 0 > float(latent) for true, latent in margins)
    # B: a lift keeps the order, up to ties that it adds in rounding.
    assert float(re.search(r"a lift moves no rate by more than (\S+)", text)[1]) < 1e-3
    # D: the angle is the share that was counted; training brings it down to a projection's.
    formula = re.search(r"angle / pi = (\S+); counted \S+ \[(\S+), (\S+)\]", text)
    angle, low, high = map(float, formula.groups())
    assert low - 0.005 <= angle <= high + 0.005
    steps = re.search(r"steps: (\S+) before, (\S+) after, (\S+) by", text)
    before, after, projection = map(float, steps.groups())
    assert abs(after - projection) < 0.01 < before - projection


def test_activations(monkeypatch):
    smaller = [("rates, seeds = (0.003, 0.01, 0.03), (0, 1)", "rates, seeds = (0.01, 0.03), (0,)"),
               ('"tanh", "relu", "selu", "softplus", ', ""),
               ('["dot", "cosine", "centred", "decoder"]', '["dot", "decoder"]'),
               ('in ("sigmoid", "tanh", "identity")', 'in ("sigmoid", "identity")')]  # fmt: skip
    text, pictures = executed("activations.ipynb", monkeypatch, smaller, AEREC_NOTEBOOK_EPOCHS="3")
    assert len(pictures) == 1
    lines = re.findall(r"^(\S+) +(0\.\d+) +(0\.\d+)$", text, re.MULTILINE)
    assert [line[0] for line in lines] == ["sigmoid", "identity", "__main__:mine"]
    by_dot, by_decoder = map(float, lines[0][1:])
    assert by_decoder > by_dot
    shares = dict(re.findall(r"^(\S+) +dot (0\.\d+),", text, re.MULTILINE))
    assert float(shares["sigmoid"]) > 0.5 > float(shares["identity"])
