"""Fetching: cache, mirrors and addresses; resumed, checked, and never half a file."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from reblur.datasets.catalogue import downloads
from reblur.datasets.catalogue.fetching import fetch, verify
from reblur.errors import ReblurError
from small_manifests import SmallManifests, address, entry, final_files

CONTENT = {
    "one.bin": bytes(range(256)) * 2000,
    "two/deep.bin": b"deep" * 999,
}


class Server(ThreadingHTTPServer):
    """Serves CONTENT on 127.0.0.1, and misbehaves as told.

    Attributes:
        ranges: whether Range requests are understood.
        stop_after: bytes after which a connection is cut, once each time it is set.
        delay: seconds before each piece of 4 kB.
        asked: (path, Range header) of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = dict(CONTENT)
        self.ranges, self.stop_after, self.delay = True, None, 0.0
        self.asked: list[tuple[str, str | None]] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path, wanted = self.path.removeprefix("/data/"), self.headers.get("Range")
        self.server.asked.append((path, wanted))
        if path not in self.server.content:
            self.send_error(404)
            return
        body, start = self.server.content[path], 0
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        stop, self.server.stop_after = self.server.stop_after, None
        for position in range(start, len(body), 4096):
            if stop is not None and position - start >= stop:
                self.close_connection = True
                return
            time.sleep(self.server.delay)
            try:
                self.wfile.write(body[position : position + 4096])
            except OSError:
                return

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server():
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """`small(base)` writes a manifest of CONTENT at an address."""
    write = SmallManifests(tmp_path, monkeypatch)
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    files = [entry(path, body) for path, body in CONTENT.items()]
    return lambda base, **more: write(**{"source": address(base), "files": files, **more})


def complete(folder) -> bool:
    return all((folder / path).read_bytes() == body for path, body in CONTENT.items())


def test_from_an_address(small, server, tmp_path):
    folder = fetch(small(server.base))
    assert folder == tmp_path / "data" / "small"
    assert complete(folder)
    assert verify("small") == []
    assert server.asked == [("one.bin", None), ("two/deep.bin", None)]
    fetch("small")
    assert len(server.asked) == 2, "what is here is not asked for again"


def test_origin_and_path_may_differ(small, server):
    server.content = {"elsewhere/1.bin": b"1"}
    small(server.base, files=[entry("mine.bin", b"1", origin="elsewhere/1.bin")])
    assert (fetch("small") / "mine.bin").read_bytes() == b"1"


def test_from_the_cache(small, server):
    folder = fetch(small(server.base))
    for path in CONTENT:
        (folder / path).unlink()
    server.shutdown()
    assert complete(fetch("small", download=False))


def test_a_spoilt_file_is_brought_again(small, server):
    folder = fetch(small(server.base))
    (folder / "one.bin").unlink()  # it may be one file with the cache's
    (folder / "one.bin").write_bytes(b"spoilt")
    assert verify("small") == [f"another checksum: {folder / 'one.bin'}"]
    assert complete(fetch("small"))


def test_a_spoilt_cache_is_not_used(small, server, tmp_path):
    folder = fetch(small(server.base))
    for path in (tmp_path / "data" / "cache").glob("[0-9a-f]*"):
        path.write_bytes(b"spoilt, and with it what is linked to it")
    assert len(verify("small")) == 2
    assert complete(fetch("small"))
    assert folder.is_dir()


@pytest.mark.parametrize("inner", ["small", "far/away"])
def test_from_a_mirror(small, inner, tmp_path, monkeypatch):
    small("http://127.0.0.1:9/", mirror="far/away")
    mirror = tmp_path / "mirror"
    for path, body in CONTENT.items():
        (mirror / inner / path).parent.mkdir(parents=True, exist_ok=True)
        (mirror / inner / path).write_bytes(body)
    monkeypatch.setenv("REBLUR_MIRROR", os.pathsep.join([str(tmp_path / "none"), str(mirror)]))
    assert complete(fetch("small", download=False))
    (mirror / inner / "one.bin").write_bytes(b"changed later")
    assert verify("small") == [], "a mirror's file is copied, not linked"


def test_a_mirror_may_use_the_source_s_names(small, tmp_path, monkeypatch):
    small("http://127.0.0.1:9/", files=[entry("mine.bin", b"1", origin="x/Theirs_1.bin")])
    (tmp_path / "mirror" / "small").mkdir(parents=True)
    (tmp_path / "mirror" / "small" / "Theirs_1.bin").write_bytes(b"1")
    monkeypatch.setenv("REBLUR_MIRROR", str(tmp_path / "mirror"))
    assert (fetch("small") / "mine.bin").read_bytes() == b"1"


def test_a_wrong_file_of_a_mirror_is_passed_over(small, server, tmp_path, monkeypatch):
    (tmp_path / "mirror" / "small").mkdir(parents=True)
    (tmp_path / "mirror" / "small" / "one.bin").write_bytes(CONTENT["one.bin"][::-1])
    monkeypatch.setenv("REBLUR_MIRROR", str(tmp_path / "mirror"))
    assert complete(fetch(small(server.base)))
    assert ("one.bin", None) in server.asked


def test_a_wrong_checksum_gets_no_name(small, server, tmp_path):
    server.content["one.bin"] = CONTENT["one.bin"][::-1]
    with pytest.raises(ReblurError, match=r"one\.bin: gives other bytes .*checksum"):
        fetch(small(server.base))
    assert final_files(tmp_path / "data") == []
    assert not list((tmp_path / "data" / "cache").glob("*.part")), "a wrong part is no start"


