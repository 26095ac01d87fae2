"""SDSS SkyServer: SQL search and JPEG cutouts (reference/archives.md, 3.1 and 3.2, whose source is the server's own code)."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tuningfork.sky.services.messages import Ask, Reply, missing
from tuningfork.sky.services.skyserver_formats import FORMATS, answer_reply, error_reply, message_reply
from tuningfork.sky.sql import Database, SqlError

FEW_PARAMETERS = "There are not enough parameters to process your request."

_SEARCH = re.compile(r"/dr\d+/skyserverws/searchtools/sqlsearch/?", re.IGNORECASE)
_FORM = re.compile(r"/dr\d+/(en/)?tools/search/x_results\.aspx", re.IGNORECASE)
_PICTURE = re.compile(r"/dr\d+/skyserverws/imgcutout/getjpeg/?", re.IGNORECASE)


class Pictures(Protocol):
    """What answers ``ImgCutout/getjpeg``."""

    def answer(self, ask: Ask) -> Reply:
        """The reply to a request."""


class SkyServer:
    """``/dr<NN>/SkyServerWS/SearchTools/SqlSearch``, ``/dr<NN>/SkyServerWS/ImgCutout/getjpeg``, and the form ``x_results.aspx`` that astroquery calls.

    Any data release number is answered from the same tables.

    Parameters
    ----------
    database : Database
        Of dialect ``tsql``.
    pictures : Pictures, optional
        Without them every picture is 404.
    per_minute : int, optional
        Queries a minute before the refusal with status 200; None never refuses (the server's own default today).
    clock : callable
        Seconds, for the throttle.
    """

    def __init__(self, database: Database, pictures: Pictures | None = None, *, per_minute: int | None = None, clock: Callable[[], float] = time.monotonic):
        self.database, self.pictures, self.per_minute, self.clock = database, pictures, per_minute, clock
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()

    def answer(self, ask: Ask) -> Reply:
        """Rows, a picture, or one of the server's several ways to say no."""
        if _PICTURE.fullmatch(ask.path) and self.pictures is not None:
            return self.pictures.answer(ask)
        if _SEARCH.fullmatch(ask.path):
            return self._search(ask, "json")
        return self._search(ask, "html") if _FORM.fullmatch(ask.path) else missing()

    def example(self) -> str:
        """Three spectra as CSV."""
        return "/dr17/SkyServerWS/SearchTools/SqlSearch?cmd=select+top+3+*+from+SpecObj&format=csv"

    def _search(self, ask: Ask, usual: str) -> Reply:
        form = ask.form_caseless()
        wanted = form.get("format", usual).lower()
        if not form.get("cmd", "").strip():
            return error_reply(400, "BadRequest", FEW_PARAMETERS, wanted)
        if wanted not in FORMATS:
            wanted = usual
        query = form["cmd"].replace(";", "")
        if self._too_many():
            return message_reply(f"ERROR: Maximum {self.per_minute} queries allowed per minute. Rejected query: {query}", query, wanted)
        if not re.match(r"\s*(--[^\n]*\n\s*|/\*.*?\*/\s*)*(select|with)\b", query, re.IGNORECASE | re.DOTALL):
            return message_reply(f"error: must be a select statement: {query}", query, wanted)
        try:
            return answer_reply(self.database.run(query), query, wanted)
        except SqlError as error:
            if error.kind in ("top", "not_select"):
                return message_reply(f"error: {error}" + (f": {query}" if error.kind == "not_select" else ""), query, wanted)
            return error_reply(500, "InternalServerError", str(error), wanted)

    def _too_many(self) -> bool:
        if self.per_minute is None:
            return False
        now = self.clock()
        with self._lock:
            while self._recent and now - self._recent[0] >= 60:
                self._recent.popleft()
            if len(self._recent) >= self.per_minute:
                return True
            self._recent.append(now)
        return False
