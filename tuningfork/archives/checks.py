"""Is this body what was asked? Checks of content, made before a reply gets its name in the cache.

Archives report faults in bodies as often as in statuses: a page of HTML where an image should be, half a file, a reply of the simulated
sky where real data were asked. A check reads a file and raises; it changes nothing.
"""

import functools
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tuningfork.errors import ArchiveError

BLOCK = 2880
CARD = 80
# The longest real headers (drizzled mosaics of hundreds of exposures) stay under a thousand blocks.
MAX_HEADER_BLOCKS = 4096


class BadReply(ArchiveError):
    """The archive answered, but not with what was asked.

    Parameters
    ----------
    message
        What is wrong with the body.
    transient
        True if asking again may help: a cut body, an archive under maintenance.
    """

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient


def check_fits_image(path: Path) -> None:
    """A FITS file whose primary image has two axes and whose length is exactly what its headers promise.

    Raises
    ------
    BadReply
        It is not FITS, is cut or has extra bytes (transient), or has another number of axes (not transient).
    """
    header = check_fits(path)
    if header.get("NAXIS") != "2":
        raise BadReply(f"a FITS file whose primary image has {header.get('NAXIS')} axes, not 2", transient=False)


def check_fits(path: Path) -> dict[str, str]:
    """A FITS file of exactly the length that its headers promise (FITS standard 4.0, sections 3.3 and 4.4); gives the primary cards.

    Returns
    -------
    dict
        Keyword -> value of the primary header as text, strings with their quotes; the last of a repeated keyword.
    """
    size = path.stat().st_size
    primary: dict[str, str] = {}
    with path.open("rb") as file:
        end = 0
        while end < size or not primary:
            cards = read_header(file)
            primary = primary or cards
            end = file.tell() + _data_bytes(cards)
            if end > size:
                raise BadReply(f"a FITS file cut short: its headers promise {end} bytes or more, it has {size}")
            file.seek(end)
    return primary


def read_header(file: BinaryIO) -> dict[str, str]:
    """Keyword -> value text of the FITS header at the file's position, which is left at the first block after it."""
    cards: dict[str, str] = {}
    start = file.tell()
    for _ in range(MAX_HEADER_BLOCKS):
        block = file.read(BLOCK)
        first = block[:9]
        if file.tell() - len(block) == start and first not in (b"SIMPLE  =", b"XTENSION="):
            raise BadReply(f"not a FITS file: it begins with {_glimpse(block)}" if start == 0 else "a FITS file with bytes after its end that are no extension")
        if len(block) < BLOCK:
            raise BadReply("a FITS file cut short within its header")
        text = block.decode("latin-1")
        for i in range(0, BLOCK, CARD):
            keyword = text[i : i + 8].rstrip()
            if keyword == "END":
                return cards
            if text[i + 8 : i + 10] == "= ":
                cards[keyword] = _value(text[i + 10 : i + CARD])
    raise BadReply("a FITS header without END", transient=False)


def check_realm(path: Path, realm: str, headers: Mapping[str, str] | None = None) -> None:
    """Simulated replies only in a simulated realm, and real ones only in the live one.

    FITS files say it with the card ``SIMULATE = T``, VOTables with ``<INFO name="SIMULATED" value="T"/>``, text files with a comment line
    ``# SIMULATED``, JPEG files with a comment that begins so, JSON with ``"simulated": true``; and every reply of the stand-in has the header
    ``X-Simulated``, for a CSV file has no place for a mark. FITS and VOTable replies of a simulated realm must be marked.

    Raises
    ------
    BadReply
        The reply belongs to the other realm; asking again will not help.
    """
    marked = simulated_mark(path)
    claimed = (headers or {}).get("x-simulated", "").lower() == "true"
    if realm == "live" and (marked or claimed):
        raise BadReply("a reply marked as simulated, where real data were asked (archives.mode is live); is an endpoint set?", transient=False)
    if realm != "live" and marked is False:
        raise BadReply("a reply that is not marked as simulated, where the simulated sky was asked (archives.mode is simulated)", transient=False)


