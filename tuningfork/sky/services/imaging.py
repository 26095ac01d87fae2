"""What the cutout services need of a sky that makes images, and how much of it they ask at once."""

from typing import Protocol

import numpy as np


class Imaging(Protocol):
    """Images of any place; `tuningfork.sky.wide.image.WideSky` is one."""

    def image(self, layer: str, ra: float, dec: float, *, arcsec_per_pixel: float, width: int, height: int, bands: tuple[str, ...]) -> np.ndarray | None:
        """Float32 (bands, height, width), flux per native pixel, row 0 in the south; exact 0.0 where nothing was observed; None where no brick overlaps."""

    def jpeg(self, layer: str, ra: float, dec: float, *, arcsec_per_pixel: float, width: int, height: int, bands: tuple[str, ...]) -> np.ndarray | None:
        """Uint8 (height, width, 3), row 0 in the north, or None where no brick overlaps."""


MOST_PIXELS = 2.0**26
"""Native pixels under one picture beyond which a service answers as it does when it fails, in place of using up the machine's memory."""


def too_large(width: int, height: int, arcsec_per_pixel: float, native_arcsec: float) -> bool:
    """Whether a picture covers more than `MOST_PIXELS` native pixels."""
    return width * height * max(arcsec_per_pixel / native_arcsec, 1.0) ** 2 > MOST_PIXELS
