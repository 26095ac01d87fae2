"""What a photometric pipeline measures of a galaxy: circular curve of growth, Petrosian and half-light radii, from the parts themselves."""

from dataclasses import dataclass

import numpy as np

from tuningfork.sky.wide.parts import POINT
from tuningfork.sky.wide.profiles import mixture, widths
from tuningfork.sky.wide.surveys import ALL_BANDS

_RADII = np.geomspace(0.25, 90.0, 70)
_ANGLES = (np.arange(8) + 0.5) * np.pi / 16
_ETA = 0.2


@dataclass(frozen=True)
class Petrosian:
    """Radii in arcsec and flux in nanomaggies within two Petrosian radii, arrays of shape (n,)."""

    radius: np.ndarray
    r50: np.ndarray
    r90: np.ndarray
    flux: np.ndarray


def petrosian(parts: np.ndarray, first: int, number: int, ra: np.ndarray, dec: np.ndarray, fwhm: float, band: str = "r") -> Petrosian:
    """Petrosian quantities (eta = 0.2, Blanton et al. 2001) of objects `first` to `first + number` about (ra, dec) in degrees, seen with `fwhm` arcsec.

    Parts off the centre (knots, companions) count as if spread over a ring at their distance.
    """
    growth = _growth(parts, first, number, ra, dec, fwhm, band)
    area = np.pi * _RADII**2
    middle = np.sqrt(_RADII[1:] * _RADII[:-1])
    local = np.diff(growth, axis=1) / np.diff(area)
    mean = np.sqrt(np.maximum(growth[:, 1:], 1e-12) / area[1:] * np.maximum(growth[:, :-1], 1e-12) / area[:-1])
    eta = local / mean
    below = eta < _ETA
    after = np.clip(np.where(below.any(axis=1), below.argmax(axis=1), len(middle) - 1), 1, None)
    row = np.arange(number)
    high, low = eta[row, after - 1], eta[row, after]
    step = np.clip((high - _ETA) / np.maximum(high - low, 1e-9), 0, 1)
    radius = middle[after - 1] * (middle[after] / middle[after - 1]) ** step
    within = _at(growth, 2 * radius)
    return Petrosian(radius, _inverse(growth, 0.5 * within), _inverse(growth, 0.9 * within), within)


def _growth(parts: np.ndarray, first: int, number: int, ra: np.ndarray, dec: np.ndarray, fwhm: float, band: str) -> np.ndarray:
    """Flux within each of `_RADII`, shape (number, radii)."""
    own = parts[(parts["owner"] >= first) & (parts["owner"] < first + number)]
    owner = own["owner"] - first
    share = np.where((own["shape"] == POINT)[:, None], 0.0, mixture(own["n"]))
    share[own["shape"] == POINT, 0] = 1.0
    row, column = np.nonzero(share)
    blur = fwhm / 2.355
    radius = np.where(own["shape"] == POINT, 0.0, own["radius"])
    sigma = (radius[:, None] * widths(own["n"]))[row, column]
    east = (own["ra"] - ra[owner]) * np.cos(np.radians(dec[owner]))
    away = 3600 * np.hypot((east + 180) % 360 - 180, own["dec"] - dec[owner])
    ring = 0.5 * away[row] ** 2
    major, minor = np.sqrt(sigma**2 + blur**2 + ring), np.sqrt((sigma * own["q"][row]) ** 2 + blur**2 + ring)
    flux = own["flux"][row, ALL_BANDS.index(band)] * share[row, column]
    growth = np.zeros((number, len(_RADII)))
    for angle in _ANGLES:
        inverse = (np.cos(angle) / major) ** 2 + (np.sin(angle) / minor) ** 2
        weight = flux / (inverse * major * minor) / len(_ANGLES)
        for k, aperture in enumerate(_RADII):
            growth[:, k] += np.bincount(owner[row], weight * -np.expm1(-0.5 * aperture**2 * inverse), number)
    return np.maximum.accumulate(growth, axis=1)


def _at(growth: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return np.array([np.interp(r, _RADII, row) for r, row in zip(radius, growth, strict=True)])


def _inverse(growth: np.ndarray, flux: np.ndarray) -> np.ndarray:
    return np.array([np.interp(f, row, _RADII) for f, row in zip(flux, growth, strict=True)])
