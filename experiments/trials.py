"""The trials of a search, in a file of JSON lines that several processes share.

The first line describes the search, each further line one trial. Lines are only appended, whole,
under a lock; the last one, which a kill may cut, is dropped. A process claims a trial by a lock on
a byte of the file that has its number: the kernel releases it when the process ends, however it
ends, so that an interrupted trial is free again.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from aerec import files
from aerec.errors import BadInput
from aerec.unix import fcntl

EDIT = 0  # the byte whose lock a writer holds; trial n is byte 1 + n


class Trials:
    """The file of a search.

    Args:
      path: the file, which is created if need be.
      search: what the trials depend on; a file of another search is refused.

    Raises:
      BadInput: the file is of another search, is damaged, or cannot be written.
    """

    def __init__(self, path: pathlib.Path, search: Mapping[str, Any]):
        self.path = path
        with files.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        with self._editing():
            if not self._lines():
                self._write(search)
        found, given = self._lines()[0], json.loads(files.to_json(search))
        differ = [
            f"{name} {found.get(name, 'unset')} there, {given.get(name, 'unset')} now"
            for name in {**found, **given}
            if found.get(name) != given.get(name)
        ]
        if differ:
            raise BadInput(
                f"{path} has the trials of another search: {'; '.join(differ)}. Name another "
                "output, or delete the file."
            )

    def read(self) -> list[dict[str, Any]]:
        """Return the finished trials by number."""
        return sorted(self._lines()[1:], key=lambda trial: trial["number"])

    def claim(self, count: int, most: int = 1) -> list[int]:
        """Claim the first of `count` trials that are neither finished nor claimed, at most `most`.

        The claims end with the process.
        """
        claimed: list[int] = []
        finished = {trial["number"] for trial in self.read()}
        for number in range(count):
            if len(claimed) == most:
                break
            if number in finished or not self._lock(1 + number, wait=False):
                continue
            finished = {trial["number"] for trial in self.read()}  # another process may just have
            if number not in finished:
                claimed.append(number)
        return claimed

    def append(self, *trials: Mapping[str, Any]) -> None:
        """Append finished trials, all at once."""
        with self._editing():
            self._write(*trials)

    def close(self) -> None:
        """Close the file, which releases all claims."""
        os.close(self.file)

    def _lines(self) -> list[dict[str, Any]]:
        with files.reading(self.path, "delete it, and search again"):
            content = self._content()
            lines = content[: content.rfind(b"\n") + 1].splitlines()
            return [{**json.loads(line)} for line in lines]

    def _content(self) -> bytes:
        return os.pread(self.file, os.fstat(self.file).st_size, 0)

    def _write(self, *lines: Mapping[str, Any]) -> None:
        with files.writing(self.path):
            os.ftruncate(self.file, self._content().rfind(b"\n") + 1)
            os.write(self.file, "".join(f"{files.to_json(line)}\n" for line in lines).encode())

    @contextlib.contextmanager
    def _editing(self) -> Iterator[None]:
        self._lock(EDIT, wait=True)
        try:
            yield
        finally:
            fcntl.lockf(self.file, fcntl.LOCK_UN, 1, EDIT)

    def _lock(self, byte: int, *, wait: bool) -> bool:
        """Lock a byte of the file. Return whether this process has it."""
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, byte)
        except (BlockingIOError, PermissionError):
            return False
        return True
