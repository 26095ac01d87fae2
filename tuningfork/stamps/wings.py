"""The wing of a galaxy under the sky around it: a Sersic profile fitted to annuli and to sky rings together, for batches of galaxies.

The wings of a galaxy of high Sersic index fill every ring that is near enough to be its sky. What they add there follows from the galaxy's own
profile: a Sersic law (Sersic 1968) whose radius is the Petrosian radius has one shape parameter, its index, so index, amplitude and sky can all be
fitted to what is measured between half a radius and five.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaincinv, gammaln

__all__ = ["Wing", "fit_wing", "no_wing", "wing_at"]

INDICES = np.exp(np.linspace(np.log(0.4), np.log(13.0), 16))
_TYPICAL, _SPREAD = 1.5, 0.9  # prior of the index, log-normal: it decides only where noise leaves the index open
_INNER_MISFIT, _WING_MISFIT = 0.01, 0.03  # real galaxies are no Sersic models: relative error granted to them inside, and in the rings
_ANGLES = (np.arange(4) + 0.5) * np.pi / 8


class Wing(NamedTuple):
    """Sersic profiles of B galaxies, ``amplitude * exp(-steepness(n) * ((a / radius)^(1 / n) - 1))``; arrays (B,), amplitude 0 where none."""

    n: np.ndarray
    amplitude: np.ndarray
    radius: np.ndarray


def no_wing(count: int) -> Wing:
    """No wings, for so many galaxies."""
    return Wing(np.full(count, _TYPICAL), np.zeros(count), np.ones(count))


@lru_cache(maxsize=4)
def _steepness_table(eta: float) -> tuple[np.ndarray, np.ndarray]:
    """ln index, and b_n (R_petro / r_e)^(1/n): the factor in the exponent when the unit of length is the Petrosian radius for `eta`."""
    index = np.exp(np.linspace(np.log(0.3), np.log(16.0), 160))

    def excess(log_k: float, n: float) -> float:
        k = np.exp(log_k)  # the mean within the radius is an incomplete gamma function (Graham & Driver 2005)
        return float(np.log(2 * eta * n) + k - 2 * n * log_k + gammaln(2 * n) + np.log(gammainc(2 * n, k)))

    start = [np.log(gammaincinv(2 * n, 0.5)) for n in index]
    return np.log(index), np.exp([brentq(excess, b - 2, b + 3, args=(n,)) for b, n in zip(start, index, strict=True)])


def steepness(index: np.ndarray, eta: float) -> np.ndarray:
    """Factor in the exponent for Sersic indices of any shape."""
    known, value = _steepness_table(eta)
    return np.interp(np.log(index), known, value)


def wing_at(wing: Wing, squared: np.ndarray, eta: float) -> np.ndarray:
    """Surface brightness (B, P), float32, at squares of semi-major axes (B, P) in the unit of ``wing.radius``."""
    k = steepness(wing.n, eta).astype(np.float32)[:, None]
    power = (0.5 / wing.n).astype(np.float32)[:, None]
    relative = (squared / wing.radius[:, None] ** 2).astype(np.float32)
    light = np.log(np.maximum(relative, np.float32(1e-6)))
    light *= power
    np.exp(light, out=light)
    light -= 1
    light *= -k
    np.exp(light, out=light)
    light *= wing.amplitude.astype(np.float32)[:, None]
    return light


def ring_mean(index: np.ndarray, at: np.ndarray, ratio: np.ndarray, eta: float) -> np.ndarray:
    """Mean of profiles of amplitude 1 over circles of radii `at` (B, J; in Petrosian radii): (B, J) for indices (B,), (N, B, J) for (N, 1)."""
    stretch = np.sqrt(np.cos(_ANGLES) ** 2 + (np.sin(_ANGLES) / ratio[:, None]) ** 2)
    a = at[:, :, None] * stretch[:, None, :]
    return np.exp(-steepness(index, eta)[..., None, None] * (a ** (1 / index[..., None, None]) - 1)).mean(axis=-1)


def fit_wing(
    intensity: np.ndarray,
    error: np.ndarray,
    at: np.ndarray,
    rings: np.ndarray,
    ring_error: np.ndarray,
    ring_at: np.ndarray,
    ratio: np.ndarray,
    previous: Wing,
    radius: np.ndarray,
    eta: float,
) -> tuple[Wing, np.ndarray]:
    """Index, amplitude and sky that fit annuli of a galaxy and rings of its surroundings together.

    For every index of a grid amplitude and sky are a linear fit; the index is where a parabola through the least chi-square has its minimum.

    Parameters
    ----------
    intensity, error, at : ndarray, shape (B, K)
        Means in elliptical annuli, their errors (infinite: not used), and semi-major axes in the unit of `radius`.
    rings, ring_error, ring_at : ndarray, shape (B, J)
        Levels of circular rings, less the light of `previous`, their errors, and radii in the same unit.
    ratio : ndarray, shape (B,)
        Axis ratio.
    previous : Wing
        What was taken from the rings.
    radius : ndarray, shape (B,)
        Petrosian radius.
    eta : float
        That the radius is defined by.

    Returns
    -------
    wing : Wing
        Amplitude 0 where the fit has no light.
    sky : ndarray, shape (B,)
        NaN where the fit failed.
    """
    count = len(radius)
    x, y = at / radius[:, None], ring_at / radius[:, None]
    taken = np.where(previous.amplitude > 0, previous.amplitude, 0)[:, None] * ring_mean(previous.n, ring_at / previous.radius[:, None], ratio, eta)
    usable = np.isfinite(rings) & np.isfinite(ring_error)
    data = np.concatenate([np.where(np.isfinite(intensity), intensity, 0), np.where(usable, rings + taken, 0)], axis=1)
    # the index is that of the previous round, so that all indices are judged by the same weights
    scale = _level_at_one(intensity, x)
    expected = scale[:, None] * ring_mean(previous.n, y, ratio, eta)
    variance = np.concatenate(
        [error**2 + (_INNER_MISFIT * intensity) ** 2, np.where(usable, ring_error**2 + (_WING_MISFIT * expected) ** 2, np.inf)],
        axis=1,
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.nan_to_num(1 / (variance + (1e-4 * scale[:, None]) ** 2), nan=0.0, posinf=0.0)

    def model(index: np.ndarray) -> np.ndarray:
        """(..., B, K + J)"""
        inside = np.exp(-steepness(index, eta)[..., None] * (x ** (1 / index[..., None]) - 1))
        around = ring_mean(index, y, ratio, eta)
        return np.concatenate([np.broadcast_to(inside, (*around.shape[:-1], x.shape[1])), around], axis=-1)

    def solve(shape: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        w, wd = weight.sum(-1), (weight * data).sum(-1)
        wm, wmm, wmd = (weight * shape).sum(-1), (weight * shape**2).sum(-1), (weight * shape * data).sum(-1)
        determinant = w * wmm - wm**2
        amplitude = (w * wmd - wm * wd) / determinant
        sky = (wd - amplitude * wm) / w
        residual = data - amplitude[..., None] * shape - sky[..., None]
        return amplitude, sky, (weight * residual**2).sum(-1)

    with np.errstate(divide="ignore", invalid="ignore"):
        chi = solve(model(INDICES[:, None]))[2] + (np.log(INDICES / _TYPICAL) / _SPREAD)[:, None] ** 2
        chi = np.where(np.isfinite(chi), chi, np.inf)
        best = np.clip(np.argmin(chi, axis=0), 1, len(INDICES) - 2)
        low, middle, high = (chi[best + d, np.arange(count)] for d in (-1, 0, 1))
        shift = np.clip(np.nan_to_num(0.5 * (low - high) / (low - 2 * middle + high)), -1, 1)
        index = INDICES[best] * (INDICES[1] / INDICES[0]) ** shift
        amplitude, sky, _ = solve(model(index))
    fitted = np.isfinite(amplitude) & np.isfinite(sky) & (amplitude > 0) & (usable.sum(axis=1) >= 2)
    return Wing(index, np.where(fitted, amplitude, 0.0), np.where(fitted, radius, 1.0)), np.where(fitted, sky, np.nan)


def _level_at_one(intensity: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Brightness (B,) at the radius, from the annuli around it."""
    near = (np.abs(x - 1) < 0.15) & np.isfinite(intensity)
    return np.abs(np.where(near, intensity, 0).sum(axis=1)) / np.maximum(near.sum(axis=1), 1)
