"""Replies to Range requests: which bytes of the file came, out of a plain 206 or a ``multipart/byteranges`` body (RFC 9110, 14.6).

Parts are measured by their Content-Range and never by searching the boundary in pixels. A server may send parts in any order, merge
neighbours, or leave some out: what came is told, and judged by the caller.
"""

import dataclasses
import re
from collections.abc import Mapping

from tuningfork.archives.checks import BadReply

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Piece:
    """Consecutive bytes of a file, the first of them at `start`; fewer than promised where the body was cut."""

    start: int
    data: memoryview


@dataclasses.dataclass(frozen=True)
class Pieces:
    """What a reply held.

    Attributes
    ----------
    pieces
        Bytes that came, in the order of the reply.
    length
        Length of the whole file.
    several
        Whether the body was a multipart one.
    complete
        Whether the body was all that it promised.
    """

    pieces: list[Piece]
    length: int
    several: bool
    complete: bool


def read_pieces(headers: Mapping[str, str], body: bytes) -> Pieces:
    """Take a 206 reply apart.

    Parameters
    ----------
    headers
        Of the reply, names in lower case.
    body
        What came of it.

    Raises
    ------
    BadReply
        It does not say which bytes it holds, or parts speak of files of different length.
    """
    kind = headers.get("content-type", "")
    if not kind.lower().startswith("multipart/byteranges"):
        start, stop, length = _content_range(headers.get("content-range", ""))
        data = memoryview(body)[: stop - start]
        return Pieces([Piece(start, data)], length, several=False, complete=len(data) == stop - start)
    found = re.search(r"""boundary\s*=\s*(?:"([^"]+)"|([^\s;]+))""", kind, re.IGNORECASE)
    if found is None:
        raise BadReply(f"a multipart reply without a boundary ({kind!r})")
    return _read_parts(body, b"--" + (found[1] or found[2]).encode("latin-1"))


def _read_parts(body: bytes, delimiter: bytes) -> Pieces:
    pieces, lengths = [], set()
    place, complete = body.find(delimiter), False
    while place >= 0:
        place += len(delimiter)
        if body[place : place + 2] == b"--":
            complete = True
            break
        end = body.find(b"\r\n\r\n", place)
        if end < 0:
            break
        fields = dict(line.split(":", 1) for line in body[place:end].decode("latin-1").split("\r\n") if ":" in line)
        start, stop, length = _content_range({name.strip().lower(): value.strip() for name, value in fields.items()}.get("content-range", ""))
        lengths.add(length)
        data = memoryview(body)[end + 4 : end + 4 + stop - start]
        pieces.append(Piece(start, data))
        place = end + 4 + stop - start
        if body[place : place + 2 + len(delimiter)] != b"\r\n" + delimiter:
            break
        place += 2
    if len(lengths) > 1:
        raise BadReply(f"a multipart reply of files of different length ({sorted(lengths)})")
    if not lengths:
        raise BadReply("a multipart reply without parts")
    return Pieces(pieces, lengths.pop(), several=True, complete=complete)


def _content_range(text: str) -> tuple[int, int, int]:
    found = _CONTENT_RANGE.fullmatch(text.strip())
    if found is None:
        raise BadReply(f"a partial reply that does not say which bytes it holds (Content-Range: {text!r})")
    start, last, length = (int(number) for number in found.groups())
    if not start <= last < length:
        raise BadReply(f"a partial reply with an impossible Content-Range ({text!r})")
    return start, last + 1, length
