"""Finding, downloading and verifying files, against a real server on this machine."""

import hashlib
import http.server
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from molrate.errors import InputError, UnreachableError, WeightsError
from molrate.files.downloads import Artifact

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT_BLOB = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges at /ranges, without at /whole, another file at /other.

    It promises twice as many bytes at /short, sends more than the file has at /longer, and never ends at
    /endless.
    """

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        if self.path == "/none":
            self.send_error(404)
            return
        if self.path == "/broken":
            self.send_error(500)
            return
        body, status = {"/other": b"other", "/empty": b""}.get(self.path, CONTENT), 200
        if self.path == "/longer":
            body = CONTENT + b"more" * 1000
        asked = self.headers.get("Range")
        if asked and self.path == "/refusing":
            self.send_error(416)
            return
        if asked and self.path == "/ranges":
            body, status = CONTENT[int(asked.removeprefix("bytes=").removesuffix("-")) :], 206
        self.send_response(status)
        promised = {"/endless": None, "/short": 2 * len(body)}.get(self.path, len(body))
        if promised is not None:
            self.send_header("Content-Length", str(promised))
        self.end_headers()
        self.close_connection = True
        try:
            while self.path == "/endless":
                self.wfile.write(CONTENT)
            for start in range(0, len(body), len(body) // 20 or 1):
                self.wfile.write(body[start : start + (len(body) // 20 or 1)])
                time.sleep(0.1 if self.path == "/slow" else 0)
        except OSError:
            pass  # who asked is gone

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        running.url = f"http://127.0.0.1:{running.server_address[1]}"
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def artifact(*urls, **known):
    return Artifact("file.pth", "weights", urls=urls, **(known or {"sha256": SHA256}))


@pytest.mark.parametrize("known", [{"sha256": SHA256}, {"git_blob": GIT_BLOB}])
def test_download_is_verified_kept_and_not_repeated(server, fresh_cache, known):
    wanted = artifact(f"{server.url}/none", f"{server.url}/other", f"{server.url}/whole", **known)
    path = wanted.locate()
    assert path.read_bytes() == CONTENT
    assert fresh_cache in path.parents
    assert wanted.locate() == path
    assert len(server.requests) == 3
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("place", ["ranges", "whole", "refusing"])
def test_a_cut_off_download_is_continued(server, fresh_cache, place):
    wanted = artifact(f"{server.url}/{place}")
    partial = fresh_cache / "weights" / f"{SHA256[:12]}-file.pth.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:5000])
    assert wanted.locate().read_bytes() == CONTENT
    assert server.requests[0] == (f"/{place}", "bytes=5000-")
    # A server without ranges sends everything again or refuses, which is noticed and put right.
    assert len(server.requests) == (1 if place == "ranges" else 2)


@pytest.mark.parametrize("place", ["broken", "none", "nobody listens"])
def test_what_is_here_already_stays_where_no_other_bytes_come(server, fresh_cache, place):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        silent = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
    wanted = artifact(f"{server.url}/{place}" if " " not in place else silent)
    partial = fresh_cache / "weights" / f"{SHA256[:12]}-file.pth.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:5000])
    with pytest.raises(WeightsError, match="cannot download"):
        wanted.locate()
    assert partial.read_bytes() == CONTENT[:5000]
    # A second place goes on where the first one failed.
    artifact(*wanted.urls, f"{server.url}/ranges").locate()
    assert server.requests[-1] == ("/ranges", "bytes=5000-")


LOCATE = """
import sys
from molrate.files.downloads import Artifact
wanted = Artifact("file.pth", "weights", sha256=sys.argv[1], urls=(sys.argv[2],))
sys.stdin.readline()
print(wanted.locate())
"""


def test_of_eight_processes_on_a_cold_cache_one_downloads(server, fresh_cache):
    command = [sys.executable, "-c", LOCATE, SHA256, f"{server.url}/slow"]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)
    ]
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    places = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 8
    (path,) = map(Path, places)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("/slow", None)]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_download_whose_process_is_killed_is_continued(server, fresh_cache):
    command = [sys.executable, "-c", LOCATE, SHA256, f"{server.url}/slow"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write("\n")
    process.stdin.flush()
    while not any(part.stat().st_size for part in fresh_cache.glob("weights/*.part")):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert list(fresh_cache.glob("weights/.*.lock"))
    assert artifact(f"{server.url}/ranges").locate().read_bytes() == CONTENT
    assert server.requests[-1][1].startswith("bytes=")
    assert not list(fresh_cache.glob("weights/.*.lock"))


def test_a_download_that_cannot_be_had_says_what_to_do(server, fresh_cache):
    with pytest.raises(WeightsError, match=r"404.*another digest.*folder named by MOLRATE_WEIGHTS"):
        artifact(f"{server.url}/none", f"{server.url}/other").locate()
    with pytest.raises(WeightsError, match=r"no connection"):
        artifact("http://127.0.0.1:9/nothing").locate()
    assert not list(fresh_cache.rglob("*.pth"))


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("endless", rf"more comes from there than the {len(CONTENT)} bytes of the file"),
        ("longer", rf"more comes from there than the {len(CONTENT)} bytes of the file"),
        ("broken", "it answers 500, out of service"),
    ],
)
def test_a_server_that_sends_too_much_or_nothing_is_given_up(server, fresh_cache, place, reason):
    with pytest.raises(WeightsError, match=reason) as raised:
        artifact(f"{server.url}/{place}", sha256=SHA256, size=len(CONTENT)).locate()
    # Of a server that is out of service nothing else would come either.
    assert isinstance(raised.value, UnreachableError) == (place == "broken")
    assert not list(fresh_cache.rglob("*.pth"))
    assert sum(part.stat().st_size for part in fresh_cache.rglob("*.part")) <= len(CONTENT)
    # The next server is asked, and what is here already does not stand in its way.
    both = artifact(f"{server.url}/{place}", f"{server.url}/ranges", sha256=SHA256, size=len(CONTENT))
    assert both.locate().read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["broken", "none", "empty", "nobody listens"])
def test_where_nothing_comes_nothing_is_left(server, fresh_cache, place):
    url = f"{server.url}/{place}" if " " not in place else "http://127.0.0.1:9/file"
    with pytest.raises(WeightsError, match="cannot download"):
        artifact(url).locate()
    assert not [path for path in fresh_cache.rglob("*") if path.is_file()]


def test_a_file_counts_as_here_by_its_size(fresh_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("MOLRATE_WEIGHTS", str(tmp_path))
    sized, unsized = artifact(sha256=SHA256, size=len(CONTENT)), artifact()
    assert not sized.is_here()
    (tmp_path / "file.pth").touch()
    assert not sized.is_here()
    assert not unsized.is_here()
    (tmp_path / "file.pth").write_bytes(CONTENT[:-1])
    assert not sized.is_here()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file.pth").write_bytes(CONTENT)
    assert sized.is_here()
    assert unsized.is_here()


def test_a_server_that_promises_more_than_it_sends_does_no_harm(server, fresh_cache):
    with pytest.raises(WeightsError, match="cannot download"):
        artifact(f"{server.url}/short", sha256="0" * 64, size=len(CONTENT)).locate()
    assert artifact(f"{server.url}/short", f"{server.url}/whole").locate().read_bytes() == CONTENT


def test_offline_no_server_is_asked(server, monkeypatch):
    monkeypatch.setenv("MOLRATE_OFFLINE", "1")
    with pytest.raises(WeightsError, match="MOLRATE_OFFLINE is set"):
        artifact(f"{server.url}/whole").locate()
    assert server.requests == []


def test_folders_are_searched_below_and_before_the_cache(tmp_path, fresh_cache, monkeypatch):
    below = tmp_path / "data" / "a" / "model_gin"
    below.mkdir(parents=True)
    (below / "masking.pth").write_bytes(CONTENT)
    monkeypatch.setenv("MOLRATE_WEIGHTS", str(tmp_path / "data"))
    found = Artifact("gin_masking.pth", "weights", ("model_gin/masking.pth",), sha256=SHA256)
    assert found.locate() == below / "masking.pth"


def test_another_file_of_the_same_name_does_not_hide_the_right_one(tmp_path, monkeypatch, fresh_cache):
    for folder, content in (("a", b"mine"), ("b", CONTENT)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file.pth").write_bytes(content)
    monkeypatch.setenv("MOLRATE_WEIGHTS", str(tmp_path))
    assert artifact().locate() == tmp_path / "b" / "file.pth"


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MOLRATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="Set MOLRATE_CACHE"):
        artifact(f"{server.url}/whole").locate()


def test_an_altered_file_is_refused_at_every_use(server, tmp_path, fresh_cache, monkeypatch):
    path = artifact(f"{server.url}/whole").locate()
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match="truncated or altered"):
        artifact(f"{server.url}/whole").locate()
    with pytest.raises(InputError, match="MOLRATE_DATA"):
        Artifact("file.csv", "datasets", sha256=SHA256).locate(download=False)
