"""Archives behind a URL: the same batches, and nothing fetched twice."""

import re
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest

from lensmodels.data import DataSettings, LensDataModule, files, shard_source
from lensmodels.errors import DataError
from lenssim.archive.manifest import read_manifest, write_manifest
from lenssim.errors import LenssimWarning
from lenssim.storage.location import Location


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves files and ranges of files, and notes what it was asked for."""

    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def send_head(self):
        requested = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if requested is None or not path.is_file():
            return super().send_head()
        content = path.read_bytes()
        first, last = requested.groups()
        start = int(first) if first else len(content) - int(last)
        stop = int(last) + 1 if first and last else len(content)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content[start:stop])))
        self.end_headers()
        return BytesIO(content[start:stop])

    def log_message(self, *_):
        pass


class WholeHandler(RangeHandler):
    """Sends whole files whatever range it is asked for, as simple servers do."""

    def send_head(self):
        del self.headers["Range"]
        return super().send_head()


@contextmanager
def served(folder, handler=RangeHandler):
    """A web server of a folder, on this machine."""
    handler = partial(handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def opened(url, cache_dir=None):
    settings = {"batch_size": 16, "num_pix": 16, "cache": "none", "seed": 1}
    module = LensDataModule(DataSettings(url=str(url), cache_dir=cache_dir, **settings))
    module.setup()
    return module


def samples(module):
    return [
        (batch["group"].tolist(), batch["sample"].tolist(), batch["image"].sum().item())
        for batch in module.train_dataloader()
    ]


def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_a_remote_archive_gives_the_batches_of_the_local_one_and_is_fetched_once(either, tmp_path):
    expected = samples(opened(either))
    with served(either) as server:
        assert samples(opened(address(server), tmp_path)) == expected
        server.asked.clear()
        assert samples(opened(address(server), tmp_path)) == expected
        assert [path for path in server.asked if "/image/" in path] == []


def test_only_chunks_that_are_needed_are_fetched(archive, tmp_path):
    with served(archive) as server:
        next(iter(opened(address(server), tmp_path).stream("test", shuffle=False)))
        assert not any("train" in path for path in server.asked if "/c/" in path)


@pytest.mark.parametrize("damage", [lambda old: old[:-90], lambda old: old[:50] + b"?" + old[51:]])
def test_damaged_copies_are_fetched_again(either, tmp_path, damage):
    with served(either) as server:
        expected = samples(opened(address(server), tmp_path))
        copies = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert copies
        for copy in copies:
            copy.write_bytes(damage(copy.read_bytes()))
        assert samples(opened(address(server), tmp_path)) == expected


def test_another_archive_at_the_same_address_is_not_taken_for_the_first(archive, tmp_path):
    folder, cache = tmp_path / "archive", tmp_path / "cache"
    shutil.copytree(archive, folder)
    with served(folder) as server:
        samples(opened(address(server), cache))
        location = Location(folder)
        other = read_manifest(location).model_copy(update={"seed": 1})
        write_manifest(location, other)
        samples(opened(address(server), cache))
    assert len(list(cache.iterdir())) == 2


def test_a_server_that_knows_no_ranges_is_found_out_and_nothing_of_it_kept(archive, tmp_path):
    with (
        served(archive, WholeHandler) as server,
        pytest.raises(DataError, match="does not send parts of files") as caught,
    ):
        samples(opened(address(server), tmp_path))
    assert "\n" not in str(caught.value)
    assert "damaged" not in str(caught.value)
    assert not list(tmp_path.rglob("c/*/0/0.*"))


def test_a_server_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"127\.0\.0\.1") as caught:
        opened("http://127.0.0.1:9", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.fixture(params=["file", "no home", "full"])
def no_cache(request, tmp_path, monkeypatch):
    """A cache folder that cannot be used, each for another reason; None for the default one."""
    match request.param:
        case "file":
            (tmp_path / "file").write_text("")
            return tmp_path / "file" / "cache"
        case "no home":
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
            monkeypatch.delenv("HOME", raising=False)

            def homeless():
                raise RuntimeError("Could not determine home directory.")

            monkeypatch.setattr(Path, "home", homeless)
            return None
        case _:

            def full(*_):
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(files, "replacing", full)
            monkeypatch.setattr(shard_source, "replacing", full)
            return tmp_path / "cache"


def test_without_a_usable_cache_folder_a_remote_archive_is_read_without_copies(either, no_cache):
    expected = samples(opened(either))
    with served(either) as server, pytest.warns(LenssimWarning, match="--cache-dir") as caught:
        assert samples(opened(address(server), no_cache)) == expected
    assert len([warning for warning in caught if warning.category is LenssimWarning]) == 1


def test_a_copy_that_cannot_be_read_is_fetched_again(either, tmp_path):
    with served(either) as server:
        expected = samples(opened(address(server), tmp_path))
        for copy in [path for path in tmp_path.rglob("*") if path.is_file()]:
            copy.unlink()
            copy.mkdir()
        with pytest.warns(LenssimWarning, match="No copies"):
            assert samples(opened(address(server), tmp_path)) == expected
