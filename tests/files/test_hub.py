"""Models of the Hugging Face hub, which its real client asks a server on this machine for."""

import http.server
import json
import threading
import time

import pytest

from molrate.errors import UnreachableError, WeightsError
from molrate.files.hub import is_model_kept, model_folder

constants = pytest.importorskip("huggingface_hub.constants", reason="NOT TESTED: pip install 'molrate[hf]'")

COMMIT = "6e443fbdd46af01728b6f3ddab7f8ed60963869d"
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights" * 100,
    "run.pkl": b"x",
}


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub with FILES under every name; ``server.fault`` is what a path of this beginning meets."""

    def do_GET(self):
        self.server.requests.append(self.path.split("?")[0])
        fault = next(
            (what for start, what in self.server.faults.items() if self.path.startswith(start)), None
        )
        if fault == "silent":
            time.sleep(30)
        elif fault == "login":
            self.answer(b"<html>Who are you?</html>")
        elif fault is not None:
            self.send_error(fault)
        elif self.path.startswith("/api/models/some/model/revision/"):
            self.answer(json.dumps({"id": "some/model", "sha": COMMIT, "siblings": []}).encode())
        elif self.path.startswith("/api/models/some/model/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                for name, content in FILES.items()
            ]
            self.answer(json.dumps(tree).encode())
        elif self.path.startswith("/some/model/resolve/"):
            self.answer(FILES[self.path.split("/")[-1]])
        else:
            self.send_error(404)

    def do_HEAD(self):
        self.do_GET()

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{self.path.split("/")[-1]}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            cut = next((path for path in self.server.cut if self.path.endswith(path)), None)
            if cut is not None:
                self.server.cut.remove(cut)
            self.wfile.write(content if cut is None else content[:-1])
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as running:
        running.daemon_threads, running.block_on_close = True, False
        running.requests, running.faults, running.cut = [], {}, []
        url = f"http://127.0.0.1:{running.server_address[1]}"
        # The client has read the variables when it was imported.
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.mark.parametrize("revision", [COMMIT, "main"])
def test_a_model_is_fetched_without_what_may_hold_code_and_kept(server, revision):
    assert not is_model_kept("some/model", revision)
    folder = model_folder("some/model", revision, download=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: content for name, content in FILES.items() if name != "run.pkl"
    }
    assert is_model_kept("some/model", revision)
    n_requests = len(server.requests)
    assert model_folder("some/model", revision) == folder
    assert len(server.requests) == n_requests
    # What is kept is used where the hub does not answer.
    server.faults = {"/": "silent"}
    assert model_folder("some/model", revision, download=True, patience=1) == folder


@pytest.mark.parametrize("path", ["/", "/api/models/some/model/tree/", "/some/model/resolve/"])
def test_a_hub_that_does_not_answer_is_given_up_in_time(server, path):
    server.faults = {path: "silent"}
    start = time.monotonic()
    with pytest.raises(UnreachableError, match=rf"some/model@{COMMIT}: .*no answer within 1 s"):
        model_folder("some/model", COMMIT, download=True, patience=1)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("path", ["/", "/some/model/resolve/"])
def test_a_hub_that_is_out_of_service_is_asked_once(server, path, capfd):
    server.faults = {path: 503}
    with pytest.raises(UnreachableError, match="it answers 503, out of service"):
        model_folder("some/model", COMMIT, download=True)
    asked = [request for request in server.requests if "some/model" in request]
    assert len(asked) == len(set(asked))
    assert "Retry" not in capfd.readouterr().err


def test_what_the_client_logs_is_written_once(server, caplog, capfd):
    # The weights come whole when they are asked for again.
    server.cut = ["/model.safetensors"]
    folder = model_folder("some/model", COMMIT, download=True)
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert "Trying to resume download" in caplog.text
    assert "Trying to resume download" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("fault", "reason"), [(404, "404"), (403, "403"), ("login", r"what answers is no hub \(a login page")]
)
def test_other_answers_are_of_this_model(server, fault, reason):
    server.faults = {"/": fault}
    with pytest.raises(WeightsError, match=reason) as raised:
        model_folder("some/model", COMMIT, download=True)
    assert not isinstance(raised.value, UnreachableError)
    assert "\n" not in str(raised.value)


def test_nobody_who_listens_is_no_answer_and_the_client_is_as_before(server, monkeypatch):
    from huggingface_hub import get_session

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    before = get_session().send
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1: no connection \(ConnectError\)"):
        model_folder("some/model", COMMIT, download=True)
    assert get_session().send == before


def test_offline_nothing_is_asked_and_the_hint_is_a_command(server, monkeypatch):
    monkeypatch.setenv("MOLRATE_OFFLINE", "1")
    with pytest.raises(
        WeightsError, match=f"is set; get it with `hf download some/model --revision {COMMIT}`$"
    ):
        model_folder("some/model", COMMIT, download=True)
    with pytest.raises(WeightsError, match=r"get it with `hf download some/model`$"):
        model_folder("some/model", None)
    assert server.requests == []


def test_a_folder_without_the_files_or_with_links_to_nothing_keeps_no_model(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--some--model" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    assert not is_model_kept("some/model", COMMIT)
    for name in ("config.json", "vocab.txt"):
        (snapshot / name).write_text("{}")
    (snapshot / "model.safetensors").symlink_to(tmp_path / "blob")
    assert not is_model_kept("some/model", COMMIT)
    (tmp_path / "blob").touch()
    assert not is_model_kept("some/model", COMMIT)
    (tmp_path / "blob").write_text("weights")
    assert is_model_kept("some/model", COMMIT)