def simulated_mark(path: Path) -> bool | None:
    """Whether a file says that it is simulated: True or False for FITS and VOTable, True or None (cannot tell) for other kinds."""
    with path.open("rb") as file:
        head = file.read(2**20)
        if head.startswith(b"SIMPLE  ="):
            file.seek(0)
            return read_header(file).get("SIMULATE") == "T"
    if re.search(rb"<(\w+:)?VOTABLE[\s>]", head[:4096]):
        tags = re.findall(rb"<(?:\w+:)?INFO\b[^>]*>", head)
        simulated = [tag for tag in tags if re.search(rb"\bname\s*=\s*[\"']SIMULATED[\"']", tag)]
        return any(not re.search(rb"\bvalue\s*=\s*[\"'](F|false|0|no)[\"']", tag, re.IGNORECASE) for tag in simulated)
    if head.startswith(b"\xff\xd8"):
        return True if re.search(rb"\xff\xfe..SIMULATED", head, re.DOTALL) else None
    if head.lstrip()[:1] in (b"{", b"[") and re.search(rb'"simulated"\s*:\s*true', head):
        return True
    return True if re.search(rb"^#+\s*SIMULATED?\b(?!\s*[=:]\s*(F|false|0)\b)", head, re.MULTILINE) else None


def expect_digest(*, md5: str | None = None, sha256: str | None = None, also: Callable[[Path], Any] | None = None) -> Callable[[Path], None]:
    """A check that a body has the digest that its archive publishes (Zenodo's records give an MD5).

    Parameters
    ----------
    md5, sha256
        Hex digests, in any case; a prefix such as ``md5:`` is dropped. None is not compared.
    also
        Another check of the same body, made first: what it says about a wrong body tells more than a digest.

    Raises
    ------
    ArchiveError
        A digest is not one: not hex, or of another length.
    """
    wanted = {name: _digest_text(name, value) for name, value in (("md5", md5), ("sha256", sha256)) if value is not None}

    def check(path: Path) -> None:
        if also is not None:
            also(path)
        for name, digest in wanted.items():
            with path.open("rb") as file:
                found = hashlib.file_digest(file, functools.partial(hashlib.new, name, usedforsecurity=False)).hexdigest()
            if found != digest:
                raise BadReply(f"a body with the {name.upper()} {found}, where the archive promises {digest}")

    return check


def _digest_text(name: str, value: str) -> str:
    text = value.strip().lower().removeprefix(f"{name}:")
    if len(text) != 2 * hashlib.new(name, usedforsecurity=False).digest_size or not re.fullmatch("[0-9a-f]+", text):
        raise ArchiveError(f"{value!r} is no {name.upper()} in hex")
    return text


def check_not_html(path: Path) -> None:
    """Anything but an HTML page: for text files (CSV, catalogues) that an archive under maintenance answers with a page.

    Raises
    ------
    BadReply
        The file begins as an HTML page.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    if re.match(rb"\s*(<!doctype html|<html)", head, re.IGNORECASE):
        raise BadReply(f"an HTML page in place of data: {_glimpse(head)}")


def _data_bytes(cards: dict[str, str]) -> int:
    try:
        shape = [int(cards[f"NAXIS{i + 1}"]) for i in range(int(cards["NAXIS"]))]
        bits, groups, heap = abs(int(cards["BITPIX"])), int(cards.get("GCOUNT", "1")), int(cards.get("PCOUNT", "0"))
    except (KeyError, ValueError) as error:
        raise BadReply(f"a FITS header without a readable {error}", transient=False) from error
    # No negative count may take back what the axes promise: whoever reads the image believes the axes alone.
    if min(shape, default=0) < 0 or groups < 1 or heap < 0:
        raise BadReply(f"a FITS header with impossible axes {shape} (GCOUNT {groups}, PCOUNT {heap})", transient=False)
    bits *= groups * (heap + math.prod(shape))
    return math.ceil(bits // 8 / BLOCK) * BLOCK if shape else 0


def _value(text: str) -> str:
    quoted = re.match(r"\s*'(?:[^']|'')*'", text)
    return quoted[0].strip() if quoted else text.split("/")[0].strip()


def _glimpse(body: bytes) -> str:
    return repr(body[:60].decode("utf-8", "replace")) if body else "nothing (it is empty)"
