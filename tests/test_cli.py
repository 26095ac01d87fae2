"""The command beside the workflow, as a user meets it: mirrors that serve a machine without network, and a stand-in that runs until it is told to stop."""

import dataclasses
import http.server
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import requests
import yaml
from PIL import Image

from tuningfork.archives.cutouts import CutoutSpec, cutout_requests, read_cutout
from tuningfork.archives.request import ARCHIVES, Request
from tuningfork.archives.transport import Transport
from tuningfork.cli import main
from tuningfork.errors import ArchiveError
from tuningfork.sky.services.cutout_fits import cutout_file
from tuningfork.sky.services.registry import open_services
from tuningfork.sky.wide.build import render_wide
from tuningfork.sky.wide.parameters import WideParameters

TUNINGFORK = Path(sys.executable).with_name("tuningfork")
TABLE = b"a,b\n1,2\n"
SPEC = CutoutSpec("legacysurvey", "unwise-neo7", "fits", ("w1", "w2"), 16)


class Handler(http.server.BaseHTTPRequestHandler):
    """Cutouts as the real viewer sends them, with nothing in them that says simulated; and one static file."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = _cutout(float(query["ra"]), float(query["dec"]), int(query["size"]), float(query["pixscale"])) if query else TABLE
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def _cutout(ra: float, dec: float, size: int, scale: float) -> bytes:
    image = np.arange(2 * size * size, dtype=np.float32).reshape(2, size, size) + ra
    body = cutout_file(image, survey="unWISE", version="NEO7", bands="12", ra=ra, dec=dec, pixscale=scale)
    return re.sub(rb"SIMULATE= {20}T.{50}", lambda found: b"COMMENT ".ljust(len(found[0])), body)


@pytest.fixture(scope="module")
def archives() -> Iterator[dict[str, str]]:
    """Endpoints of two archives that are no simulation."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield dict.fromkeys(("legacysurvey", "github"), f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    thread.join()


def _offline(cache: Path, mirror: Path) -> Transport:
    """A live transport whose every host is a port where nobody listens."""
    nowhere = {name: dataclasses.replace(archive, connect_timeout_s=0.2) for name, archive in ARCHIVES.items()}
    return Transport(realm="live", cache=cache, mirror=mirror, endpoints=dict.fromkeys(ARCHIVES, "http://127.0.0.1:9"), archives=nowhere, attempts=1)


def test_mirror_lays_out_a_cache_that_serves_without_network(archives: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cutouts = list(cutout_requests(SPEC, [10.0, 20.0, 30.0], [1.0, 2.0, 3.0], 2.75))
    table = Request("github", "/someone/somewhere/main/table.csv")
    first = tmp_path / "first" / "resources" / "cache"
    with Transport(realm="live", cache=first, endpoints=archives, attempts=1) as transport:
        bodies = [transport.fetch_request(request).path.read_bytes() for request in (*cutouts, table)]
    monkeypatch.chdir(tmp_path / "first")
    assert main(["mirror", str(tmp_path / "mirror")]) == 0
    assert (tmp_path / "mirror/raw.githubusercontent.com/someone/somewhere/main/table.csv").read_bytes() == bodies[-1]
    assert any((tmp_path / "mirror/www.legacysurvey.org").rglob("*.origin.json"))
    with _offline(tmp_path / "second", tmp_path / "mirror") as transport:
        found = dict(transport.fetch_each([*cutouts, table], progress=False))
        assert [found[index].path.read_bytes() for index in range(4)] == bodies
        assert read_cutout(found[1].path, SPEC, 2.75).pixels.shape == (2, 16, 16)
        with pytest.raises(ArchiveError):
            transport.fetch_request(cutout_requests(SPEC, 40.0, 4.0, 2.75)[0])


def test_mirror_twice_copies_nothing_again(archives: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Transport(realm="live", cache=tmp_path / "cache", endpoints=archives, attempts=1) as transport:
        transport.fetch("github", "/a/table.csv")
    caplog.set_level(logging.INFO)
    for _ in range(2):
        assert main(["mirror", str(tmp_path / "mirror"), "--cache", str(tmp_path / "cache")]) == 0
    told = [record.getMessage() for record in caplog.records if "there before" in record.getMessage()]
    assert "0 there before" in told[0] and "1 there before" in told[1]


def test_what_is_simulated_is_never_exported(archives: dict[str, str], tmp_path: Path) -> None:
    with Transport(realm="simulated-key", cache=tmp_path / "cache", endpoints=archives, attempts=1) as transport:
        transport.fetch("github", "/a/table.csv")
    assert main(["mirror", str(tmp_path / "mirror"), "--cache", str(tmp_path / "cache")]) == 0
    assert not [path for path in (tmp_path / "mirror").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_wide(WideParameters(5, 20, 20, 20, 20, 20), tmp_path_factory.mktemp("sky"), progress=False).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_sky_serve_answers_until_it_is_interrupted(sky: Path) -> None:
    port, names = _free_port(), set(open_services(sky))
    # A suite that runs in the background of a shell ignores SIGINT, and so would its children.
    restore = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([TUNINGFORK, "sky", "serve", sky, "--port", str(port)], stderr=subprocess.PIPE, text=True, preexec_fn=restore)
    try:
        lines: list[str] = []
        while {line.split(":")[0] for line in lines} < names:
            line = process.stderr.readline()
            assert line, f"it ended: {lines}"
            lines.append(line)
        url = next(re.search(r"for example +(\S+)", line)[1] for line in lines if line.startswith("legacysurvey"))
        assert f":{port}/" in url
        reply = requests.get(url, timeout=30)
        assert reply.status_code == 200 and reply.headers["X-Simulated"] == "true" and reply.content
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=30) == 0, rest
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_sky_serve_of_a_taken_port_or_no_sky_says_so(sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["sky", "serve", str(sky), "--port", str(taken.getsockname()[1])]) == 1
    assert "choose another" in capsys.readouterr().err
    assert main(["sky", "serve", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_mirror_of_a_configuration_runs_its_downloads_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "abc":
        Image.fromarray(np.random.default_rng(ord(name)).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(pictures / f"{name}.png")
    described = {"samples": {"mine": {"kind": "folder", "folder": str(pictures), "task": "regression", "targets": ["y"], "stamp": {"pixels": 16}}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(described))
    monkeypatch.chdir(tmp_path)
    assert main(["mirror", "copy", "--configfile", "mine.yaml"]) == 0
    assert (tmp_path / "results/samples/mine/stamps.json").is_file()
    described["samples"]["mine"]["folder"] = str(tmp_path / "nowhere")
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(described))
    assert main(["mirror", "copy", "--configfile", "wrong.yaml"]) == 1
    assert "not everything could be downloaded" in capsys.readouterr().err
