"""Opens the way to the archives: the real ones, or the stand-in that serves the simulated sky on a free loopback port.

The only module that knows both sides. The stand-in lives as long as the job that needs it: no server to start, stop or share.
"""

import contextlib
import importlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tuningfork.archives.transport import Transport
from tuningfork.files import sha256_of

CACHE = Path("resources/cache")

log = logging.getLogger(__name__)


@contextlib.contextmanager
def open_archives(wire: Mapping[str, Any], sky: Path | None = None, *, contact: str | None = None, cache: Path = CACHE) -> Iterator[Transport]:
    """A transport for one job.

    Parameters
    ----------
    wire
        ``mode``: simulated or live; ``mirror``: a folder laid out as the archives' own trees, or absent.
    sky
        The `sky.json` of the rendered sky; needed in simulated mode. Its digest is part of every cache key, so that another sky never
        answers from this one's cache.
    contact
        E-mail address or URL that the archives see in the User-Agent.
    cache
        Folder of the content-addressed cache.
    """
    if wire["mode"] == "live":
        with Transport(realm="live", cache=cache, contact=contact, mirror=wire.get("mirror")) as transport:
            yield transport
        return
    if sky is None:
        raise ValueError("simulated mode needs the rendered sky")
    server = importlib.import_module("tuningfork.sky.server")  # by name: in live mode the sky is no part of a rule's code
    with server.serve(sky.parent) as endpoints:
        log.info("stand-in archive: %s", endpoints)
        with Transport(realm=f"simulated-{sha256_of(sky)[:16]}", cache=cache, endpoints=endpoints) as transport:
            yield transport
