"""Static files that are served in parts, as Apache does (several ranges at once), as S3 does (one), or with a fault."""

import re
from collections.abc import Callable

from misbehaving_server import MODIFIED, Handler, reply


def ranged(
    body: bytes, *, several: bool = True, etag: str | None = '"v1"', modified: str = MODIFIED, reverse: bool = False, most: int = 10**6
) -> Callable[[Handler], None]:
    """A file with validators; several ranges as multipart/byteranges (at most `most` parts, `reverse` backwards), or ignored where not `several`."""

    def behave(handler: Handler) -> None:
        version = {"ETag": etag} if etag else {}
        version |= {"Last_Modified": modified} if modified else {}
        spans = re.findall(r"(\d*)-(\d*)", handler.headers.get("Range", "").removeprefix("bytes="))
        valid = handler.headers.get("If-Range") in (None, etag, modified)
        if not spans or not valid or (len(spans) > 1 and not several):
            reply(handler, 200, body, Content_Type="image/fits", **version)
            return
        pieces = [(len(body) - int(last), len(body)) if not first else (int(first), min(int(last or len(body)) + 1, len(body))) for first, last in spans]
        if pieces[0][0] >= len(body):
            reply(handler, 416, b"", Content_Range=f"bytes */{len(body)}", **version)
        elif len(pieces) == 1:
            start, stop = pieces[0]
            reply(handler, 206, body[start:stop], Content_Type="image/fits", Content_Range=f"bytes {start}-{stop - 1}/{len(body)}", **version)
        else:
            pieces = pieces[:most]
            parts = multipart(body, pieces[::-1] if reverse else pieces)
            reply(handler, 206, parts, Content_Type="multipart/byteranges; boundary=5ad3f1", **version)

    return behave


def multipart(body: bytes, pieces: list[tuple[int, int]], boundary: bytes = b"5ad3f1") -> bytes:
    out = b""
    for start, stop in pieces:
        out += b"\r\n--%s\r\nContent-type: image/fits\r\nContent-range: bytes %d-%d/%d\r\n\r\n" % (boundary, start, stop - 1, len(body)) + body[start:stop]
    return out + b"\r\n--%s--\r\n" % boundary


def cut_after(behaviour: Callable[[Handler], None], count: int) -> Callable[[Handler], None]:
    """The same reply, of which only `count` bytes come."""

    def behave(handler: Handler) -> None:
        whole, handler.wfile = handler.wfile, _Short(handler.wfile, count)
        try:
            behaviour(handler)
        finally:
            handler.wfile = whole
            handler.close_connection = True

    return behave


class _Short:
    """Passes the head of a reply and the first bytes of its body."""

    def __init__(self, file: object, count: int) -> None:
        self.file, self.left, self.head = file, count, True

    def write(self, data: bytes) -> None:
        if not self.head:
            data = data[: self.left]
            self.left -= len(data)
        self.head = False
        self.file.write(data)

    def flush(self) -> None:
        self.file.flush()
