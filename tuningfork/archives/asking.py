"""Asking an archive until it answers: its hosts in turn, each with its manners, its retries and its breaker, and patience when all are away."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import requests

from tuningfork.archives.breaker import COOLDOWN_S, Breaker, Patience
from tuningfork.archives.download import Transient
from tuningfork.archives.host import Host, folder_name
from tuningfork.archives.realm import Realm, on_loopback
from tuningfork.archives.request import Archive, Request, origin_of, url_of
from tuningfork.archives.retry import persist
from tuningfork.errors import ArchiveError, TuningforkError

log = logging.getLogger(__name__)

PATIENCE_S = 600.0
"""How long requests wait for an archive of the network that is away, in seconds."""

LOOPBACK_COOLDOWN_S = 0.1
"""Seconds between two probes of a server on this machine that does not answer."""

T = TypeVar("T")


class Asker:
    """Knows the hosts of a realm's archives, and how they fare.

    Parameters
    ----------
    realm
        Which archives, and where.
    root
        Folder of the cache; what all processes know of a host is in ``<root>/.hosts``.
    attempts, backoff_s, longest_pause_s, patience_s, cooldown_s, limit_loopback
        As for `transport.Transport`.
    offline
        Whether it is likely that no host can be reached: nobody waits then.
    """

    def __init__(
        self,
        realm: Realm,
        root: Path,
        *,
        attempts: int,
        backoff_s: float,
        longest_pause_s: float,
        patience_s: float | None,
        cooldown_s: float | None,
        limit_loopback: bool,
        offline: bool,
    ) -> None:
        self.realm, self.root, self.offline = realm, root, offline
        self.attempts, self.backoff_s, self.longest_pause_s = attempts, backoff_s, longest_pause_s
        self.patience_s, self.cooldown_s, self.limit_loopback = patience_s, cooldown_s, limit_loopback
        self._hosts: dict[tuple[str, str], Host] = {}
        self._guard = threading.Lock()

    def ask(
        self,
        archive: Archive,
        request: Request,
        ask: Callable[[str], T],
        gained: Callable[[], int],
        *,
        judge: Callable[[T], T] = lambda value: value,
        pause: Callable[[float], None] = time.sleep,
    ) -> T:
        """`ask` each host of the archive in turn, each until it answers or it is enough; then wait for them as patience has it.

        `judge` looks at what came after the connection was given back; it may raise as `ask` does.
        """
        patience: Patience | None = None
        while True:
            began, faults, hosts = time.time(), dict[str, Transient](), []
            for base in self.realm.base_urls(archive.name):
                url = url_of(base, request)
                hosts.append(self._host(archive, base or origin_of(url)))
                try:
                    return self._ask_host(hosts[-1], url, ask, judge, gained, pause)
                except Transient as fault:
                    faults[url] = fault
            first = patience is None
            patience = patience or Patience(self._patience_with(hosts[0]))
            seconds = patience.pause([host.breaker for host in hosts], list(faults.values()), began)
            if seconds is None:
                break
            log.log(logging.INFO if first else logging.DEBUG, "archive %s: waiting for it (%s)", archive.name, "; ".join(map(str, faults.values())))
            pause(seconds)
        told = "; nor ".join(f"{url}: {fault}" for url, fault in faults.items())
        raise ArchiveError(
            f"archive {archive.name!r} did not give {told}. Run again later (what is already here is kept), or check that this machine reaches that host."
        ) from next(iter(faults.values()))

    def _ask_host(self, host: Host, url: str, ask: Callable[[str], T], judge: Callable[[T], T], gained: Callable[[], int], pause: Callable[[float], None]) -> T:
        """One host, until it answers or it is enough; its breaker learns how it went."""

        def attempt() -> T:
            with host.turn(pause):
                value = ask(url)
            return judge(value)

        attempts = host.breaker.admit(self.attempts)
        try:
            value = persist(attempt, what=url, attempts=attempts, backoff_s=self.backoff_s, longest_pause_s=self.longest_pause_s, gained=gained, sleep=pause)
        except Transient as fault:
            host.breaker.failed(str(fault), away=fault.away)
            raise
        except TuningforkError:
            host.breaker.succeeded()  # not what was hoped for, but an answer
            raise
        host.breaker.succeeded()
        return value

    def _host(self, archive: Archive, base: str) -> Host:
        with self._guard:
            key = (archive.name, base)
            if key not in self._hosts:
                near = on_loopback(base) and not self.limit_loopback
                folder = None if near else self.root / ".hosts" / folder_name(base)
                if folder is not None:
                    folder.mkdir(parents=True, exist_ok=True)
                cooldown = (LOOPBACK_COOLDOWN_S if near else COOLDOWN_S) if self.cooldown_s is None else self.cooldown_s
                breaker = Breaker(folder, cooldown_s=cooldown, forget_s=self.patience_s or PATIENCE_S)
                self._hosts[key] = Host(archive, base, folder, breaker, self.longest_pause_s)
            return self._hosts[key]

    def _patience_with(self, host: Host) -> float:
        if self.patience_s is not None:
            return self.patience_s
        return 0.0 if on_loopback(host.base) or self.offline else PATIENCE_S

    def heed(self, response: requests.Response, *_args: object, **_options: object) -> None:
        """Let the host that sent a reply be left alone if it asks for that."""
        with self._guard:
            hosts = [host for host in self._hosts.values() if response.url.startswith(host.base)]
        for host in hosts:
            host.heed(response.status_code, response.headers)
