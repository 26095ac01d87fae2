"""The one door to the archives: polite, retried, checked, cached.

A `Transport` belongs to one realm, ``live`` or ``simulated-<key>``; in a simulated realm it reaches nothing but the given endpoints. What a
reply means is its caller's business (`vizier`, `mast`); whom it asks and for how long is in `asking`, how bytes move in `download`, where they
lie in `cache`.
"""

import contextlib
import copy
import dataclasses
import logging
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import requests

from tuningfork.archives import batch
from tuningfork.archives.asking import Asker
from tuningfork.archives.cache import Cache, Entry, Part, locked, part_of
from tuningfork.archives.checks import BadReply, check_realm
from tuningfork.archives.download import Answer, Transient, exchange, make_session, receive, user_agent
from tuningfork.archives.mirror import Mirror, origin_of_copy
from tuningfork.archives.progress import Tally
from tuningfork.archives.realm import Realm, on_loopback
from tuningfork.archives.request import ARCHIVES, DEFAULT_MAX_BYTES, Archive, Check, Fetched, Judge, Request, make_sidecar
from tuningfork.archives.stopping import Stop
from tuningfork.archives.tokens import Credentials
from tuningfork.errors import ArchiveError, NotInArchive, TuningforkError

log = logging.getLogger(__name__)

MAX_ABSENT = 4096
"""Answers of the kind 'no such file' that a transport keeps in memory."""

T = TypeVar("T")