def test_a_longer_file_is_not_read_to_its_end(small, server, tmp_path):
    server.content["one.bin"] = CONTENT["one.bin"] + b"x" * 10_000_000
    with pytest.raises(ReblurError, match="longer than the 512000 bytes"):
        fetch(small(server.base))
    assert final_files(tmp_path / "data") == []


def test_a_cut_connection_is_resumed(small, server):
    server.stop_after = 100_000
    assert complete(fetch(small(server.base)))
    (first, none), (second, resumed) = server.asked[:2]
    assert first == second == "one.bin"
    assert none is None
    assert int(resumed.removeprefix("bytes=").rstrip("-")) >= 65536


def test_without_ranges_it_begins_anew(small, server):
    server.stop_after, server.ranges = 100_000, False
    assert complete(fetch(small(server.base)))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_longer_than_the_file(small, server, ranges, tmp_path):
    small(server.base)
    server.ranges = ranges
    cache = tmp_path / "data" / "cache"
    cache.mkdir(parents=True)
    name = hashlib.sha256(CONTENT["one.bin"]).hexdigest()
    (cache / f"{name}.part").write_bytes(CONTENT["one.bin"] * 2)
    assert complete(fetch("small"))


def test_a_part_of_other_bytes_is_thrown_away(small, server, tmp_path):
    small(server.base)
    cache = tmp_path / "data" / "cache"
    cache.mkdir(parents=True)
    name = hashlib.sha256(CONTENT["one.bin"]).hexdigest()
    (cache / f"{name}.part").write_bytes(b"?" * 1000)
    with pytest.raises(ReblurError, match="gives other bytes"):
        fetch("small")
    assert complete(fetch("small"))


def test_killed_and_started_again(small, server, tmp_path):
    small(server.base)
    server.delay = 0.01  # 125 pieces: more than a second
    program = "from reblur.datasets.catalogue.fetching import fetch; fetch('small')"
    running = subprocess.Popen([sys.executable, "-c", program])
    part = tmp_path / "data" / "cache" / f"{hashlib.sha256(CONTENT['one.bin']).hexdigest()}.part"
    until = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= 65536) and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert final_files(tmp_path / "data") == []
    assert 65536 <= part.stat().st_size < len(CONTENT["one.bin"])
    server.delay = 0.0
    assert complete(fetch("small"))
    assert server.asked[1][1] is not None, "the second process asked for the rest alone"


def test_two_at_once(small, server):
    small(server.base)
    server.delay = 0.001
    program = "from reblur.datasets.catalogue.fetching import fetch; fetch('small')"
    both = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
    assert [running.wait() for running in both] == [0, 0]
    assert verify("small") == []
    assert len(server.asked) == 2, "the second waited for the first"


def test_offline_is_one_sentence(small, tmp_path):
    small("http://127.0.0.1:9/", mirror="pairs/small")
    with pytest.raises(ReblurError) as refused:
        fetch("small")
    said = str(refused.value)
    assert said.startswith("small: 2 of 2 files are missing and 127.0.0.1 cannot be reached (")
    for words in ("reblur data fetch small", "REBLUR_MIRROR", "pairs/small/one.bin"):
        assert words in said
    assert "\n" not in said
    assert said.endswith(".")


def test_a_server_in_trouble_and_a_wrong_address(small, server, monkeypatch):
    del server.content["one.bin"]
    with pytest.raises(ReblurError, match="status 404"):
        fetch(small(server.base))
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.send_error(503))
    with pytest.raises(ReblurError, match=r"cannot be reached \(status 503\)"):
        fetch("small")


def test_download_switched_off(small, server):
    with pytest.raises(ReblurError, match="downloading is switched off"):
        fetch(small(server.base), download=False)
    assert server.asked == []


def test_a_full_disk(small, server, monkeypatch, tmp_path):
    def full(self, size):
        yield b"x" * 100
        raise OSError(errno.ENOSPC, "No space left on device")

    small(server.base)
    with monkeypatch.context() as patched:
        patched.setattr(requests.Response, "iter_content", full)
        with pytest.raises(ReblurError, match="the disk is full"):
            fetch("small")
    assert final_files(tmp_path / "data") == []


def test_a_data_root_that_cannot_be_written(small, server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("REBLUR_DATA", str(tmp_path / "file"))
    with pytest.raises(ReblurError, match=r"cannot be written .*REBLUR_DATA"):
        fetch(small(server.base))


def test_packages_are_checked_not_copied(small, tmp_path, monkeypatch):
    (tmp_path / "packages" / "apackage" / "data").mkdir(parents=True)
    (tmp_path / "packages" / "apackage" / "__init__.py").touch()
    (tmp_path / "packages" / "apackage" / "data" / "x").write_bytes(b"1")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    source = {"kind": "package", "package": "apackage", "folder": "data"}
    small("", source=source, files=[entry("x", b"1")])
    assert fetch("small") == tmp_path / "packages" / "apackage" / "data"
    assert not (tmp_path / "data").exists()
    (tmp_path / "packages" / "apackage" / "data" / "x").write_bytes(b"2")
    with pytest.raises(ReblurError, match="have not the manifest's checksum"):
        fetch("small")
