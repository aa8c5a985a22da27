"""The downloader against a server of our own: cuts, ranges, checksums, mirrors, bad archives."""

import errno
import hashlib
import stat
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from aerec.data import download
from aerec.data.readers import BadInput

DATA = np.random.default_rng(0).bytes(300_000)
SHA256 = "sha256:" + hashlib.sha256(DATA).hexdigest()


def quiet(_: str) -> None:
    pass


class Server:
    """Serves DATA at any path but /missing; `cuts` answers break after 100,000 bytes."""

    def __init__(self):
        self.cuts, self.ranges, self.data = 0, True, DATA
        self.asked: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                wanted = self.headers.get("Range")
                server.asked.append(wanted)
                if self.path == "/missing":
                    return self.send_error(404)
                start = 0
                if wanted and server.ranges:
                    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                    if start >= len(server.data):
                        self.send_response(416)
                        self.send_header("Content-Range", f"bytes */{len(server.data)}")
                        self.send_header("Content-Length", "0")
                        return self.end_headers()
                    self.send_response(206)
                    last = len(server.data) - 1
                    self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
                else:
                    self.send_response(200)
                body = server.data[start:]
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if server.cuts:
                    server.cuts -= 1
                    body = body[:100_000]
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def test_whole_file(server, tmp_path):
    target = tmp_path / "new" / "a.zip"
    download.fetch([f"{server.url}/a"], target, checksum=SHA256, log=quiet)
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["a.zip"]  # no part is left


def test_resumes_after_cuts(server, tmp_path):
    server.cuts = 2
    download.fetch([f"{server.url}/a"], tmp_path / "a", checksum=SHA256, log=quiet)
    assert (tmp_path / "a").read_bytes() == DATA
    assert server.asked == [None, "bytes=100000-", "bytes=200000-"]  # no byte came twice


def test_resumes_in_a_later_run(server, tmp_path):
    server.cuts = 1
    with pytest.raises(BadInput, match="broke after 100,000 of 300,000 bytes"):
        download.fetch([f"{server.url}/a"], tmp_path / "a", attempts=1, log=quiet)
    assert not (tmp_path / "a").exists()  # nothing half-written under the final name
    download.fetch([f"{server.url}/a"], tmp_path / "a", checksum=SHA256, attempts=1, log=quiet)
    assert (tmp_path / "a").read_bytes() == DATA
    assert server.asked == [None, "bytes=100000-"]


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.cuts, server.ranges = 1, False
    download.fetch([f"{server.url}/a"], tmp_path / "a", checksum=SHA256, log=quiet)
    assert (tmp_path / "a").read_bytes() == DATA


def test_a_part_that_is_complete(server, tmp_path):
    (tmp_path / "a.part").write_bytes(DATA)
    download.fetch([f"{server.url}/a"], tmp_path / "a", checksum=SHA256, log=quiet)
    assert (tmp_path / "a").read_bytes() == DATA and server.asked == ["bytes=300000-"]


@pytest.mark.parametrize("size", [1_000, 400_000])
def test_a_part_of_another_file_is_not_kept(server, tmp_path, size):
    (tmp_path / "a.part").write_bytes(bytes(size))
    download.fetch([f"{server.url}/a"], tmp_path / "a", checksum=SHA256, log=quiet)
    assert (tmp_path / "a").read_bytes() == DATA


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_checksum_mismatch(server, tmp_path, kind):
    right = f"{kind}:{hashlib.new(kind, DATA).hexdigest()}"
    server.data = DATA[:-1] + b"?"
    with pytest.raises(BadInput, match=f"does not have the checksum {right}"):
        download.fetch([f"{server.url}/a"], tmp_path / "a", checksum=right, log=quiet)
    assert list(tmp_path.iterdir()) == []
    server.data = DATA
    download.fetch([f"{server.url}/a"], tmp_path / "a", checksum=right, log=quiet)


def test_mirrors_in_turn(server, tmp_path):
    urls = [f"{server.url}/missing", f"{server.url}/a"]
    download.fetch(urls, tmp_path / "a", checksum=SHA256, attempts=1, log=quiet)
    assert (tmp_path / "a").read_bytes() == DATA


def test_the_error_says_what_to_place_where(server, tmp_path):
    target = tmp_path / "ml.zip"
    with pytest.raises(BadInput) as error:
        download.fetch([f"{server.url}/missing"], target, attempts=2, log=quiet)
    assert f"{server.url}/missing: HTTP Error 404" in str(error.value)
    assert f"place it at {target}" in str(error.value)
    assert len(server.asked) == 2


# ---------------------------------------------------------------- archives


def archive(path, members: dict[str, bytes], link: str | None = None):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(info, "/etc/passwd")
    return path


def test_unzip_peels_the_top_folder(tmp_path):
    path = archive(tmp_path / "a.zip", {"ml-x/ratings.dat": b"1", "ml-x/deep/b": b"2"})
    download.unzip(path, tmp_path / "out")
    assert (tmp_path / "out" / "ratings.dat").read_bytes() == b"1"
    assert (tmp_path / "out" / "deep" / "b").read_bytes() == b"2"
    download.unzip(archive(tmp_path / "b.zip", {"x": b"1", "y": b"2"}), tmp_path / "flat")
    assert sorted(path.name for path in (tmp_path / "flat").iterdir()) == ["x", "y"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip", "flat", "out"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:/evil"])
def test_unzip_stays_inside(tmp_path, name):
    inside = tmp_path / "cache"
    inside.mkdir()
    path = archive(inside / "a.zip", {"good": b"1", name: b"2"})
    with pytest.raises(BadInput, match=r"would be written outside the folder\. Nothing was"):
        download.unzip(path, inside / "out")
    assert [path.name for path in inside.iterdir()] == ["a.zip"]
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_unzip_refuses_links(tmp_path):
    path = archive(tmp_path / "a.zip", {"good": b"1"}, link="passwd")
    with pytest.raises(BadInput, match="'passwd' would be written outside"):
        download.unzip(path, tmp_path / "out")


def test_damaged_archives(tmp_path):
    path = archive(tmp_path / "a.zip", {"x": DATA})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput, match=r"could not be unpacked .*remove it and download it again"):
        download.unzip(path, tmp_path / "out")
    path = archive(tmp_path / "b.zip", {"x": DATA})
    path.write_bytes(path.read_bytes().replace(DATA[:50], bytes(50)))  # the CRC no longer fits
    with pytest.raises(BadInput, match="could not be unpacked"):
        download.unzip(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_no_fault_of_the_mirror(tmp_path, monkeypatch):
    """It is told at once, and what was downloaded stays to go on from."""
    asked = []

    def transfer(url, part):
        asked.append(url)
        part.write_bytes(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_transfer", transfer)
    with pytest.raises(BadInput, match=r"x\.zip\.part cannot be written .*free some space"):
        download.fetch(["http://a/x.zip", "http://b/x.zip"], tmp_path / "x.zip", checksum=None)
    assert len(asked) == 1 and (tmp_path / "x.zip.part").read_bytes() == b"some"
