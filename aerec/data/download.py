"""Downloads that resume, checksums, and the safe extraction of zip archives."""

import hashlib
import http.client
import os
import re
import shutil
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from aerec import files
from aerec.errors import BadInput

_CHUNK = 1 << 20
_TIMEOUT = 30  # seconds without a byte


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    checksum: str | None = None,
    attempts: int = 3,
    log: Callable[[str], object] = print,
) -> Path:
    """Download a file from the first mirror that answers.

    Bytes are written to `target` + `.part`. An interrupted download, of this run or an earlier one,
    resumes from there (HTTP Range).

    Args:
      urls: mirrors of the file, tried in order.
      target: where the file is stored.
      checksum: `sha256:…` or `md5:…`, verified before the file is renamed to `target`.
      attempts: per mirror.
      log: called with each attempt.

    Returns:
      `target`.

    Raises:
      BadInput: every mirror failed `attempts` times; gives the reasons, and where to place the file
        by hand.
    """
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        failure = ""
        for _ in range(attempts):
            try:
                log(f"Downloading {url} to {target}")
                _transfer(url, part)
                if not matches(part, checksum):
                    part.unlink()  # resuming would keep the wrong bytes
                    raise OSError(f"the file does not have the checksum {checksum}")
                os.replace(part, target)
                return target
            except (OSError, http.client.HTTPException) as error:
                if getattr(error, "errno", None) in files.FULL:  # no other mirror would help
                    with files.writing(part):
                        raise
                failure = str(error) or type(error).__name__
        failures.append(f"{url}: {failure}")
    raise BadInput(
        f"Could not download {target.name} ({'; '.join(failures)}). Without a network, download "
        f"it elsewhere and place it at {target}, then run again."
    )


def _transfer(url: str, part: Path) -> None:
    """Append the missing bytes to `part`, in one attempt; raise OSError if some remain missing."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # no bytes after `have`: complete, or of another file
            if _total(error.headers.get("Content-Range")) == have:
                return
            part.unlink()
            raise OSError("the partial file did not fit and was removed") from error
        raise
    with response:
        resumed = response.status == 206
        if resumed and not (response.headers.get("Content-Range") or "").startswith(
            f"bytes {have}-"
        ):
            raise OSError("the server answered with a range other than the one requested")
        length = response.headers.get("Content-Length")
        with open(part, "ab" if resumed else "wb") as file:
            shutil.copyfileobj(response, file, _CHUNK)
            size = file.tell()
    expected = (have if resumed else 0) + int(length) if length else size
    if size != expected:
        raise OSError(f"the connection broke after {size:,} of {expected:,} bytes")


def _total(content_range: str | None) -> int | None:
    found = re.fullmatch(r"bytes \*/(\d+)", content_range or "")
    return int(found[1]) if found else None


def matches(file: Path, checksum: str | None) -> bool:
    """Return whether a file has the checksum `sha256:…` or `md5:…`; true for None."""
    if checksum is None:
        return True
    name, _, digest = checksum.partition(":")
    with open(file, "rb") as data:
        return hashlib.file_digest(data, name).hexdigest() == digest


def unzip(archive: Path, folder: Path) -> None:
    """Extract a zip archive to `folder`, which appears complete or not at all.

    A single top-level folder of the archive becomes `folder` itself.

    Raises:
      BadInput: a damaged archive, or a member that is a link or whose path (`..`, absolute) leads
        out of `folder`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as scratch:
        root = Path(scratch) / "all"
        try:
            with zipfile.ZipFile(archive) as file:
                for member in file.infolist():
                    _refuse_escape(archive, member)
                file.extractall(root)
            inside = list(root.iterdir())
            os.replace(inside[0] if len(inside) == 1 and inside[0].is_dir() else root, folder)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise BadInput(
                f"{archive}: could not be unpacked to {folder} ({error}). If it is damaged, "
                "remove it and download it again; if the folder exists, remove that."
            ) from error


def _refuse_escape(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    link = stat.S_ISLNK(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or link:
        raise BadInput(
            f"{archive}: the member {member.filename!r} would be written outside the folder. "
            "Nothing was unpacked; remove the archive and get it from its publisher."
        )
