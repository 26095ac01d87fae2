"""What a service gets and gives: the request as it stood on the wire, and a reply whose body is bytes, a file or a stream."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

BLOCK = 1 << 20


@dataclass(frozen=True)
class Ask:
    """One request to one archive.

    Attributes
    ----------
    method : str
        GET, HEAD or POST.
    path : str
        Decoded path below the archive's own root, beginning with a slash.
    query : str
        The query string exactly as it came: some archives treat ``,`` and ``%2C`` differently.
    headers : mapping
        Header fields; names in any case.
    body : str
        Body of a POST.
    base : str
        The archive's base URL as the client reaches it, without a trailing slash: for links in replies.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    base: str = ""

    def form(self) -> dict[str, str]:
        """Parameters of the query string and of a form body, the first of a repeated one, names as they came."""
        pairs = parse_qsl(self.query, keep_blank_values=True) + parse_qsl(self.body, keep_blank_values=True)
        found: dict[str, str] = {}
        for name, value in pairs:
            found.setdefault(name, value)
        return found

    def form_caseless(self) -> dict[str, str]:
        """As `form`, names in lower case: for servers that do not tell ``cmd`` from ``CMD``."""
        found: dict[str, str] = {}
        for name, value in self.form().items():
            found.setdefault(name.lower(), value)
        return found


@dataclass(frozen=True)
class Reply:
    """One reply.

    Attributes
    ----------
    status : int
    body : bytes, or callable
        Bytes, or a function that gives the blocks of a body that is read or made while it is sent.
    kind : str
        Content-Type.
    headers : mapping
        Further header fields.
    reason : str, optional
        Reason phrase, where it is not the usual one.
    length : int, optional
        Bytes in a streamed body; None sends it in chunks without Content-Length.
    """

    status: int
    body: bytes | Callable[[], Iterable[bytes]] = b""
    kind: str = "text/html; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    length: int | None = None

    @property
    def size(self) -> int | None:
        """Bytes in the body, None where they are not told beforehand."""
        return len(self.body) if isinstance(self.body, bytes) else self.length

    def blocks(self) -> Iterable[bytes]:
        """The body in pieces."""
        return (self.body,) if isinstance(self.body, bytes) else self.body()


class Service(Protocol):
    """One archive."""

    def answer(self, ask: Ask) -> Reply:
        """The reply to a request."""

    def example(self) -> str:
        """Path and query of a request that gives something, to try by hand."""


def missing() -> Reply:
    """The usual page of a web server that has no such file."""
    return Reply(404, b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n")


def not_allowed() -> Reply:
    """A method that the archive does not take."""
    return Reply(405, b"Method not allowed\n", "text/plain; charset=UTF-8", {"Allow": "GET, HEAD"})