class Transport:
    """Fetches from archives into a cache; use it as a context manager.

    Parameters
    ----------
    realm
        ``live``, or ``simulated-<key of the sky>``. It is part of every cache key.
    endpoints
        Archive name -> base URL that replaces the archive's own. In a simulated realm only these are reached, and they must be on loopback.
    cache
        Folder of the cache, shared by all jobs of a workflow.
    contact
        E-mail address or URL that the archives see in the User-Agent.
    mirror
        Folder with a local copy of archives (live realm only), laid out as `mirror` describes: ``<mirror>/<host>/<path>``. A file found there is
        checked, linked into the cache and never requested; what is not there is asked of the archive.
    archives
        The archives by name.
    attempts
        Tries for one request and host before it fails.
    backoff_s
        Mean of the first pause between tries, in seconds; each further one doubles.
    longest_pause_s
        Cap of a pause, also of one that the archive asked for with Retry-After, in seconds.
    verify
        Also compare the SHA-256 of every cached file with its sidecar before giving it out (its size is always compared).
    patience_s
        How long requests wait, in seconds, for an archive that nobody reaches (`breaker.Patience`); those that come later fail at once, but for
        one probe now and then. None: `asking.PATIENCE_S`; and no time at all with a mirror, which is for machines without internet, or in front of
        a server on this machine.
    cooldown_s
        Seconds between two probes of an archive that is down; None: `breaker.COOLDOWN_S`, less on this machine.
    limit_loopback
        Treat servers on this machine as any other host, with rate and shared connections; for tests and benchmarks of just that.

    Raises
    ------
    ArchiveError
        The realm is no realm, an endpoint of a simulated realm is not on loopback, or a mirror stands in one.

    Notes
    -----
    That an archive has no such file (404) answers later requests of this object only: what an archive lacks today may be there tomorrow, and
    the record that a filter is absent belongs to the product that the workflow keeps. It is noted in the cache all the same, for a mirror
    (`mirror.export`), whose machine cannot ask.
    """

    def __init__(
        self,
        *,
        realm: str,
        cache: Path,
        endpoints: Mapping[str, str] | None = None,
        contact: str | None = None,
        mirror: Path | None = None,
        archives: Mapping[str, Archive] = ARCHIVES,
        attempts: int = 5,
        backoff_s: float = 1.0,
        longest_pause_s: float = 300.0,
        verify: bool = False,
        patience_s: float | None = None,
        cooldown_s: float | None = None,
        limit_loopback: bool = False,
    ) -> None:
        self._realm = Realm(realm, dict(archives), dict(endpoints or {}))
        if self._realm.simulated and mirror is not None:
            raise ArchiveError("a mirror holds real data and cannot serve the simulated sky; remove the mirror, or set archives.mode to live")
        self.verify = verify
        self._mirror = Mirror(Path(mirror) if mirror is not None else None)
        self.cache = Cache(Path(cache))
        self.client = user_agent(contact)
        # The simulated sky knows no users.
        credentials = Credentials({} if self._realm.simulated else archives, self._realm.endpoints)
        self._sessions = {loopback: make_session(self.client, loopback=loopback, credentials=credentials) for loopback in (False, True)}
        self._asker = Asker(
            self._realm,
            self.cache.root,
            attempts=attempts,
            backoff_s=backoff_s,
            longest_pause_s=longest_pause_s,
            patience_s=patience_s,
            cooldown_s=cooldown_s,
            limit_loopback=limit_loopback,
            offline=mirror is not None,
        )
        for session in self._sessions.values():
            session.hooks["response"] = [self._asker.heed]
        self._guard = threading.Lock()
        self._absent: dict[str, NotInArchive] = {}
        self._streams: weakref.WeakSet[Generator[tuple[int, batch.Outcome], None, None]] = weakref.WeakSet()

    @property
    def realm(self) -> str:
        """``live``, or ``simulated-<key>``."""
        return self._realm.name

    def __enter__(self) -> "Transport":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop batches that are under way, and close all connections."""
        for stream in list(self._streams):
            stream.close()
        for session in self._sessions.values():
            session.close()

    def fetch(
        self,
        archive: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        method: str = "GET",
        check: Check | None = None,
        resume: bool = False,
        max_bytes: int = DEFAULT_MAX_BYTES,
        progress: bool | None = None,
        refresh: bool = False,
        judge: Judge | None = None,
    ) -> Fetched:
        """One reply, from the cache or the archive.

        Parameters
        ----------
        archive
            Name of the archive: ``vizier``, ``mast``, ``github``; or ``web``, whose path is a whole https URL.
        path
            Absolute path on it.
        params
            Query parameters (GET) or form fields (POST); see `request.canonical_pairs`.
        method
            GET or POST.
        check
            Called with the path of the whole body before it is accepted. If it raises a transient `BadReply` the request is retried; any
            other error of this library is final. Replies of the wrong realm are always refused (`checks.check_realm`).
        resume
            Go on with an interrupted body by a Range request, if the archive gave it a validator; for static files.
        max_bytes
            Refuse longer bodies.
        progress
            Force (True) or silence (False) the progress bar; None shows it for bodies of 8 MiB or more.
        refresh
            Ask the archive even if the cache has the reply.
        judge
            Called with a reply of status 400 or more, for archives whose statuses do not mean what they usually do; see `request.Judge`.

        Raises
        ------
        NotInArchive
            HTTP 404 or 410.
        ArchiveError
            Anything else that prevented it; the message names the archive, the URL and what to do.
        """
        return self.fetch_request(Request(archive, path, params, method, check, resume, max_bytes, progress, refresh, judge))

    def fetch_each(
        self, requests: Iterable[Request], *, names: Iterable[str] | None = None, what: str = "cutouts", progress: bool | None = None
    ) -> Iterator[tuple[int, Fetched | TuningforkError]]:
        """Replies as they come, as many at once as their archives bear; one failure does not spoil the rest.

        Close the iterator (or let an interrupt do it) to stop: pauses end at once, bodies that are coming are cut, and what has come whole is
        in the cache.

        Parameters
        ----------
        requests
            Any number, also a generator: they are read `batch.WINDOW` ahead at most, so memory does not grow with them. Equal ones are
            fetched once.
        names
            What each request is for, as many as there are requests; the summary names an example of each reason of failure.
        what
            What is fetched, in the plural, for the progress bar and the log.
        progress
            False silences the bar (on a terminal) or the log lines (elsewhere), not the summary at the end.

        Yields
        ------
        (int, Fetched or TuningforkError)
            The position of the request, and its reply or the error that it met.
        """
        total = next((len(each) for each in (requests, names or ()) if isinstance(each, Sized) and each), None)
        labels: dict[int, str] = {}
        with Tally(what, total, progress) as tally, contextlib.closing(self._stream(_labelled(requests, names, labels), progress=False)) as outcomes:
            for index, outcome in outcomes:
                tally.add(outcome, labels.pop(index, f"number {index}"))
                yield index, outcome

    def fetch_many(self, asked: Sequence[Request], *, progress: bool | None = False) -> list[Fetched | TuningforkError]:
        """Several replies, as many at once as their archives bear, in the order asked.

        Parameters
        ----------
        asked
            The requests; equal ones are fetched once.
        progress
            Replaces each request's own `progress`; bars of several downloads would overwrite each other.

        Returns
        -------
        list
            For each request its `Fetched`, or the error of this library that it met: one failure does not spoil the rest.
        """
        with contextlib.closing(self._stream(asked, progress=progress)) as outcomes:
            found = dict(outcomes)
        return [found[index] for index in range(len(asked))]

    def _stream(self, requests: Iterable[Request], *, progress: bool | None) -> Generator[tuple[int, batch.Outcome], None, None]:
        hands = batch.Hands(
            key=lambda request: request.key(self.realm),
            recall=self._recall,
            fetch=lambda request, stop: self._fetch(dataclasses.replace(request, progress=progress), stop),
            # Twice the connections: while one reply is checked, synced and named, another is asked for.
            workers=lambda name: 2 * self._realm.archive(name).connections,
        )
        stream = batch.stream(requests, hands, Stop())
        self._streams.add(stream)
        return stream

    def _recall(self, request: Request, key: str) -> Fetched | None:
        self._realm.archive(request.archive)
        return self._cached(self.cache.entry(key, request.suffix), request)

    def fetch_request(self, request: Request) -> Fetched:
        """One reply, as `fetch`."""
        return self._fetch(request, Stop())

    def _fetch(self, request: Request, stop: Stop) -> Fetched:
        archive = self._realm.archive(request.archive)
        key = request.key(self.realm)
        entry = self.cache.entry(key, request.suffix)
        if (found := self._cached(entry, request)) is not None:
            return found
        with locked(entry, pause=stop.pause):
            if (found := self._cached(entry, request)) is not None:
                return found
            if (mirrored := self._mirror.find(archive, request)) is not None:
                return self._adopt(entry, request, mirrored)
            if not request.refresh and key in self._absent:
                raise copy.copy(self._absent[key])
            with part_of(entry, resume=request.resume) as part:
                try:
                    return self._download(archive, request, entry, part, stop)
                except NotInArchive as error:
                    self._remember_absent(key, request, error)
                    raise

    def head(self, archive: str, path: str) -> dict[str, str]:
        """Headers of a file (names in lower case), by a HEAD request: its length and date without its bytes. Never cached.

        Raises
        ------
        NotInArchive, ArchiveError
            As `fetch`.
        """
        request = Request(archive, path)
        place = self._realm.archive(archive)

        def ask(url: str) -> dict[str, str]:
            with exchange(self._session(url), place, "HEAD", url, pairs=[], headers={}) as response:
                return {name.lower(): value for name, value in response.headers.items()}

        return self._asker.ask(place, request, ask, gained=lambda: 0)

    def ask(self, archive: str, path: str, ask: Callable[[requests.Session, Archive, str], T], *, gained: Callable[[], int] = lambda: 0) -> T:
        """Any other exchange with an archive, with the manners of `fetch` and without its cache.

        Parameters
        ----------
        archive, path
            As in `fetch`.
        ask
            Called with a session, the archive's entry and the URL, once for each try, while a connection is held and a slot of the rate is
            taken. Raises `download.Transient` to be called again.
        gained
            Bytes that the last try brought and that stay; see `retry.persist`.

        Raises
        ------
        NotInArchive, ArchiveError
            As `fetch`, or what `ask` raises.
        """
        place = self._realm.archive(archive)
        return self._asker.ask(place, Request(archive, path), lambda url: ask(self._session(url), place, url), gained)

    def _download(self, archive: Archive, request: Request, entry: Entry, part: Part, stop: Stop) -> Fetched:
        most = [part.size]

        def gained() -> int:
            gain, most[0] = part.size - most[0], max(most[0], part.size)
            return gain

        def ask(url: str) -> Answer:
            try:
                return receive(self._session(url), archive, request, url, part, stop)
            except Transient:
                stop.check()  # it was cut from here
                raise

        def judge(answer: Answer) -> Answer:
            try:
                if request.check is not None:
                    request.check(part.body)
                check_realm(part.body, self.realm, answer.headers)
            except BadReply as error:
                part.discard()
                if error.transient:
                    raise Transient(str(error)) from error
                raise ArchiveError(f"{archive.name}: {answer.url}: {error}") from error
            except TuningforkError:
                part.discard()
                raise
            return answer

        def pause(seconds: float) -> None:
            part.keep_alive()
            stop.pause(seconds)

        answer = self._asker.ask(archive, request, ask, gained, judge=judge, pause=pause)
        sidecar = make_sidecar(request, part.body, realm=self.realm, client=self.client, url=answer.url, status=answer.status, headers=answer.headers)
        entry.publish(part.body, sidecar)
        log.debug("%s: %d bytes from %s", entry.path.name, sidecar["bytes"], answer.url)
        return Fetched(entry.path, sidecar, from_cache=False)

    def _remember_absent(self, key: str, request: Request, error: NotInArchive) -> None:
        if not self._realm.simulated:
            asked = {"archive": request.archive, "method": request.method, "path": request.path, "params": [list(pair) for pair in request.pairs]}
            self.cache.note_absent(key, {"realm": self.realm, **asked, "error": type(error).__name__, "message": str(error)})
        with self._guard:
            if len(self._absent) >= MAX_ABSENT:
                self._absent.pop(next(iter(self._absent)))
            self._absent[key] = copy.copy(error)  # without its traceback, which holds half the program

    def _cached(self, entry: Entry, request: Request) -> Fetched | None:
        sidecar = None if request.refresh else entry.read(verify=self.verify)
        return Fetched(entry.path, sidecar, from_cache=True) if sidecar is not None else None

    def _adopt(self, entry: Entry, request: Request, mirrored: Path) -> Fetched:
        origin = origin_of_copy(mirrored)
        try:
            if request.check is not None:
                request.check(mirrored)
            check_realm(mirrored, self.realm)
        except BadReply as error:
            raise ArchiveError(f"{mirrored} (of the mirror): {error}. Copy it again, or remove it to have it fetched.") from error
        place = mirrored.resolve().as_uri()
        sidecar = origin or make_sidecar(request, mirrored, realm=self.realm, client=self.client, url=place)
        sidecar = {**sidecar, "mirror": place}
        entry.adopt(mirrored, sidecar)
        return Fetched(entry.path, sidecar, from_cache=False)

    def _session(self, url: str) -> requests.Session:
        return self._sessions[on_loopback(url)]


def _labelled(requests: Iterable[Request], names: Iterable[str] | None, labels: dict[int, str]) -> Iterator[Request]:
    """The requests, each one's name noted when it is read."""
    if names is None:
        yield from requests
        return
    for index, (request, name) in enumerate(zip(requests, names, strict=True)):
        labels[index] = str(name)
        yield request
