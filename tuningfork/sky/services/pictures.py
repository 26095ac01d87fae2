"""JPEG as the two picture services write it, marked SIMULATED in a comment segment; and a picture of words."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

COMMENT = b"SIMULATED: no real object"


def jpeg(pixels: np.ndarray, *, quality: int, dpi: int | None = None) -> bytes:
    """Baseline JPEG, 4:2:0.

    Parameters
    ----------
    pixels : uint8 array (H, W, 3)
        Row 0 is the top of the picture.
    quality : int
        75 for SkyServer, 90 for the Legacy viewer (reference/archives.md, 3.2 and 4).
    dpi : int, optional
        Resolution in the JFIF header; SkyServer says 96.
    """
    options: dict[str, Any] = {"dpi": (dpi, dpi)} if dpi else {}
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels), "RGB").save(out, "JPEG", quality=quality, subsampling="4:2:0", comment=COMMENT, **options)
    return out.getvalue()


def words(text: str, width: int, height: int) -> np.ndarray:
    """White words on black, uint8 (height, width, 3), lines broken to fit."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    lines: list[str] = []
    for word in text.split():
        if lines and draw.textlength(f"{lines[-1]} {word}") <= width - 8:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    draw.multiline_text((4, 4), "\n".join(lines), fill="white")
    return np.asarray(image)


def uniform(level: int, width: int, height: int) -> np.ndarray:
    """A picture of one grey, uint8 (height, width, 3)."""
    return np.full((height, width, 3), level, dtype=np.uint8)
