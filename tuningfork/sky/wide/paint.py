"""Draw parts on pixels, and blur the picture as the telescope does: Gaussians in real space, one Fourier transform a band.

Everything is drawn with a small Gaussian blur that the transfer function of the telescope takes out again, so that points and cusps are sampled well.
"""

import functools

import numpy as np
from scipy import fft
from scipy.special import i0e

from tuningfork.sky.wide.parts import POINT, SERSIC, SPIRAL
from tuningfork.sky.wide.profiles import mixture, widths
from tuningfork.sky.wide.surveys import MOFFAT_BETA

PRE = 0.6
"""Standard deviation in pixels of the blur that everything is drawn with."""

_SHARP = 1.9
"""How far an arm stands out: exponent of the wave."""

_CLASSES = (3, 5, 8, 12, 18, 27)
"""Half sizes in pixels up to which Gaussians are drawn together."""

_AT_ONCE = 2**21
"""Pixels of small drawings in memory at a time."""

_SMALL = 2**19
"""Pictures up to so many pixels keep their transfer function for the next one of that size."""


def draw(parts: np.ndarray, flux: np.ndarray, x: np.ndarray, y: np.ndarray, scale: float, shape: tuple[int, int], faintest: np.ndarray) -> np.ndarray:
    """Nanomaggies per pixel before the telescope (but for the blur `PRE`).

    Parameters
    ----------
    parts : ndarray of `PART`, shape (n,)
    flux : ndarray, shape (n, bands)
        Nanomaggies.
    x, y : ndarray, shape (n,)
        0-based pixels of the centres; x runs west, y north.
    scale : float
        Arcsec per pixel.
    shape : (int, int)
        Rows, columns.
    faintest : ndarray, shape (bands,)
        Nanomaggies per pixel at which a drawing may end.

    Returns
    -------
    ndarray, float32, shape (bands, rows, columns)
    """
    image = np.zeros((flux.shape[1], *shape), dtype=np.float32)
    kind = parts["shape"]
    pieces = [_points(kind == POINT, flux, x, y), _sersics(parts, kind == SERSIC, flux, x, y, scale)]
    _gaussians(image, [np.concatenate(columns) for columns in zip(*pieces, strict=True)], faintest)
    for row in np.flatnonzero(kind == SPIRAL):
        _spiral(image, parts[row], flux[row], x[row], y[row], scale, faintest)
    return image


def transfer(fwhm: float, scale: float, shape: tuple[int, int]) -> np.ndarray:
    """Transfer function of a Moffat profile of `fwhm` arcsec without the blur `PRE`, for `scipy.fft.rfft2` of `shape`, float32."""
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1)) / scale
    line, column = (np.minimum(np.arange(side), side - np.arange(side)).astype(np.float32) for side in shape)
    kernel = (1 + (line[:, None] ** 2 + column[None, :] ** 2) / np.float32(alpha) ** 2) ** np.float32(-MOFFAT_BETA)
    blur = np.exp(-2 * (np.pi * PRE) ** 2 * (fft.fftfreq(shape[0])[:, None] ** 2 + fft.rfftfreq(shape[1])[None, :] ** 2))
    result = (fft.rfft2(kernel / kernel.sum()).real / blur).astype(np.float32)
    result.flags.writeable = False
    return result


_remembered = functools.lru_cache(maxsize=64)(transfer)


def moffat_reach(contrast: np.ndarray, fwhm: float, faintest: float = 0.3) -> np.ndarray:
    """Radius in arcsec at which the wings of points fall to `faintest`, in the unit of `contrast` (flux per arcsec^2 of that unit's area)."""
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    return alpha * (np.maximum(contrast, 0) * (MOFFAT_BETA - 1) / (np.pi * alpha**2) / faintest) ** (0.5 / MOFFAT_BETA)


def blur(image: np.ndarray, fwhm: float, scale: float) -> np.ndarray:
    """One drawn band as the telescope sees it; edges wrap around, so the picture needs a margin."""
    rows, columns = image.shape
    function = (_remembered if rows * columns <= _SMALL else transfer)(fwhm, scale, (rows, columns))
    return fft.irfft2(fft.rfft2(image) * function, s=image.shape)


