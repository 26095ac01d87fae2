"""Sky, neighbours, shape and radial profile of batches of galaxies, each in the middle of an equal square grid.

All functions take stacks (B, G, G) whose grid is centred on the galaxy and scaled to it, so rings and mirror images are the same pixels for
every galaxy of the stack. The Petrosian radius itself is decided in `tuningfork.stamps.petrosian`.
"""

import itertools
import warnings
from functools import lru_cache

import numpy as np
from scipy import ndimage

from tuningfork.stamps.background import robust_sky

__all__ = ["centroid", "neighbour_mask", "petrosian_crossing", "radial_profile", "ring_levels", "ring_sky", "shape"]

_WIDE = 2.0  # wider takes more bias away at low signal-to-noise, and adds more scatter


@lru_cache(maxsize=16)
def coordinates(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and radius of the pixels of a grid, from its centre, in grid pixels; each (size, size)."""
    axis = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x, y, np.hypot(x, y)


def ring_levels(stack: np.ndarray, good: np.ndarray, radius: float, *, inner: float = 2.5) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Modes of circular rings outside the galaxy.

    Parameters
    ----------
    stack, good : ndarray, shape (B, G, G)
        Pixels, and which of them were observed and are no neighbour's.
    radius : float
        Petrosian radius that the grid was made for, in grid pixels.
    inner : float
        The first ring starts at so many radii; the last ends at the edge of the grid.

    Returns
    -------
    level : ndarray, shape (B, J)
    number : ndarray, shape (B, J)
        Pixels that count: 0 where they are too few.
    at : ndarray, shape (J,)
        Radii of the rings, in grid pixels.
    noise : ndarray, shape (B,)
        Standard deviation of one grid pixel; NaN where no ring has pixels.
    """
    count, size, _ = stack.shape
    rings, at = _rings(size, radius, inner)
    values = np.where(good, stack, np.nan).reshape(count, -1)
    levels, sigmas, numbers = [], [], []
    for ring in rings:
        sample = values[:, ring]
        level, sigma = robust_sky(sample)
        levels.append(level)
        sigmas.append(sigma)
        numbers.append(np.isfinite(sample).sum(axis=1))
    level, sigma, number = np.stack(levels, 1), np.stack(sigmas, 1), np.stack(numbers, 1).astype(float)
    number = np.where(np.isfinite(level) & (number >= 8), number, 0.0)
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        noise = np.nanmedian(np.where(number > 0, sigma, np.nan), axis=1)
    return np.nan_to_num(level), number, at, noise


def ring_sky(level: np.ndarray, number: np.ndarray, at: np.ndarray, noise: np.ndarray, radius: float, wing: np.ndarray | None = None) -> np.ndarray:
    """Local sky (B,) from the levels of rings: the constant of a fit of ``sky + wing r^-3``, for galaxies whose own wing is not known (yet).

    The wing must be positive and larger than its error, else the weighted mean of the rings is the sky; so it is where `wing` (B,) says that
    the wing has been taken from the rings. NaN where no ring has pixels.
    """
    falling = (radius / at) ** 3
    total = number.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_wing, mean_level = (number * falling).sum(axis=1) / total, (number * level).sum(axis=1) / total
        spread = (number * (falling - mean_wing[:, None]) ** 2).sum(axis=1)
        slope = (number * (falling - mean_wing[:, None]) * (level - mean_level[:, None])).sum(axis=1) / spread
        error = 1.25 * noise / np.sqrt(spread)
        slope = np.where((slope > 2 * error) & np.isfinite(slope), slope, 0.0)
        if wing is not None:
            slope = np.where(wing, 0.0, slope)
        return mean_level - slope * mean_wing


def neighbour_mask(stack: np.ndarray, good: np.ndarray, noise: np.ndarray, radius: float, smoothing: int = 3) -> np.ndarray:
    """Pixels (B, G, G) that belong to neighbours, for stacks with the sky taken off.

    Galaxies are nearly symmetric under half a turn and neighbours are not: the light above its mirror image is searched for peaks that
    exceed 5 sigma and twice the mirror image, and what is connected to such a peak above 2 sigma is the neighbour. (The mirror image is
    how the SDSS pipeline takes blends apart, Lupton et al. 2001.) Arms and knots of less contrast than two stay with their galaxy; the
    middle, within 0.3 of the radius, is never a neighbour.

    Parameters
    ----------
    stack, good : ndarray, shape (B, G, G)
    noise : ndarray, shape (B,)
        Standard deviation of the mean over ``smoothing`` x ``smoothing`` grid pixels.
    radius : float
        Petrosian radius in grid pixels.
    """
    size = stack.shape[1]
    plane = np.where(good, stack, np.float32(0))
    smooth = ndimage.uniform_filter(plane, size=(1, smoothing, smoothing), mode="constant")
    level = np.float32(np.sqrt(2)) * noise.astype(np.float32)[:, None, None]  # of the difference of two independent places
    mirror = np.maximum(smooth[:, ::-1, ::-1], 0)
    mirror = np.where(good[:, ::-1, ::-1], mirror, 0)
    excess = smooth - mirror
    middle = coordinates(size)[2] < 0.3 * radius
    grown = (excess > np.maximum(2 * level, 0.05 * mirror)) & ~middle
    seeds = (excess > 5 * level) & (smooth > 2 * mirror) & ~middle
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = True  # connected within a galaxy's plane, never from one galaxy of the stack to the next
    labels, number = ndimage.label(grown, structure)
    chosen = np.zeros(number + 1, dtype=bool)
    chosen[labels[seeds & grown]] = True
    chosen[0] = False
    return ndimage.maximum_filter(chosen[labels], size=(1, 3, 3)) & ~middle


def centroid(stack: np.ndarray, good: np.ndarray, radius: float) -> np.ndarray:
    """Offset (2, B; x then y, grid pixels) of the light from the centre, under a Gaussian of 0.4 radius; 0 where there is no light."""
    x, y, r = coordinates(stack.shape[1])
    light = np.where(good & good[:, ::-1, ::-1], stack, 0) * np.exp(-0.5 * (r / (0.4 * radius)) ** 2)
    total = light.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        # twice: a Gaussian weight as wide as the light halves the offset
        offset = 2 * np.stack([(light * x).sum(axis=(1, 2)), (light * y).sum(axis=(1, 2))]) / total
    return np.where(np.isfinite(offset) & (total > 0), offset, 0.0)


def shape(
    stack: np.ndarray, good: np.ndarray, radius: float, start: tuple[np.ndarray, np.ndarray] | None = None, iterations: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Axis ratio and angle (radians, counter-clockwise from +x) from second moments under a weight of the same shape.

    A matched weight leaves the shape of concentric ellipses unchanged (adaptive moments, Bernstein & Jarvis 2002), where a round aperture
    would make them rounder. Masked pixels take the value of their mirror image. Axis ratios are kept above 0.1; 1 and 0 where there is no light.
    `start` is a ratio and an angle to go on from (round, where not given): from a round weight the ratio needs twice six steps to settle.
    """
    size = stack.shape[1]
    mirror = good[:, ::-1, ::-1]
    light = np.where(good, stack, np.where(mirror, stack[:, ::-1, ::-1], 0.0)).reshape(len(stack), -1).astype(np.float32)
    products = _products(size).astype(np.float32)
    ratio, angle = (np.ones(len(stack)), np.zeros(len(stack))) if start is None else start
    for _ in range(iterations):
        square = (elliptical_squared(size, ratio, angle) * (-0.5 * ratio[:, None] / (0.5 * radius) ** 2)).astype(np.float32)
        # minus a narrow Gaussian (of 0.2 radius where the wide one has 0.5): pixels make the very middle round
        weight = np.exp(square) - np.exp(6.25 * square)
        # one product a galaxy: the last bit must not depend on its company in the stack
        moments = np.matmul((light * weight)[:, None, :], products.T)[:, 0].astype(np.float64)
        xx, xy, yy = moments.T
        half, delta = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
        usable = (half > delta) & (half > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(usable, np.sqrt(np.maximum((half - delta) / (half + delta), 0.01)), ratio)
        angle = np.where(usable, 0.5 * np.arctan2(2 * xy, xx - yy), angle)
    return ratio, angle


def radial_profile(stack: np.ndarray, good: np.ndarray, ratio: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means in elliptical annuli, and mean within each radius.

    Annuli are centred on whole grid pixels of the semi-major axis, and a pixel is shared between the two nearest in proportion to its distance.
    Masked pixels count with the mean of their annulus.

    Returns
    -------
    intensity, within, share : ndarray, shape (B, K)
        At semi-major axis 0, 1, ... K - 1: mean in the annulus, mean inside the radius, and unmasked fraction of the annulus.
    """
    count, size, _ = stack.shape
    bins = size // 2 + 1
    a = np.sqrt(elliptical_squared(size, ratio, angle))
    np.minimum(a, bins, out=a)
    low = a.astype(np.int32)
    share_high = a - low
    low += np.arange(count, dtype=np.int32)[:, None] * (bins + 2)
    low, share_high = low.ravel(), share_high.ravel()
    values, seen = np.where(good, stack, 0).ravel(), good.ravel().astype(np.float64)

    def summed(weight: np.ndarray | None) -> np.ndarray:
        length = count * (bins + 2)
        high = share_high if weight is None else share_high * weight
        whole = np.bincount(low, weight, minlength=length).astype(float)
        part = np.bincount(low, high, minlength=length)
        whole -= part
        whole[1:] += part[:-1]
        return whole.reshape(count, bins + 2)[:, :bins]

    every, unmasked, light = summed(None), summed(seen), summed(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        intensity = np.where(unmasked > 0, light / unmasked, np.nan)
        share = np.where(every > 0, unmasked / every, 0)
    flux = np.where(unmasked > 0, light + np.nan_to_num(intensity) * (every - unmasked), 0)
    k = np.arange(bins, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.cumsum(flux, axis=1) - flux * np.where(k > 0, 0.5 + 1 / (6 * k), 1)
        within = inside / (np.pi * k**2 * ratio[:, None])
    return intensity, within, share


def petrosian_crossing(
    intensity: np.ndarray,
    within: np.ndarray,
    ratio: np.ndarray,
    pixel: np.ndarray,
    *,
    eta: float,
    reach: float,
    smallest: int,
    model: np.ndarray | None = None,
    trust: np.ndarray | None = None,
) -> np.ndarray:
    """Semi-major axis (B,), in grid pixels, where the intensity falls below `eta` times the mean within; NaN where it never does.

    Noise makes several crossings. The first is biased low; the one that best divides the profile into above and below (the largest sum, over
    ln r, of the excess inside it) is biased high by as much: their geometric mean is taken. Without noise they are one.

    Parameters
    ----------
    intensity, within : ndarray, shape (B, K)
        From `radial_profile`.
    ratio : ndarray, shape (B,)
        Axis ratio of the annuli.
    pixel : ndarray, shape (B,)
        Side of a native pixel, in grid pixels.
    reach : float
        A quadratic is fitted through the annuli within this fraction of each radius (Savitzky & Golay 1964): a curved profile passes without bias.
        Its second derivative undoes, to second order, what pixels and annuli of finite width have smeared.
    model, trust : ndarray, shape (B, K) and (B,), optional
        A smooth profile near the measured one. So much (0 to 1) of what is between the two is smoothed over twice `reach`, which the
        measured profile is too curved for: where noise is large, most of the bias comes from its wiggles.
    smallest : int
        The crossing is looked for outside so many annuli: pixels do not resolve the middle.
    """
    bins = intensity.shape[1]
    k = np.maximum(np.arange(bins), 1.0)
    profile = _filled(intensity)
    smoothed = _smoothed(profile, reach)
    if model is not None and trust is not None:
        apart = (profile - model) * trust[:, None]
        smoothed += _smoothed(apart, _WIDE * reach) - _smoothed(apart, reach)
    value, slope, curve = smoothed
    # a pixel of side p adds p^2/24 of the Laplacian (the ellipse's coordinate is stretched by 1 / ratio along the minor axis);
    # a tent-shaped annulus has variance 1/6
    pixels = ((pixel**2 + 1) / 24 * (1 + ratio**-2.0) / 2)[:, None]
    value = value - pixels * (curve + slope / k) - (curve + 2 * slope / k) / 12
    excess = value - eta * within
    excess[:, :smallest] = np.inf
    above = np.nan_to_num(excess, nan=np.inf) > 0
    falls = above[:, :-1] & ~above[:, 1:]
    relative = np.clip(np.nan_to_num(excess / np.maximum(within, 1e-300), nan=1.0, posinf=1.0), -1, 1) / k
    total = np.cumsum(relative, axis=1)[:, :-1]
    best, first = np.argmax(np.where(falls, total, -np.inf), axis=1), np.argmax(falls, axis=1)
    rows = np.arange(len(excess))
    places = []
    for at in (first, best):
        e0, e1 = excess[rows, at], excess[rows, at + 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            places.append(at + np.where(np.isfinite(e0), e0 / (e0 - e1), 1.0))
    return np.where(falls.any(axis=1), np.sqrt(places[0] * places[1]), np.nan)


@lru_cache(maxsize=16)
def _rings(size: int, radius: float, inner: float) -> tuple[list[np.ndarray], np.ndarray]:
    r = coordinates(size)[2].ravel()
    edges = np.linspace(inner * radius, size / 2, 9)
    rings = [np.flatnonzero((r >= low) & (r < high)) for low, high in itertools.pairwise(edges)]
    rings = [ring for ring in rings if len(ring) >= 8]
    return rings, np.array([r[ring].mean() for ring in rings])


def _smoothed(profile: np.ndarray, reach: float) -> np.ndarray:
    """(3, B, K): value and derivatives."""
    return np.einsum("dkj,bj->dbk", _savitzky_golay(profile.shape[1], reach), profile)


@lru_cache(maxsize=16)
def _savitzky_golay(bins: int, reach: float) -> np.ndarray:
    """(3, bins, bins): value, first and second derivative of quadratic fits over windows that grow with the radius, shortened evenly at the ends."""
    matrix = np.zeros((3, bins, bins))
    for k in range(bins):
        half = min(max(1, round(reach * k)), k, bins - 1 - k)
        place = np.arange(-half, half + 1)
        order = 3 if half else 1
        matrix[:order, k, k - half : k + half + 1] = np.linalg.pinv(np.vander(place, order, increasing=True))
    matrix[2] *= 2
    return matrix


def elliptical_squared(size: int, ratio: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Square of the semi-major axis (B, size * size) of the ellipse through each pixel: a quadratic form, so one matrix product."""
    c, s, f = np.cos(angle), np.sin(angle), ratio**-2.0
    form = np.stack([c * c + s * s * f, 2 * c * s * (1 - f), s * s + c * c * f], axis=1)
    return np.matmul(form[:, None, :], _products(size))[:, 0]


@lru_cache(maxsize=16)
def _products(size: int) -> np.ndarray:
    x, y, _ = coordinates(size)
    return np.stack([x * x, x * y, y * y]).reshape(3, -1)


def _filled(profile: np.ndarray) -> np.ndarray:
    """Annuli that are masked as a whole take the value of the last one inside."""
    known = np.isfinite(profile)
    last = np.maximum.accumulate(np.where(known, np.arange(profile.shape[1]), 0), axis=1)
    return np.nan_to_num(np.take_along_axis(profile, last, axis=1))
