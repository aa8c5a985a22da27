"""What an audit has finished, in a file: one that was cut off goes on from there."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aerec import files

PAUSE = 5.0  # seconds between two savings of a part that is under way


class Journal:
    """Finished parts of one audit, name -> values that JSON holds exactly.

    `mark` identifies the encoder, the domain and the key. Raises ValueError for a file that
    another audit left, or that is none. Without a `path` nothing is written.
    """

    def __init__(self, path: Path | None, mark: str):
        self.parts: dict[str, Any] = {}
        self._path, self._mark, self._written = path, mark, time.monotonic()
        if path is None or not path.exists():
            return
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            foreign, self.parts = saved["mark"] != mark, dict(saved["parts"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is not an audit's state file: name another file") from None
        if foreign:
            raise ValueError(
                f"{path} was left by another encoder, domain or seed: remove it or name another"
                " file"
            )

    def due(self) -> bool:
        """Whether a part that is under way should be kept now."""
        return self._path is not None and time.monotonic() - self._written > PAUSE

    def keep(self, name: str, value: Any) -> None:
        """Keep a part, whole or as far as it is; the file is replaced."""
        self.parts[name] = value
        if self._path is not None:
            files.write_text(self._path, json.dumps({"mark": self._mark, "parts": self.parts}))
            self._written = time.monotonic()

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """The part of that name, computed unless an earlier run has."""
        if name not in self.parts:
            self.keep(name, compute())
        return self.parts[name]
