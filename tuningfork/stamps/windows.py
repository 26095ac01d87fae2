"""One batch of equal windows of a mosaic: read, judge, mend, measure the sky, resample. The core of `tuningfork.stamps.cut`."""

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS

from tuningfork.stamps.background import border_indices, robust_sky
from tuningfork.stamps.mosaic import Mosaic
from tuningfork.stamps.resample import Resampler
from tuningfork.stamps.store import USABLE

__all__ = ["BORDER", "COARSE", "SCALARS", "Cuts", "Cutter"]

SCALARS = {
    "sky": "local sky, uJy/arcsec^2",
    "sky_sigma": "noise of one native pixel, uJy/arcsec^2",
    "zoom": "output pixels in one native pixel",
    "pixel_scale_arcsec": "side of an output pixel",
    "n_neighbours": "peaks above 5 sigma outside a quarter of the side (one Petrosian radius), in means over a twentieth of the side",
    "snr": "signal to noise within a quarter of the side, for noise that is not correlated",
    "coverage": "fraction of the window that was observed",
    "ra": "deg, ICRS, of the WCS",
    "dec": "deg, ICRS, of the WCS",
    "x_pix": "FITS pixel (1-based) of the native mosaic",
    "y_pix": "FITS pixel (1-based) of the native mosaic",
    "stamp_arcsec": "side of the stamp",
}

COARSE = 20  # cells along the side of the grid on which neighbours are counted
BORDER = 512  # at most so many pixels measure the sky of a stamp
_NEIGHBOUR_SIGMA = 5.0


@dataclass(frozen=True)
class Cuts:
    """One batch of B windows, resampled and judged, and what `Cutter.measure` needs of them.

    `pixels` (B, pixels, pixels), uJy/arcsec^2, is scratch memory that the next batch overwrites; `border` (B, m) are the native pixels along
    the border of the window (image units, NaN where not observed), `aperture` (B,) the mean in the aperture and `coarse` (B, 20, 20) the
    means on a coarse grid.
    """

    pixels: np.ndarray
    status: np.ndarray
    reason: np.ndarray
    coverage: np.ndarray
    border: np.ndarray
    aperture: np.ndarray
    coarse: np.ndarray


