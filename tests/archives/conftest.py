"""A misbehaving server and transports that take it for every archive."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from misbehaving_server import Server

from tuningfork.archives.request import ARCHIVES
from tuningfork.archives.transport import Transport


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def make_transport(server: Server, tmp_path: Path) -> Iterator[Callable[..., Transport]]:
    """Transports whose archives are the server, with pauses of some milliseconds."""
    made = []

    def make(realm: str = "live", cache: Path = tmp_path / "cache", **options: object) -> Transport:
        quick = {name: dataclasses.replace(archive, read_timeout_s=30.0) for name, archive in ARCHIVES.items()}
        defaults = {"endpoints": dict.fromkeys(("vizier", "mast", "github"), server.url), "archives": quick, "attempts": 3, "backoff_s": 0.005}
        made.append(Transport(realm=realm, cache=cache, **{**defaults, **options}))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def transport(make_transport: Callable[..., Transport]) -> Transport:
    return make_transport()
