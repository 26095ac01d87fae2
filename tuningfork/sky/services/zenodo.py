"""Zenodo: records as JSON with the MD5 of every file, the files themselves, redirects and rate-limit headers (reference/archives.md, section 6)."""

import functools
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from tuningfork.sky.services.messages import Ask, Reply, missing, not_allowed
from tuningfork.sky.services.static import file_reply, md5_of

GUEST_LIMIT = 60
"""Requests a minute for guests."""

_FILE = re.compile(r"/records/([^/]+)/files/([^/]+)")
_CONTENT = re.compile(r"/api/records/([^/]+)/files/([^/]+)/content")  # where links.self points [M: today's links end so]


class Zenodo:
    """Records and their files.

    ``/api/records/<id>`` is the record; ``/records/<id>/files/<name>`` the file. With ``?download=1`` it answers 302 to the address in ``links.self``
    (the page says that a 302 is possible); ``/record/<id>/...``, the old address, answers 301 [M].

    Parameters
    ----------
    files : mapping
        ``/records/<id>/files/<name>`` -> (file, SHA-256).
    limit : int, optional
        Requests a minute before 429; None never refuses. The X-RateLimit headers are sent in both cases.
    clock : callable
        Unix time in seconds.
    """

    def __init__(self, files: Mapping[str, tuple[Path, str]], *, limit: int | None = None, clock: Callable[[], float] = time.time) -> None:
        self.limit, self.clock = limit, clock
        self.records: dict[str, dict[str, tuple[Path, str]]] = {}
        for path, found in files.items():
            if match := _FILE.fullmatch(path):
                self.records.setdefault(match[1], {})[match[2]] = found
        self._lock = threading.Lock()
        self._window, self._count = 0, 0

    def answer(self, ask: Ask) -> Reply:
        """A record, a file, a redirect, 404, or 429 without Retry-After but with X-RateLimit-Reset."""
        limits, refused = self._limits()
        if refused:
            body = json.dumps({"status": 429, "message": "Too many requests.", "simulated": True}).encode()
            return Reply(429, body, "application/json", limits)
        reply = self._find(ask)
        return Reply(reply.status, reply.body, reply.kind, {**limits, **reply.headers}, reply.reason, reply.length)

    def example(self) -> str:
        """The first record."""
        return f"/api/records/{min(self.records, default='1')}"

    def _find(self, ask: Ask) -> Reply:
        if ask.method == "POST":
            return not_allowed()
        if match := re.fullmatch(r"/api/records/([^/]+)/?", ask.path):
            return self._record(ask, match[1])
        if match := re.fullmatch(r"/record/([^/]+)(/.*)?", ask.path):
            return Reply(301, b"", headers={"Location": f"{ask.base}/records/{match[1]}{quote(match[2] or '')}" + (f"?{ask.query}" if ask.query else "")})
        match = _FILE.fullmatch(ask.path) or _CONTENT.fullmatch(ask.path)
        found = self.records.get(match[1], {}).get(match[2]) if match else None
        if match is None or found is None:
            return _no_record() if ask.path.startswith("/api/") else missing()
        if _FILE.fullmatch(ask.path) and ask.form().get("download") == "1":
            return Reply(302, b"", headers={"Location": ask.base + _link(match[1], match[2])})
        return file_reply(ask, *found)

    def _record(self, ask: Ask, record: str) -> Reply:
        if record not in self.records:
            return _no_record()
        files = [
            {
                "id": sha256[:32],
                "key": name,
                "size": file.stat().st_size,
                "checksum": f"md5:{_md5(file, sha256)}",
                "links": {"self": ask.base + _link(record, name)},
            }
            for name, (file, sha256) in sorted(self.records[record].items())
        ]
        value = {
            "id": int(record) if record.isdigit() else record,
            "recid": record,
            "simulated": True,
            "metadata": {"title": f"Simulated stand-in for record {record}", "access_right": "open", "license": {"id": "cc-by-4.0"}},
            "links": {"self": f"{ask.base}/api/records/{record}", "self_html": f"{ask.base}/records/{record}"},
            "files": files,
        }
        return Reply(200, json.dumps(value, indent=1).encode(), "application/json")

    def _limits(self) -> tuple[dict[str, str], bool]:
        """Rate-limit headers of this request, and whether it is one too many for its minute."""
        now = self.clock()
        limit = self.limit or GUEST_LIMIT
        with self._lock:
            if int(now // 60) != self._window:
                self._window, self._count = int(now // 60), 0
            self._count += 1
            left = limit - self._count
        # A client may sleep when nothing is left: where nothing is enforced, something is always left.
        shown = max(left, 0 if self.limit else 1)
        headers = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(shown), "X-RateLimit-Reset": str((int(now // 60) + 1) * 60)}
        return headers, self.limit is not None and left < 0


@functools.lru_cache(maxsize=4096)
def _md5(file: Path, sha256: str) -> str:
    """MD5 of a file, computed once: the SHA-256 in the key stands for its content."""
    return md5_of(file)


def _link(record: str, name: str) -> str:
    return f"/api/records/{record}/files/{quote(name)}/content"


def _no_record() -> Reply:
    return Reply(404, b'{"status": 404, "message": "The persistent identifier does not exist."}\n', "application/json")