class Cutter:
    """Cuts batches of windows from one mosaic, with scratch memory of its own.

    Parameters
    ----------
    mosaic : Mosaic
    pixels : int
        Side of the output.
    min_coverage : float
        Least observed fraction of a usable stamp.
    turned : bool
        Put north up with `reproject_exact`, instead of the axes of the mosaic.
    """

    def __init__(self, mosaic: Mosaic, pixels: int, min_coverage: float = 0.25, turned: bool = False) -> None:
        self.mosaic, self.pixels, self.min_coverage, self.turned = mosaic, pixels, min_coverage, turned
        self.unit = mosaic.to_microjansky / mosaic.pixel_scale_arcsec**2
        self._resampler = Resampler(pixels)
        self._borders: dict[int, np.ndarray] = {}
        grid = (np.arange(pixels) + 0.5) / pixels - 0.5
        aperture = np.hypot(grid[:, None], grid) < 0.25
        self._aperture = (aperture / aperture.sum()).astype(np.float32).ravel()
        # means over a coarse grid, along one axis: the same overlaps that resampling uses
        self._blocks = Resampler(COARSE).weights(np.zeros((2, 1)), np.array([float(pixels)]), pixels)[0, 0].copy()
        coarse = (np.arange(COARSE) + 0.5) / COARSE - 0.5
        self._outer = np.hypot(coarse[:, None], coarse) > 0.25

    def cut(self, x: np.ndarray, y: np.ndarray, side: np.ndarray, n: int) -> Cuts:
        """Cut B windows of these centres (0-based pixels) and sides (native pixels), each of which fits into n x n pixels."""
        count = len(x)
        centre = np.stack([y, x])
        span = side * np.sqrt(2) if self.turned else side
        # the window in the middle of the n pixels, so that the border that measures the sky is even on all sides
        first = np.floor(centre - span / 2 + 0.5).astype(np.int64)
        first -= (n - 1 - np.ceil(span).astype(np.int64)) // 2
        start = centre - side / 2 + 0.5 - first
        windows = self.mosaic.pixels.windows(first[0], first[1], self._resampler.buffer("windows", (count, n, n)))
        weights = self._resampler.weights(start, side, n, lengths=True)
        seen, infinite = self._seen(first, windows)
        whole = seen.all(axis=(1, 2))
        status, reason = np.full(count, "ok", dtype="U20"), np.full(count, "", dtype=object)
        coverage = np.ones(count)
        holes = np.flatnonzero(~whole)
        if len(holes):
            coverage[holes] = self._judge(holes, first, centre, side, seen, infinite, status, reason)
            windows[holes] = np.where(seen[holes], windows[holes], np.float32(np.nan))
        flat = windows.reshape(count, n * n)
        border = np.full((count, BORDER), np.nan, dtype=np.float32)
        indices = self._border(n)
        border[:, : len(indices)] = np.take(flat, indices, axis=1)
        if len(holes):
            sky, _ = robust_sky(border[holes])
            lost = ~np.isfinite(sky)
            sky[lost], _ = robust_sky(flat[holes[lost]])
            windows[holes] = np.where(seen[holes], windows[holes], np.nan_to_num(sky).astype(np.float32)[:, None, None])
        if self.turned:
            result = self._turn(windows, first, centre, side)
            result *= np.float32(self.unit)
        else:
            result = self._resampler.apply(weights, windows)
            result *= (self.unit * (self.pixels / side) ** 2).astype(np.float32)[:, None, None]
        # one product a stamp, not one for all: a stamp's numbers must not depend, to the last bit, on its neighbours in the batch
        half = np.matmul(result, self._blocks.T)
        aperture = np.matmul(result.reshape(count, 1, -1), self._aperture[:, None])[:, 0, 0]
        coarse = np.matmul(self._blocks, half)
        self._find_constant(windows, seen, start, side, coarse, status, reason)
        return Cuts(result, status, reason, coverage, border, aperture, coarse)

    def measure(self, border: np.ndarray, aperture: np.ndarray, coarse: np.ndarray, side: np.ndarray) -> dict[str, np.ndarray]:
        """Sky, its noise, signal to noise and number of neighbours, from what `cut` left of the windows (see `Cuts`); any number at once."""
        sky, sigma = (value * self.unit for value in robust_sky(border))
        with np.errstate(divide="ignore", invalid="ignore"):
            snr = np.where(sigma > 0, (aperture - sky) / sigma * np.sqrt(np.pi * (side / 4) ** 2), np.nan)
            bright = (sky + _NEIGHBOUR_SIGMA * sigma / np.maximum(side / COARSE, 1)).astype(np.float32)
        peak = (coarse > bright[:, None, None]) & self._outer
        padded = np.full((len(coarse), COARSE + 2, COARSE + 2), -np.inf, dtype=np.float32)
        padded[:, 1:-1, 1:-1] = coarse
        for dy, dx in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)):
            peak &= coarse > padded[:, dy : dy + COARSE, dx : dx + COARSE]
        return {"sky": sky, "sky_sigma": sigma, "snr": snr, "n_neighbours": peak.sum(axis=(1, 2)).astype(np.float64)}

    def _seen(self, first: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Which pixels were observed (weight above zero, or where there is no weight map neither NaN nor exactly zero), and those of them that are infinite.

        Infinite pixels are taken out of the observed ones; None where there is none.
        """
        if self.mosaic.weight is None:
            seen = windows != 0
        else:
            seen = self.mosaic.weight.windows(first[0], first[1], self._resampler.buffer("weight", windows.shape)) > 0
        seen &= windows == windows  # false for NaN, and faster than isnan
        infinite = np.isinf(windows)
        if not infinite.any():
            return seen, None
        infinite &= seen
        seen &= ~infinite
        return seen, infinite

    def _judge(
        self,
        rows: np.ndarray,
        first: np.ndarray,
        centre: np.ndarray,
        side: np.ndarray,
        seen: np.ndarray,
        infinite: np.ndarray | None,
        status: np.ndarray,
        reason: np.ndarray,
    ) -> np.ndarray:
        """Set status and reason of the windows with holes; returns the observed fraction of each."""
        n = seen.shape[1]
        place = np.arange(n)
        # lengths of the pixels in the window, in float64: the float32 weights are not exact enough to tell 1 from nearly 1
        low = (centre[:, rows] - side[rows] / 2 + 0.5 - first[:, rows])[..., None]
        along_y, along_x = np.clip(np.minimum(low + side[rows, None], place + 1) - np.maximum(low, place), 0, None) / side[rows, None]
        fraction = np.einsum("by,byx,bx->b", along_y, seen[rows].astype(np.float64), along_x)
        fraction = np.where(fraction > 1 - 1e-9, 1.0, np.where(fraction < 1e-9, 0.0, fraction))
        inside = [(first[axis, rows, None] + place >= 0) & (first[axis, rows, None] + place < self.mosaic.shape[axis]) for axis in (0, 1)]
        on_image = (along_y * inside[0]).sum(axis=1) * (along_x * inside[1]).sum(axis=1)
        middle = np.floor(centre[:, rows] + 0.5).astype(np.int64) - first[:, rows]
        near = [np.clip(middle[axis, :, None] + np.arange(-1, 2), 0, n - 1) for axis in (0, 1)]
        object_seen = seen[rows[:, None, None], near[0][:, :, None], near[1][:, None, :]].any(axis=(1, 2))
        for i, row in enumerate(rows.tolist()):
            off = 1 - on_image[i]
            if infinite is not None and (infinite[row] & (along_y[i] > 0)[:, None] & (along_x[i] > 0)).any():
                status[row], reason[row] = "nonfinite", "infinite pixels"
            elif fraction[i] < self.min_coverage or not object_seen[i]:
                what = f"{fraction[i]:.1%} of the window was observed" if fraction[i] < self.min_coverage else "the object itself was not observed"
                status[row], reason[row] = ("outside_footprint" if off > 0.5 * (1 - fraction[i]) else "blank"), what
            elif fraction[i] < 1:
                where = f", {off:.1%} is off the image" if off > 1e-9 else ""
                status[row], reason[row] = "partial", f"{fraction[i]:.1%} of the window was observed{where}"
        return fraction

    @staticmethod
    def _find_constant(
        windows: np.ndarray, seen: np.ndarray, start: np.ndarray, side: np.ndarray, coarse: np.ndarray, status: np.ndarray, reason: np.ndarray
    ) -> None:
        """Mark as blank the usable windows whose observed pixels all have one value; only those flat on the coarse grid are looked at."""
        low, high = coarse.min(axis=(1, 2)), coarse.max(axis=(1, 2))
        for row in np.flatnonzero(high - low <= 1e-4 * np.maximum(np.abs(low), np.abs(high))).tolist():
            y, x = (slice(int(s), int(np.ceil(s + side[row]))) for s in start[:, row])
            values = windows[row, y, x][seen[row, y, x]]
            if status[row] in USABLE and values.size and values.min() == values.max():
                status[row], reason[row] = "blank", "every observed pixel has the same value"

    def _border(self, n: int) -> np.ndarray:
        if n not in self._borders:
            self._borders[n] = border_indices(n, max(1, min(n // 3, round(n / 10))), BORDER)
        return self._borders[n]

    def _turn(self, windows: np.ndarray, first: np.ndarray, centre: np.ndarray, side: np.ndarray) -> np.ndarray:
        """North up and east left, one call of `reproject_exact` a stamp (spherical polygons, exact in area)."""
        from reproject import reproject_exact

        result = self._resampler.buffer("result", (len(windows), self.pixels, self.pixels))
        lon, lat = self.mosaic.wcs.wcs_pix2world(centre[1], centre[0], 0)
        for i, window in enumerate(windows):
            source = self.mosaic.wcs.deepcopy()
            source.wcs.crpix = source.wcs.crpix - first[::-1, i]
            target = WCS(naxis=2)
            target.wcs.ctype = ["RA---TAN", "DEC--TAN"]
            target.wcs.crval = [lon[i], lat[i]]
            target.wcs.crpix = [(self.pixels + 1) / 2] * 2
            scale = side[i] * self.mosaic.pixel_scale_arcsec / 3600 / self.pixels
            target.wcs.cdelt = [-scale, scale]
            target.wcs.radesys = source.wcs.radesys
            turned = reproject_exact((window.astype(np.float64), source), target, shape_out=result.shape[1:], parallel=False, return_footprint=False)
            result[i] = np.nan_to_num(turned)
        return result
