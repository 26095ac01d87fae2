"""Gzipped files from strangers: what is in them, as long as it is in proportion to the file."""

import gzip
import io
import zlib
from pathlib import Path

from tuningfork.archives.checks import BadReply

FREE_BYTES = 2**26
MAX_GROWTH = 20
"""A gzipped file may hold `FREE_BYTES`, and `MAX_GROWTH` times its own: noise compresses by a factor of two, masked corners by a thousand."""
OTHERS = (b"BZh", b"PK\x03\x04", b"\xfd7zXZ")
_AT_ONCE = 2**22


def unpacked(path: Path) -> Path | io.BytesIO:
    """The file itself, or what is in it if it is gzipped; judged by its first bytes, as astropy does, and not by its name.

    Raises
    ------
    BadReply
        It is compressed in another way, it is damaged, or it grows out of all proportion: a decompression bomb. Not transient.
    """
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(OTHERS):
        raise BadReply(f"{path.name}: compressed, and not by gzip; decompress it first", transient=False)
    if not magic.startswith(b"\x1f\x8b"):
        return path
    size = path.stat().st_size
    most, body = FREE_BYTES + MAX_GROWTH * size, io.BytesIO()
    try:
        with gzip.open(path, "rb") as packed:
            while block := packed.read(_AT_ONCE):
                body.write(block)
                if body.tell() > most:
                    raise BadReply(f"{path.name}: its {size} bytes become more than {most}: a decompression bomb; refused", transient=False)
    except (OSError, EOFError, zlib.error) as error:
        raise BadReply(f"{path.name}: damaged, or truncated ({error})", transient=False) from error
    body.seek(0)
    return body
