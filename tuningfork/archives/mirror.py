"""A local copy of archives, for machines without internet: laid out as each archive's own tree."""

from pathlib import Path
from urllib.parse import urlsplit

from tuningfork.archives.request import Archive, Request, url_of


class Mirror:
    """Files under ``<root>/<host>/<path>`` (as ``wget --mirror`` leaves them) or ``<root>/<archive name>/<path>``; empty without a root."""

    def __init__(self, root: Path | None) -> None:
        self.root = root

    def find(self, archive: Archive, request: Request) -> Path | None:
        """The copy of what is requested, if there is one; a request with parameters has none."""
        if self.root is None or request.params or request.method != "GET":
            return None
        parts = urlsplit(url_of(archive.base_url, request))
        candidates = [self.root / name / parts.path.lstrip("/") for name in (parts.hostname or "", archive.name)]
        return next((path for path in candidates if path.is_file()), None)