def _points(chosen: np.ndarray, flux: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    width = np.full(chosen.sum(), PRE**2)
    return x[chosen], y[chosen], width, np.zeros_like(width), width, flux[chosen]


def _sersics(parts: np.ndarray, chosen: np.ndarray, flux: np.ndarray, x: np.ndarray, y: np.ndarray, scale: float) -> tuple[np.ndarray, ...]:
    """Gaussians that make up the Sersic profiles: centres, covariances (xx, xy, yy; pixels), fluxes."""
    share = mixture(parts["n"][chosen])
    row, column = np.nonzero(share)
    own = parts[chosen][row]
    major = own["radius"] / scale * widths(parts["n"][chosen])[row, column]
    minor = major * own["q"]
    ux, uy = -np.sin(own["pa"]), np.cos(own["pa"])  # x runs west
    xx = (major * ux) ** 2 + (minor * uy) ** 2 + PRE**2
    yy = (major * uy) ** 2 + (minor * ux) ** 2 + PRE**2
    xy = (major**2 - minor**2) * ux * uy
    at = np.flatnonzero(chosen)[row]
    return x[at], y[at], xx, xy, yy, flux[at] * share[row, column, None]


def _gaussians(image: np.ndarray, pieces: list[np.ndarray], faintest: np.ndarray) -> None:
    """Add Gaussians (x, y, covariances xx, xy, yy, fluxes) to `image`, small ones many at a time."""
    x, y, xx, xy, yy, flux = pieces
    determinant = np.maximum(xx * yy - xy**2, 1e-6)
    peak = flux / (2 * np.pi * np.sqrt(determinant))[:, None]
    contrast = np.abs(peak / faintest).max(axis=1)
    sigmas = np.sqrt(2 * np.log(np.maximum(contrast, 1.0)))
    half_x, half_y = np.sqrt(xx) * sigmas, np.sqrt(yy) * sigmas
    rows, columns = image.shape[1:]
    seen = (contrast > 1) & (x + half_x > -1) & (x - half_x < columns) & (y + half_y > -1) & (y - half_y < rows)
    a, b, c = yy / determinant, -xy / determinant, xx / determinant
    half = np.maximum(np.ceil(np.maximum(half_x, half_y)), 2)
    lower = 0
    for limit in _CLASSES:
        chosen = np.flatnonzero(seen & (half > lower) & (half <= limit))
        lower = limit
        step = max(_AT_ONCE // (2 * limit + 1) ** 2, 1)
        for start in range(0, len(chosen), step):
            _many(image, limit, *(values[chosen[start : start + step]] for values in (x, y, a, b, c, peak)))
    for k in np.flatnonzero(seen & (half > lower)):
        _one(image, x[k], y[k], a[k], b[k], c[k], peak[k], half_x[k], half_y[k])


def _many(image: np.ndarray, half: int, x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, peak: np.ndarray) -> None:
    rows, columns = image.shape[1:]
    column, line = np.rint(x).astype(int), np.rint(y).astype(int)
    step = np.arange(-half, half + 1, dtype=np.float32)
    dx = (step - (x - column)[:, None].astype(np.float32))[:, None, :]
    dy = (step - (y - line)[:, None].astype(np.float32))[:, :, None]
    a, b, c = (values.astype(np.float32)[:, None, None] for values in (a, b, c))
    drawn = np.exp(-0.5 * (a * dx**2 + c * dy**2) - b * dx * dy)
    at_x, at_y = column[:, None] + step.astype(int), line[:, None] + step.astype(int)
    inside = ((at_y >= 0) & (at_y < rows))[:, :, None] & ((at_x >= 0) & (at_x < columns))[:, None, :]
    place = (at_y[:, :, None] * columns + at_x[:, None, :])[inside]
    for plane, height in zip(image, peak.T.astype(np.float32), strict=True):
        plane += np.bincount(place, (drawn * height[:, None, None])[inside], rows * columns).reshape(rows, columns)


def _one(image: np.ndarray, x: float, y: float, a: float, b: float, c: float, peak: np.ndarray, half_x: float, half_y: float) -> None:
    rows, columns = image.shape[1:]
    low_x, high_x = max(int(np.floor(x - half_x)), 0), min(int(np.ceil(x + half_x)) + 1, columns)
    low_y, high_y = max(int(np.floor(y - half_y)), 0), min(int(np.ceil(y + half_y)) + 1, rows)
    if low_x >= high_x or low_y >= high_y:
        return
    dx = (np.arange(low_x, high_x) - x).astype(np.float32)[None, :]
    dy = (np.arange(low_y, high_y) - y).astype(np.float32)[:, None]
    drawn = np.exp(np.float32(-0.5) * (np.float32(a) * dx**2 + np.float32(c) * dy**2) - np.float32(b) * dx * dy)
    for plane, height in zip(image, peak, strict=True):
        plane[low_y:high_y, low_x:high_x] += np.float32(height) * drawn


def _spiral(image: np.ndarray, part: np.void, flux: np.ndarray, x: float, y: float, scale: float, faintest: np.ndarray) -> None:
    """An exponential disk whose light is gathered into logarithmic arms; the mean around every ellipse stays that of the disk, so the flux does."""
    rows, columns = image.shape[1:]
    length = max(float(part["radius"]) / 1.678 / scale, 0.3)
    q = max(float(part["q"]), 0.1)
    middle = flux / (2 * np.pi * length**2 * q)
    contrast = float(np.abs(middle / faintest).max()) * 3
    if contrast <= 1:
        return
    half = min(length * np.log(contrast), 7 * length)
    low_x, high_x = max(int(np.floor(x - half)), 0), min(int(np.ceil(x + half)) + 1, columns)
    low_y, high_y = max(int(np.floor(y - half)), 0), min(int(np.ceil(y + half)) + 1, rows)
    if low_x >= high_x or low_y >= high_y:
        return
    dx = (np.arange(low_x, high_x) - x).astype(np.float32)[None, :]
    dy = (np.arange(low_y, high_y) - y).astype(np.float32)[:, None]
    sine, cosine = np.float32(np.sin(part["pa"])), np.float32(np.cos(part["pa"]))
    along, across = -dx * sine + dy * cosine, (-dx * cosine - dy * sine) / np.float32(q)
    distance = np.sqrt(along**2 + across**2 + np.float32(PRE**2)) / np.float32(length)
    drawn = np.exp(-distance)
    if part["amplitude"] > 0:
        turn = np.arctan2(across, along) - np.log(distance) / np.float32(np.tan(part["pitch"]))
        wave = np.exp(np.float32(_SHARP) * (np.cos(np.float32(part["arms"]) * turn + part["phase"]) - 1)) / np.float32(i0e(_SHARP))
        strength = np.float32(part["amplitude"]) * np.clip((distance - np.float32(0.4)) / np.float32(0.9), 0, 1)
        drawn *= 1 + strength * (wave - 1)
    for plane, height in zip(image, middle, strict=True):
        plane[low_y:high_y, low_x:high_x] += np.float32(height) * drawn
