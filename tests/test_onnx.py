"""ONNX, in an environment of its own: its packages ask for other versions than the rest.

python -m venv onnx && onnx/bin/pip install -e ".[onnx]" pytest onnxruntime
onnx/bin/python -m pytest tests/test_onnx.py --noconftest -o addopts=
"""

import json

import numpy as np
import pytest

import aerec

pytest.importorskip("jax2onnx")
runtime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("model", ["ease", "multvae"])
def test_the_same_ten_items(model, tmp_path):
    ratings = aerec.load("synthetic:users=150,items=60,ratings=4000")
    run = aerec.fit(model, ratings, show=False, epochs=2)
    run.export(tmp_path / "m.onnx")
    names = json.loads((tmp_path / "m.onnx.vocabulary.json").read_text())
    session = runtime.InferenceSession(tmp_path / "m.onnx")
    for count in (1, 3):  # any number of rows
        rows = np.zeros((count, len(names["items"])), np.float32)
        rows[:, [3, 5]] = 1
        (scores,) = session.run(None, {session.get_inputs()[0].name: rows})
        best = np.argsort(-np.where(rows > 0, -np.inf, scores), axis=1)[:, :10]
        liked = [names["items"][column] for column in (3, 5)]
        expected = run.recommend(liked, k=10)["item"].to_list()
        assert [[names["items"][i] for i in row] for row in best] == [expected] * count
