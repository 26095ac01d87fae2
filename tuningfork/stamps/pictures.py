"""Stamps from a folder of images: JPEG, PNG or FITS files of any size become one shard of equal squares.

Colour pictures keep 0..255 in uint8; FITS keeps its values in float32. A file that cannot be read costs its own row and no other.
"""

import math
import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from tuningfork.archives.checks import BadReply
from tuningfork.archives.packed import unpacked
from tuningfork.errors import StampError
from tuningfork.stamps.resample import Resampler
from tuningfork.stamps.store import StampShard

__all__ = ["FITS_SUFFIXES", "MAX_PIXELS", "PICTURE_SUFFIXES", "import_pictures", "read_picture"]

FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp")
MAX_PIXELS = 64_000_000  # of one image: larger ones are decompression bombs, or no stamps
MIN_SIDE = 3


class _BadPictureError(Exception):
    """A picture that cannot become a stamp: status and reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def import_pictures(
    paths: Sequence[str | os.PathLike[str] | None],
    object_ids: Sequence[str] | np.ndarray,
    *,
    channels: int,
    pixels: int,
    as_fits: bool | None = None,
    progress: bool = False,
) -> StampShard:
    """Read one image an object.

    Parameters
    ----------
    paths : sequence of path or None
        None (or an empty path) is an object without an image: ``absent``. All FITS or all pictures: they do not share a type.
    object_ids : sequence of str
        Unique.
    channels : int
        Channels of the output. 1 from a colour picture is its luma (ITU-R 601); 3 from a grey one is the same value three times. A FITS cube must
        have so many planes; a two-dimensional FITS image counts as one.
    pixels : int
        Side of the output. An image that is not square is cropped to its central square, then averaged by area (`Resampler`): each output pixel is
        the mean of what it covers, in shrinking and in enlarging alike.
    as_fits : bool, optional
        Type of the output, for shards in which perhaps no object has an image; by the file names where not given.
    progress : bool
        Show a bar.

    Returns
    -------
    StampShard
        uint8 (pictures) or float32 (FITS) of shape (N, channels, pixels, pixels), in the order given, with the scalars ``width``, ``height``
        (of the file), ``zoom`` and ``coverage``.

    Raises
    ------
    StampError
        Lengths differ, ids stand twice, ``channels`` is not positive, or FITS and pictures are mixed.
    """
    ids = np.asarray(object_ids).astype(str)
    if len(ids) != len(paths):
        raise StampError(f"{len(paths)} images for {len(ids)} ids")
    if len(np.unique(ids)) != len(ids):
        unique, counts = np.unique(ids, return_counts=True)
        raise StampError(f"object id {str(unique[counts > 1][0])!r} stands {int(counts.max())} times among the images")
    if channels < 1 or pixels < 1:
        raise StampError(f"channels ({channels}) and pixels ({pixels}) must be positive")
    files = [Path(path) if path is not None and str(path) else None for path in paths]
    kinds = {_is_fits(path) for path in files if path is not None}
    if len(kinds) > 1:
        raise StampError("FITS files and pictures in one sample: their values have different meanings; make two samples of them")
    if as_fits is None:
        as_fits = kinds == {True}
    elif kinds and kinds != {as_fits}:
        raise StampError(f"{'pictures' if as_fits else 'FITS files'} in a sample of {'FITS files' if as_fits else 'pictures'}")
    out = np.zeros((len(ids), channels, pixels, pixels), dtype=np.float32 if as_fits else np.uint8)
    status, reason = np.full(len(ids), "ok", dtype="U20"), np.full(len(ids), "", dtype=object)
    scalars = {name: np.full(len(ids), np.nan) for name in ("width", "height", "zoom", "coverage")}
    matrices: dict[int, np.ndarray] = {}  # averaging weights, by side
    for i, path in enumerate(tqdm(files, desc="images", unit="image", disable=None if progress else True)):
        try:
            if path is None or not path.is_file():
                raise _BadPictureError("absent", "no image of this object" if path is None else f"no file {path.name}")
            image = read_picture(path, channels)
            _, height, width = image.shape
            scalars["width"][i], scalars["height"][i], scalars["zoom"][i] = width, height, pixels / min(width, height)
            out[i], scalars["coverage"][i] = _fit(image, matrices, pixels, as_fits)
            if scalars["coverage"][i] < 1:
                status[i], reason[i] = "partial", f"{scalars['coverage'][i]:.1%} of its worst channel was observed"
        except _BadPictureError as error:
            status[i], reason[i] = error.status, str(error)
    return StampShard(ids, status.astype(str), reason.astype(str), out, scalars)


def read_picture(path: str | os.PathLike[str], channels: int) -> np.ndarray:
    """One image file as (C, H, W), uint8 or float32.

    Raises an internal error, which `import_pictures` turns into a status, where the file is unreadable, truncated or too large, or has other channels.
    """
    path = Path(path)
    return _read_fits(path, channels) if _is_fits(path) else _read_pillow(path, channels)


def _is_fits(path: Path) -> bool:
    return path.name.lower().endswith(FITS_SUFFIXES)


def _read_pillow(path: Path, channels: int) -> np.ndarray:
    if channels not in (1, 3):
        raise _BadPictureError("failed", f"{path.name}: pictures give 1 or 3 channels, not {channels}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is checked below, before anything is decoded
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise _BadPictureError("failed", f"{path.name}: {image.width} x {image.height} pixels, more than the {MAX_PIXELS} that are read")
                if image.mode.startswith(("I", "F")):
                    raise _BadPictureError("failed", f"{path.name}: more than 8 bits a channel ({image.mode}); convert it to FITS, so that no range is lost")
                data = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except Image.DecompressionBombError as error:
        raise _BadPictureError("failed", f"{path.name}: {error}") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, zlib.error, struct.error) as error:
        raise _BadPictureError("failed", f"{path.name}: not a readable image, or truncated ({type(error).__name__})") from error
    return data[None] if channels == 1 else data.transpose(2, 0, 1)


def _read_fits(path: Path, channels: int) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(unpacked(path), memmap=False, lazy_load_hdus=True) as hdus:
                for hdu in hdus:
                    header = hdu.header
                    axes = [int(header[f"NAXIS{k + 1}"]) for k in range(int(header.get("NAXIS", 0)))]
                    if not hdu.is_image or len(axes) < 2 or 0 in axes:
                        continue
                    if math.prod(axes) > MAX_PIXELS:
                        raise _BadPictureError("failed", f"{path.name}: the header promises {math.prod(axes)} pixels, more than the {MAX_PIXELS} that are read")
                    cube = np.asarray(hdu.data, dtype=np.float32).reshape(-1, *axes[1::-1])
                    break
                else:
                    raise _BadPictureError("failed", f"{path.name}: no image in the file")
    except BadReply as error:
        raise _BadPictureError("failed", str(error)) from error
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError, zlib.error, fits.VerifyError) as error:
        raise _BadPictureError("failed", f"{path.name}: not a readable FITS file, or truncated ({type(error).__name__})") from error
    if len(cube) != channels:
        raise _BadPictureError("failed", f"{path.name}: {len(cube)} planes where the sample has {channels} channels")
    return cube


def _fit(image: np.ndarray, matrices: dict[int, np.ndarray], pixels: int, as_fits: bool) -> tuple[np.ndarray, float]:
    """The central square averaged to ``pixels``, and the observed fraction of its worst channel (in FITS, NaN and exact zero are not observed)."""
    _, height, width = image.shape
    side = min(height, width)
    if side < MIN_SIDE:
        raise _BadPictureError("too_small", f"{width} x {height} pixels")
    top, left = (height - side) // 2, (width - side) // 2
    square = image[:, top : top + side, left : left + side].astype(np.float32)
    coverage = 1.0
    if as_fits:
        if np.isinf(square).any():
            raise _BadPictureError("nonfinite", "infinite pixels")
        lost = np.isnan(square) | (square == 0)
        if lost.all():
            raise _BadPictureError("blank", "no pixel was observed")
        if lost.any():
            coverage = 1 - float(lost.mean(axis=(1, 2)).max())
            for plane, holes in zip(square, lost, strict=True):
                plane[holes] = np.median(plane[~holes]) if not holes.all() else 0
    if square.min() == square.max():
        raise _BadPictureError("blank", "every pixel has the same value")
    if side != pixels:
        if side not in matrices:
            matrices[side] = Resampler(pixels).weights(np.zeros((2, 1)), np.array([float(side)]), side)[0, 0].copy()
        square = matrices[side] @ square @ matrices[side].T
    return (square if as_fits else np.clip(np.rint(square), 0, 255).astype(np.uint8)), coverage
