"""Which hosts may be reached: all archives in the live realm, nothing but servers of this machine in a simulated one."""

import dataclasses
from collections.abc import Mapping
from urllib.parse import urlsplit

from tuningfork.archives.request import LOOPBACK, Archive
from tuningfork.errors import ArchiveError


@dataclasses.dataclass(frozen=True)
class Realm:
    """A realm, its archives and where they are reached.

    Attributes
    ----------
    name
        ``live``, or ``simulated-<key of the sky>``.
    archives
        Archives by name.
    endpoints
        Archive name -> base URL that replaces the archive's own.

    Raises
    ------
    ArchiveError
        The name is no realm's, or an endpoint of a simulated realm is not on loopback.
    """

    name: str
    archives: Mapping[str, Archive]
    endpoints: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a simulated realm that leaves the machine."""
        if not self.simulated:
            return
        if not self.name.startswith("simulated-"):
            raise ArchiveError(f"realm {self.name!r} is neither 'live' nor 'simulated-<key>'")
        for name, url in self.endpoints.items():
            if not on_loopback(url):
                raise ArchiveError(f"endpoint {url} of archive {name!r} is not on this machine, and so is not the simulated sky")

    @property
    def simulated(self) -> bool:
        """Whether replies are of a simulated sky."""
        return self.name != "live"

    def archive(self, name: str) -> Archive:
        """The archive of a name.

        Raises
        ------
        ArchiveError
            There is none, or it is no part of this realm.
        """
        if name not in self.archives:
            raise ArchiveError(f"no archive {name!r}; there are {', '.join(sorted(self.archives))}")
        if self.simulated and name not in self.endpoints:
            raise ArchiveError(f"archive {name!r} is not part of the simulated sky; set archives.mode to live, or use a local file")
        return self.archives[name]

    def base_urls(self, name: str) -> tuple[str, ...]:
        """Where an archive is reached: its endpoint, or its own host and then the fallbacks."""
        archive = self.archive(name)
        return (self.endpoints[name].rstrip("/"),) if name in self.endpoints else (archive.base_url, *archive.fallbacks)


def on_loopback(url: str) -> bool:
    """Whether a URL's host is this machine."""
    return urlsplit(url).hostname in LOOPBACK
