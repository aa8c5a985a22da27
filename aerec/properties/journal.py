"""The finished parts of an audit, in a file from which an interrupted audit resumes."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aerec import files

PAUSE = 5.0  # seconds between two saves of an unfinished part


class Journal:
    """The finished parts of one audit: name -> a value that JSON represents exactly.

    Args:
      path: the file; None: nothing is written.
      mark: identifies the encoder, the domain and the key.

    Raises:
      ValueError: the file belongs to another audit, or is not a state file.
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
        """Return whether an unfinished part should be saved now."""
        return self._path is not None and time.monotonic() - self._written > PAUSE

    def keep(self, name: str, value: Any) -> None:
        """Save a part, finished or not; the file is replaced."""
        self.parts[name] = value
        if self._path is not None:
            files.write_text(self._path, json.dumps({"mark": self._mark, "parts": self.parts}))
            self._written = time.monotonic()

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return the part of that name; compute and save it if it is not in the file."""
        if name not in self.parts:
            self.keep(name, compute())
        return self.parts[name]
