"""A run's folder: whose it is, one process at a time, and the logs in it that survive a cut."""

import contextlib
import fcntl
import json
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from aerec import files
from aerec.errors import BadInput


@contextlib.contextmanager
def claimed(workdir: pathlib.Path, config: Mapping[str, Any]) -> Iterator[None]:
    """The workdir as this run's alone while the context lasts; see `claim`.

    A run that is refused before it has made anything leaves the folder as it was.

    Raises:
      BadInput: as `claim`, and where another process is at work on the folder.
    """
    made, fresh = not workdir.exists(), not (workdir / "config.json").exists()
    claim(workdir, config)
    with (workdir / "config.json").open() as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadInput(f"another process is at work on {workdir}; wait for it") from None
        try:
            yield
        except BadInput:
            begun = {part.name for part in workdir.iterdir()} - {"config.json", "checkpoints"}
            if fresh and not begun:
                shutil.rmtree(workdir / "checkpoints", ignore_errors=True)
                (workdir / "config.json").unlink()
                if made:
                    workdir.rmdir()
            raise


def claim(workdir: pathlib.Path, config: Mapping[str, Any]) -> None:
    """Makes the workdir this run's, or finds that it is.

    Raises:
      BadInput: it holds another run (the differing entries are named), is no folder, or cannot
        be written.
    """
    path = workdir / "config.json"
    try:
        there_is_one = path.exists()
    except OSError as error:
        raise BadInput(f"{workdir} cannot be read ({error.strerror}); name another") from error
    if not there_is_one:
        try:
            strange = workdir.exists() and {p.name for p in workdir.iterdir()} - {"config.json.tmp"}
            if not strange:
                workdir.mkdir(parents=True, exist_ok=True)
                files.write_json(path, config)
        except OSError as error:
            raise BadInput(
                f"{workdir} cannot be written ({error.strerror}); name another --workdir"
            ) from error
        if strange:
            raise BadInput(f"{workdir} exists and is not a run; name another --workdir")
        return
    there = _flat(read_config(workdir))
    here = _flat(json.loads(json.dumps(config)))
    names = [n for n in {**there, **here} if not n.startswith("source.")]
    differ = [
        f"{name} {there.get(name, 'unset')} there, {here.get(name, 'unset')} now"
        for name in names
        if there.get(name) != here.get(name)
    ]
    if differ:
        raise BadInput(
            f"{workdir} holds another run: {'; '.join(differ)}. Name another --workdir, or delete "
            "this one."
        )


def read_config(workdir: pathlib.Path) -> dict[str, Any]:
    """The workdir's config.json. Raises BadInput where it is not one."""
    entries = ("model", "set", "shape", "seeds")
    advice = f"delete {workdir}, or name another"
    return files.read_json(workdir / "config.json", *entries, advice=advice)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"settings": {"epochs": 3}} as {"settings.epochs": 3}."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


class EpochLog:
    """Lines of JSON by epoch; on resuming, those at and past the first new epoch are cut."""

    def __init__(self, path: pathlib.Path):
        self.path, self.opened = path, False
        self._lines()

    def __call__(self, epoch: int, line: Mapping[str, Any]) -> None:
        """Appends the line, unless it is empty."""
        if not self.opened:
            kept = [line for number, line in self._lines() if number < epoch]
            beside = self.path.with_name(self.path.name + ".tmp")
            beside.write_text("".join(f"{line}\n" for line in kept))
            beside.replace(self.path)
            self.opened = True
        if line:
            with self.path.open("a") as file:
                file.write(json.dumps({"epoch": epoch, **line}) + "\n")

    def _lines(self) -> list[tuple[int, str]]:
        """Epoch and line, whole lines only: the last may have been cut by an interruption."""
        if not self.path.exists():
            return []
        with files.reading(self.path, "delete it; only the learning curve is drawn from it"):
            lines = [line for line in self.path.read_text().splitlines() if line.endswith("}")]
            return [(json.loads(line)["epoch"], line) for line in lines]
