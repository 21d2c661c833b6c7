"""What servers refuse is one sentence that names the cause and the way out."""

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import fsspec
import pytest

import lenssim
from lenssim.errors import ServerError
from lenssim.storage import stores
from lenssim.storage.location import Location


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(stores, "FIRST_DELAY", 0.001)


@pytest.fixture
def server():
    """A server that answers every request with its `status`, `headers` and `body`."""
    answer = SimpleNamespace(status=200, headers={}, body=b"", requests=0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer.requests += 1
            body = b"" if self.command == "HEAD" else answer.body
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    for method in ("GET", "HEAD", "PUT", "POST"):
        setattr(Handler, f"do_{method}", Handler.answer)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        answer.url = f"http://127.0.0.1:{running.server_port}"
        yield answer
        running.shutdown()


@pytest.fixture
def s3(server, monkeypatch):
    """A bucket's URL; `server` answers in its place."""
    options = {"endpoint_url": server.url, "key": "test", "secret": "test"}
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    return "s3://bucket/folder"


@pytest.fixture
def hub(server, monkeypatch):
    """A URL on the Hugging Face hub; `server` answers in its place."""
    monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": server.url, "token": False})
    return "hf://datasets/someone/lenses"


def failure(call, *arguments):
    with pytest.raises(ServerError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize(
    ("status", "cause", "attempts"),
    [
        (400, "its server refuses the request (400 Bad Request); check the address", 1),
        (401, "access is refused (401 Unauthorized); check the address and, if it is signed", 1),
        (403, "access is refused (403 Forbidden); check the address and, if it is signed", 1),
        (416, "its server refuses the request (416 Requested Range Not Satisfiable)", 1),
        (429, "after 5 attempts its server still fails (429 Too Many Requests); try again", 5),
        (500, "after 5 attempts its server still fails (500 Internal Server Error)", 5),
        (504, "after 5 attempts its server does not answer (504 Gateway Timeout)", 5),
    ],
)
def test_what_a_web_server_refuses(status, cause, attempts, server):
    server.status = status
    message = failure(lenssim.open_archive, server.url)
    assert message.startswith(f"{server.url}/archive.json cannot be read: {cause}")
    assert server.requests == attempts


def test_a_redirection_without_end(server):
    server.status, server.headers = 302, {"Location": "/again"}
    message = failure(lenssim.open_archive, server.url)
    assert "its server redirects without end (TooManyRedirects); check the address" in message


def test_a_name_that_no_server_has(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = failure(lenssim.open_archive, "http://misspelt.example/B")
    assert "its server is not found (Name or service not known); check the address" in message


def test_a_server_that_is_not_running():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        message = failure(lenssim.open_archive, url)
    assert "after 5 attempts there is no connection to its server" in message
    assert "check the address and the network" in message


def test_a_server_without_tls(server):
    message = failure(lenssim.open_archive, server.url.replace("http", "https"))
    assert "no secure connection to its server is possible" in message


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (403, "AccessDenied", "access is refused (It is so); set AWS_ACCESS_KEY_ID and"),
        (403, "SignatureDoesNotMatch", "access is refused (It is so); set AWS_ACCESS_KEY_ID and"),
        (400, "InvalidToken", "access is refused (It is so); set AWS_ACCESS_KEY_ID and"),
        (404, "NoSuchBucket", "the bucket does not exist (It is so); create it, or check"),
        (400, "AuthorizationHeaderMalformed", "the bucket is in another region (It is so); set"),
    ],
)
@pytest.mark.parametrize("request_", ["write", "create", "sizes"])
def test_what_s3_refuses(status, code, cause, request_, s3, server):
    text = f"<Error><Code>{code}</Code><Message>It is so.</Message></Error>"
    server.status, server.body = status, text.encode()
    arguments = ("",) if request_ == "sizes" else ("file", b"content")
    message = failure(getattr(Location(s3), request_), *arguments)
    assert message.startswith(f"{s3}/{'' if request_ == 'sizes' else 'file'} cannot be ")
    assert cause in message


@pytest.fixture
def without_credentials(monkeypatch, tmp_path):
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(fsspec.config.conf, "s3", {"skip_instance_cache": True})


def test_s3_without_credentials(without_credentials, archive_folder):
    cause = "no usable credentials were found (Unable to locate credentials); set AWS_ACCESS_KEY_ID"
    message = failure(lenssim.publish, archive_folder, "s3://bucket/folder")
    assert cause in message
    assert "try again" not in message
    message = failure(lenssim.open_archive, "s3://bucket/folder")
    assert cause in message
    assert "FSSPEC_S3_ANON=true if the bucket is public" in message


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (401, "RepoNotFound", "does not exist, or is private (401 Unauthorized); create it or"),
        (404, "RepoNotFound", "does not exist, or is private (404 Not Found); create it or"),
        (403, "GatedRepo", "does not exist, or is private (403 Forbidden); create it or"),
        (403, "", "access is refused (403 Forbidden); log in with `hf auth login`"),
        (500, "", "after 5 attempts its server still fails (500 Internal Server Error)"),
    ],
)
def test_what_the_hub_refuses(status, code, cause, hub, server):
    server.status, server.headers, server.body = status, {"X-Error-Code": code}, b"{}"
    message = failure(lenssim.open_archive, hub)
    assert message.startswith(f"{hub}/archive.json cannot be read: ")
    assert cause in message


def test_files_are_not_committed_to_a_repository_that_is_not_there(hub, server, tmp_path):
    server.status, server.headers, server.body = 401, {"X-Error-Code": "RepoNotFound"}, b"{}"
    message = failure(Location(hub).commit_to_hub, tmp_path, ["file"])
    assert "cannot be written: the repository or its revision does not exist" in message
