"""From a handle to a module, with and without network and optional packages."""

import hashlib
import http.server
import io
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time

import hub_modules
import pytest

from keras_distill.teachers import hub_files
from keras_distill.teachers.hub import HubLayer
from keras_distill_cli import command as cli

TFHUB = "https://tfhub.dev/keras_distill/encoder/1"
KAGGLE = "https://www.kaggle.com/models/keras_distill/bert/TensorFlow2/encoder/1"
# The domain .invalid has no host, with or without a network (RFC 6761).
UNREACHABLE = "https://tfhub.invalid/keras_distill/encoder/1"

LOAD_WITHOUT_THEN_WITH_TENSORFLOW_TEXT = """
import sys
from keras_distill.teachers.hub import HubLayer

sys.modules["tensorflow_text"] = None
try:
    HubLayer(sys.argv[1])
except ImportError as error:
    print(error)
del sys.modules["tensorflow_text"]
print(HubLayer(sys.argv[1])(["good"])["input_word_ids"].numpy().tolist())
print("tensorflow_hub" in sys.modules)
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_tensorflow_hub(monkeypatch):
    # As with setuptools 82, whose lack of pkg_resources breaks its import.
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)


def cache_folder(cache, url):
    return cache / hashlib.sha1(url.encode()).hexdigest()


def put_into(cache, url, folder):
    return shutil.copytree(folder, cache_folder(cache, url))


@pytest.mark.parametrize("url", [TFHUB, KAGGLE])
def test_a_cached_module_needs_no_network(encoder_folder, cache, url):
    folder = put_into(cache, url, encoder_folder)
    layer = HubLayer(url)
    assert layer.folder == str(folder)
    assert layer.get_config()["handle"] == url


class TestDefaultCache:
    """Into that of tensorflow_hub, below /tmp, anyone may put a program."""

    @pytest.fixture
    def own(self, tmp_path, monkeypatch):
        monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        return tmp_path / "keras_distill" / "tfhub_modules"

    def test_is_the_users_own(self, encoder_folder, own):
        folder = put_into(own, TFHUB, encoder_folder)
        assert HubLayer(TFHUB).folder == str(folder)
        assert "TFHUB_CACHE_DIR" not in os.environ

    def test_is_made_for_the_user_alone(self, own):
        with pytest.raises(OSError, match=r"cannot be downloaded"):
            HubLayer(UNREACHABLE)
        assert stat.S_IMODE(own.stat().st_mode) == 0o700

    def test_is_in_the_home_folder(self, tmp_path, monkeypatch, own):
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert hub_files._cache() == f"{tmp_path}/.cache/keras_distill/tfhub_modules"

    @pytest.mark.skipif(os.geteuid() != 0, reason="Only root can give a folder away.")
    def test_of_another_user_is_refused(self, encoder_folder, own):
        put_into(own, TFHUB, encoder_folder)
        os.chown(own, 65534, 65534)
        with pytest.raises(PermissionError, match=r"no other user can write.*of user 65534"):
            HubLayer(TFHUB)

    def test_that_all_may_write_is_refused(self, encoder_folder, own, monkeypatch):
        put_into(own, TFHUB, encoder_folder)
        own.chmod(0o777)
        for name, value in {"XDG_CACHE_HOME": own.parents[1], "TFHUB_CACHE_DIR": own}.items():
            monkeypatch.setenv(name, str(value))
            with pytest.raises(PermissionError, match=r"tfhub_modules, .*the mode drwxrwxrwx"):
                HubLayer(TFHUB)


def test_without_a_network_the_error_says_where_to_put_the_module(cache):
    start = time.monotonic()
    folder = re.escape(str(cache_folder(cache, UNREACHABLE)))
    message = rf"cannot be downloaded .*handle='{UNREACHABLE}'.*local folder.*unpack .*{folder}"
    with pytest.raises(OSError, match=message):
        HubLayer(UNREACHABLE)
    assert time.monotonic() - start < 20
    assert not list(cache.iterdir())


def test_a_server_that_does_not_answer_is_given_up(cache, monkeypatch):
    monkeypatch.setattr(hub_files, "_TIMEOUT_S", 0.3)
    timed_out = pytest.raises(OSError, match=r"cannot be downloaded \(.*timed out\)")
    with socket.create_server(("127.0.0.1", 0)) as server, timed_out:
        HubLayer(f"http://127.0.0.1:{server.getsockname()[1]}/encoder/1")
    assert socket.getdefaulttimeout() is None


@pytest.fixture
def server(encoder_folder):
    """A server of one archive, of which it sends `server.share` before it hangs up."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        file.add(encoder_folder, arcname=".")
    content = archive.getvalue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: int(self.server.share * len(content))])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{server.server_port}/encoder.tar.gz"
        yield server
        server.shutdown()


def test_a_download_that_breaks_off_leaves_nothing(cache, server, tmp_path, capsys):
    server.share = 0.5
    with pytest.raises(OSError, match=r"cannot be downloaded .*Without a network, give a local"):
        HubLayer(server.url)
    (tmp_path / "train.csv").write_text("text,label\n" + "good film,yes\nbad film,no\n" * 5)
    output = tmp_path / "out"
    command = ["text", str(tmp_path / "train.csv"), "--teacher", server.url]
    assert cli.main([*command, "--preprocessor", server.url, "--output", str(output)]) == 1
    assert "Error: The module cannot be downloaded" in capsys.readouterr().err
    assert not output.exists()
    server.share = 1.0
    assert HubLayer(server.url).folder == str(cache_folder(cache, server.url))


def test_a_folder_without_a_module(tmp_path):
    for folder, found in ((tmp_path, "which is a folder"), (tmp_path / "missing", "which is not")):
        with pytest.raises(ValueError, match=rf"handle='{folder}', {found}.*no saved_model.pb is"):
            HubLayer(folder)


def test_a_handle_that_is_no_module():
    with pytest.raises(ValueError, match=r"handle must be a URL, a folder.*handle=5"):
        HubLayer(5)


def test_a_cached_folder_without_a_module(cache):
    cache_folder(cache, TFHUB).mkdir()
    (cache_folder(cache, TFHUB) / "bert").mkdir()
    with pytest.raises(ValueError, match=f"in the cache {cache_folder(cache, TFHUB)}, where no"):
        HubLayer(TFHUB)


def test_the_tf1_hub_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"TF2 SavedModel.*TF1 Hub format.*later version"):
        HubLayer(hub_modules.save_tf1(tmp_path / "tf1"))


def test_folders_and_cached_modules_load_without_tensorflow_hub(
    encoder_folder, cache, no_tensorflow_hub
):
    folder = put_into(cache, KAGGLE, encoder_folder)
    assert HubLayer(encoder_folder).folder == str(encoder_folder)
    assert HubLayer(KAGGLE).folder == str(folder)


def test_downloads_need_tensorflow_hub(cache, no_tensorflow_hub):
    with pytest.raises(ImportError, match=r'pip install tensorflow-hub "setuptools<82"'):
        HubLayer(TFHUB)


@pytest.mark.long
def test_tensorflow_text_is_imported_for_the_modules_that_need_it(preprocessor_folder):
    command = [sys.executable, "-c", LOAD_WITHOUT_THEN_WITH_TENSORFLOW_TEXT]
    command.append(str(preprocessor_folder))
    root = pathlib.Path(__file__).parents[2]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    error, ids, hub_imported = run.stdout.splitlines()
    assert re.search(r"Op type not registered '\S+'.*pip install tensorflow-text", error)
    assert ids == "[[2, 5, 3, 0, 0, 0]]"
    assert hub_imported == "False"
