"""What the body of a cutout says of itself: JPEG pictures and FITS images of one plane per band, read without guessing.

Shared by the cutout services; what each service means by its pixels and by its odd replies is in its own module.
"""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tuningfork.archives.checks import BadReply, check_fits, read_header
from tuningfork.errors import OutsideFootprint

JPEG_BEGIN, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"

MAX_PIXELS = 64_000_000
"""Of one picture: the largest that a service cuts has a sixteenth of it; more are a decompression bomb."""

# A picture of one colour decodes to exactly one value per channel; a level of rounding is left for other encoders.
UNIFORM_LEVELS = 1


def check_jpeg(path: Path, pixels: int) -> None:
    """A whole JPEG of ``pixels`` x ``pixels`` that shows more than one colour.

    Raises
    ------
    BadReply
        It is no JPEG, or is cut (transient), or has another size than was asked (not transient: the service clamped or ignored it).
    OutsideFootprint
        Every pixel has the same colour, as services paint where they have no image.
    """
    picture = read_jpeg(path)
    height, width = picture.shape[1:]
    if (height, width) != (pixels, pixels):
        raise BadReply(f"a picture of {width} x {height} pixels, where {pixels} x {pixels} were asked", transient=False)
    if int(np.ptp(picture, axis=(1, 2)).max()) <= UNIFORM_LEVELS:
        raise OutsideFootprint(f"a picture of one colour (red, green, blue = {picture[:, 0, 0].tolist()}): the service has no image there")


def read_jpeg(path: Path) -> NDArray[np.uint8]:
    """The colours of a JPEG file.

    Returns
    -------
    array of uint8, (3, height, width)
        Red, green, blue; the first row is the top of the picture.

    Raises
    ------
    BadReply
        It is no JPEG, or it is cut; asking again may help.
    """
    body = path.read_bytes()
    if not body.startswith(JPEG_BEGIN):
        raise BadReply(f"no JPEG picture: it begins with {glimpse(body)}")
    # PIL fills what is missing of a cut picture with grey in some versions: the end marker is asked for first.
    if not body.endswith(JPEG_END):
        raise BadReply(f"a JPEG picture cut short after {len(body)} bytes: it has no end marker")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is looked at here, before anything is decoded
            picture = Image.open(path, formats=("JPEG",))
        with picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise BadReply(f"a JPEG picture of {picture.width} x {picture.height} pixels, more than the {MAX_PIXELS} that are read", transient=False)
            return np.ascontiguousarray(np.asarray(picture.convert("RGB")).transpose(2, 0, 1))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadReply(f"a damaged JPEG picture ({error})") from error


def read_planes(path: Path) -> tuple[dict[str, str], NDArray[np.float32]]:
    """Cards and planes of the primary image of a FITS file of 32-bit floats.

    Returns
    -------
    cards : dict
        Keyword -> value, strings without their quotes.
    planes : array of float32, (bands, height, width)
        One plane per band, also where the file has two axes only; the first row is the first of the file (south, where north is up).

    Raises
    ------
    BadReply
        It is not FITS or is cut (transient), or it is no such image (not transient).
    """
    cards = {name: _unquoted(value) for name, value in check_fits(path).items()}
    if cards.get("BITPIX") != "-32" or cards.get("NAXIS") not in ("2", "3") or not (_is(cards.get("BSCALE", "1"), 1) and _is(cards.get("BZERO", "0"), 0)):
        raise BadReply(
            f"a FITS image with BITPIX {cards.get('BITPIX')} and {cards.get('NAXIS')} axes, where planes of 32-bit floats were asked", transient=False
        )
    shape = [int(cards[f"NAXIS{axis}"]) for axis in range(int(cards["NAXIS"]), 0, -1)]
    with path.open("rb") as file:
        read_header(file)
        data = np.fromfile(file, dtype=">f4", count=int(np.prod(shape)))
    planes = data.astype(np.float32).reshape(shape)
    return cards, planes if planes.ndim == 3 else planes[None]


def observed(planes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where every band was observed, (height, width): services write exactly 0.0 (some NaN) where a band was not."""
    return np.asarray((np.isfinite(planes) & (planes != 0)).all(axis=0))


def glimpse(body: bytes) -> str:
    """The first words of a body, for a message."""
    return repr(" ".join(body[:120].decode("utf-8", "replace").split())[:80]) if body else "nothing (it is empty)"


def _is(text: str, number: float) -> bool:
    """Whether a card's value is this number; what is none is not."""
    try:
        return float(text) == number
    except ValueError:
        return False


def _unquoted(value: str) -> str:
    return value[1:-1].replace("''", "'").rstrip() if value.startswith("'") and value.endswith("'") and len(value) > 1 else value
