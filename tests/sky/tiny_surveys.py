"""A sky of the tests' own, with the interface of the wide sky: a gradient that names its place, boxes of zeros, and places without bricks."""

import threading

import numpy as np

from tuningfork.sky.wide.surveys import layer_at


class TinySky:
    """East of RA 200 there is no brick; between 190 and 200 nothing was observed; elsewhere values rise with plane, row (north) and column (west)."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self._lock = threading.Lock()

    def image(self, layer, ra, dec, *, arcsec_per_pixel, width, height, bands):
        with self._lock:
            self.asked.append({"layer": layer, "ra": ra, "dec": dec, "scale": arcsec_per_pixel, "width": width, "height": height, "bands": bands})
        layer_at(layer, dec)
        if ra >= 200:
            return None
        if ra >= 190:
            return np.zeros((len(bands), height, width), np.float32)
        plane, row, column = np.ogrid[: len(bands), :height, :width]
        return (1 + plane * 100 + row + column / 1024).astype(np.float32)

    def jpeg(self, layer, ra, dec, *, arcsec_per_pixel, width, height, bands):
        image = self.image(layer, ra, dec, arcsec_per_pixel=arcsec_per_pixel, width=width, height=height, bands=bands)
        if image is None:
            return None
        row, column = np.mgrid[:height, :width]
        return np.stack([row * 255 // max(height - 1, 1), column * 255 // max(width - 1, 1), np.full((height, width), 90)], axis=-1).astype(np.uint8)
