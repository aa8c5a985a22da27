"""Export of a model to StableHLO, safetensors and ONNX, for use without this package."""

import importlib
import pathlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from aerec import files
from aerec.errors import BadInput, nearest
from aerec.runs.artefact import Artefact

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(artefact: Artefact, path: pathlib.Path, format: str | None = None) -> pathlib.Path:
    """Write one model, and its raw ids and titles as `<path>.vocabulary.json`.

    stablehlo: the scores [b, N] of dense rows [b, N], for any b, with the weights inside, as read
      by `jax.export.deserialize`. A row has 1 for a click, or the rating, and 0 elsewhere. Needs
      flatbuffers.
    safetensors: the parameters by name, `layer/kernel`. Needs safetensors.
    onnx: the function of stablehlo. Needs jax2onnx.

    Raises:
      BadInput: an unknown format, a model that reads sequences or that ONNX cannot hold, or a
        package that is missing.
    """
    name = format or path.suffix.removeprefix(".")
    if name not in FORMATS:
        if not name:
            raise BadInput(f"{path} has no suffix: give `format`. {nearest(name, FORMATS)}")
        raise BadInput(f"No format is called {name!r}. {nearest(name, FORMATS)}")
    content = FORMATS[name](artefact)
    config, vocabulary = artefact.config, artefact.vocabulary
    description = {
        "model": config["model"],
        "set": config["set"],
        "task": artefact.model.traits.task,
        "scale": config["scale"],
        "threshold": config["protocol"].get("threshold"),
        "items": vocabulary.item_ids.tolist(),
        "titles": None if vocabulary.titles is None else vocabulary.titles.tolist(),
    }
    if config["item_based"]:  # whose columns are the users
        description["users"] = vocabulary.user_ids.tolist()
    vocabulary_path = path.with_name(path.name + ".vocabulary.json")
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(vocabulary_path, description)
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def scorer(artefact: Artefact) -> Callable[[jax.Array], jax.Array]:
    """Return the function from dense rows [b, N] to scores [b, N], with the parameters inside.

    Raises:
      BadInput: the model reads sequences or columns, which a dense row is not.
    """
    reads = artefact.model.traits.reads
    if reads != "rows":
        raise BadInput(
            f"{artefact.config['model']} reads {'a sequence' if reads == 'sequence' else reads}: "
            "a dense row of a user does not say what it needs. Export as safetensors."
        )
    return lambda x: artefact.model.score(artefact.params, x)


def _stablehlo(artefact: Artefact) -> bytes:
    score, width = scorer(artefact), len(artefact.vocabulary.item_ids)
    _require("flatbuffers", "StableHLO")
    (batch,) = jax.export.symbolic_shape("b")
    row = jax.ShapeDtypeStruct((batch, width), jnp.float32)
    return bytes(jax.export.export(jax.jit(score), platforms=PLATFORMS)(row).serialize())


def _safetensors(artefact: Artefact) -> bytes:
    package = _require("safetensors.numpy", "safetensors")
    leaves = jax.tree_util.tree_leaves_with_path(artefact.params)
    arrays = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.ascontiguousarray(leaf)
        for path, leaf in leaves
    }
    return package.save(arrays, metadata={"model": artefact.config["model"]})


def _onnx(artefact: Artefact) -> bytes:
    package = _require("jax2onnx", "ONNX", extra="onnx")
    score, width = scorer(artefact), len(artefact.vocabulary.item_ids)
    try:
        return package.to_onnx(score, [("B", width)], model_name="aerec").SerializeToString()
    except NotImplementedError as error:
        raise BadInput(
            f"jax2onnx cannot write {artefact.config['model']} ({error}); use the format stablehlo"
        ) from error


def _require(package: str, format: str, extra: str = "export") -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise BadInput(
            f"{format} needs the package {package.partition('.')[0]}: "
            f"pip install 'aerec[{extra}]'"
        ) from None


FORMATS: dict[str, Callable[[Any], bytes]] = {
    "stablehlo": _stablehlo,
    "safetensors": _safetensors,
    "onnx": _onnx,
}
