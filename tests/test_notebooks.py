"""The notebooks run from top to bottom and are kept without their outputs."""

import pathlib

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


def test_quickstart(monkeypatch):
    monkeypatch.setenv("AEREC_NOTEBOOK_EPOCHS", "2")
    notebook = nbformat.read(ROOT / "colab" / "quickstart.ipynb", as_version=4)
    # Nothing is asked of the machine's own Jupyter settings; the kernel starts in the repository.
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    text = "".join(output.get("text", "") for output in outputs)
    assert len(pictures) == 2
    assert "not known: ['no such film']" in text
    assert "Matrix" in text
    ranks = [line.split()[0] for line in text.splitlines()[-10:]]
    assert ranks == [str(rank) for rank in range(1, 11)]
