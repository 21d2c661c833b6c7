"""Archives and servers that several tests share. Servers run on free ports of this machine."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest

import lenssim

CLASSES = ["axion", "cdm", "no_sub"]


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def wait_for(port, process):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended before it answered"
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not answer")


@pytest.fixture(scope="session")
def archive_folder(tmp_path_factory):
    """An archive of all groups in both formats; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("shared") / "B"
    lenssim.generate(
        "B",
        CLASSES,
        train=70,
        test=20,
        out=folder,
        formats=("zarr", "webdataset"),
        chunk_size=16,
        shard_size=32,
    )
    return folder


def galaxy(seed, side=61):
    """A disc with clumps as wide as a PSF, without noise."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - 0.5 * (side - 1)
    picture = np.exp(-np.hypot(x, 1.4 * y) / 3.5)
    for _ in range(6):
        left, low = generator.normal(0, 4, 2)
        squared = (x - left) ** 2 + (y - low) ** 2
        picture += generator.uniform(0.1, 0.4) * np.exp(-squared / (2 * 1.5**2))
    return picture


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory):
    """Twelve pictures of galaxies as .npy files, numbered from 100."""
    place = tmp_path_factory.mktemp("galaxies")
    for number in range(100, 112):
        np.save(place / f"{number}.npy", galaxy(number))
    return place


@pytest.fixture
def images_in_memory(monkeypatch):
    """Counts, as each shard is written by a module, the shards whose images are in memory."""

    def watch(module):
        write, images, counts = module.write_shard, [], []

        def watched(location, layout, name, shard, columns, *rest):
            images.append(weakref.ref(columns["image"]))
            counts.append(sum(reference() is not None for reference in images))
            write(location, layout, name, shard, columns, *rest)

        monkeypatch.setattr(module, "write_shard", watched)
        return counts

    return watch


@pytest.fixture
def archive_copy(archive_folder, tmp_path):
    return Path(shutil.copytree(archive_folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def s3_server():
    """A real server that speaks S3; gives its address."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def bucket(s3_server, monkeypatch, request):
    """URL of an empty bucket, for this process and those that it starts."""
    import fsspec

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_server,
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.config.conf.pop("s3", None)
    file_system = fsspec.filesystem("s3", skip_instance_cache=True)
    name = f"bucket-{abs(hash(request.node.name)):x}"
    file_system.mkdir(name)
    return f"s3://{name}"


@dataclass
class Faults:
    """What a web server does wrong or insists on, and what it was asked for."""

    busy: int = 0
    cut_short: int = 0
    stall: float = 0.0
    no_ranges: bool = False
    query: str = ""
    requests: Counter = field(default_factory=Counter)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Clients that give up are what these tests are about."""


class _Files(BaseHTTPRequestHandler):
    """Serves files, with byte ranges as object stores have them, and the faults asked for."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folder, faults, *arguments):
        self.folder, self.faults = folder, faults
        super().__init__(*arguments)

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.serve(with_body=False)

    def do_GET(self):
        self.serve(with_body=True)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def serve(self, with_body):
        self.faults.requests[self.command] += 1
        if self.faults.busy:
            self.faults.busy -= 1
            self.answer(503)
            return
        time.sleep(self.faults.stall)
        address, _, query = self.path.partition("?")
        if parse_qsl(query) != parse_qsl(self.faults.query):
            self.answer(403)
            return
        path = self.folder / address.lstrip("/")
        if not path.is_file():
            self.answer(404)
            return
        content = path.read_bytes()
        size = len(content)
        asked = self.headers.get("Range", "").removeprefix("bytes=")
        if asked and not self.faults.no_ranges:
            start, _, end = asked.partition("-")
            first = int(start) if start else size - int(end)
            if first >= size:
                self.answer(416)
                return
            last = min(int(end), size - 1) if start and end else size - 1
            content = content[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not with_body:
            return
        if self.faults.cut_short:
            self.faults.cut_short -= 1
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)


@pytest.fixture
def serve():
    """Starts a web server of a folder that does wrong what it is told to; gives (url, faults)."""
    servers = []

    def start(folder):
        faults = Faults()
        server = _Server(("127.0.0.1", 0), partial(_Files, folder, faults))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", faults

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def faulty_web(archive_folder, serve):
    """A web server of the shared archive that does wrong what it is told to; (url, faults)."""
    return serve(archive_folder)


NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@pytest.fixture
def web(archive_folder, faulty_web, tmp_path):
    """A web server of the shared archive, nginx where it is installed; (url, count requests)."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        url, faults = faulty_web
        yield url, faults.requests.total
        return
    folder, port = tmp_path / "nginx", free_port()
    folder.mkdir()
    # the server's workers are another user, who may not look into pytest's folders
    root = folder / "root"
    shutil.copytree(archive_folder, root)
    for path in (*root.rglob("*"), root, *root.parents):
        if path.is_relative_to(tempfile.gettempdir()):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    settings = folder / "nginx.conf"
    settings.write_text(NGINX.format(folder=folder, port=port, root=root))
    process = subprocess.Popen([program, "-c", str(settings)], stderr=subprocess.DEVNULL)
    log = folder / "access.log"
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}", lambda: len(log.read_text().splitlines())
    finally:
        process.terminate()
        process.wait()
