"""Sersic profiles as sums of Gaussians: what turns any galaxy into something that is drawn, blurred and scaled by arithmetic alone."""

import functools

import numpy as np
from scipy.optimize import nnls

SIGMAS = 0.84932 * 1.55 ** np.arange(-9.0, 3.0)
"""Widths of the Gaussians in half-light radii (that of an n = 0.5 profile among them)."""

_INDICES = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0])
_REACH = 6.0


@functools.cache
def _table() -> np.ndarray:
    """Weights by index (row) and Gaussian (column); each row sums to 1."""
    radius = np.geomspace(0.01, _REACH, 240)
    gaussians = np.exp(-0.5 * (radius[:, None] / SIGMAS) ** 2) / (2 * np.pi * SIGMAS**2)
    rows = []
    for index in _INDICES:
        b = 2 * index - 1 / 3 + 0.009876 / index  # Prugniel and Simien 1997
        profile = np.exp(-b * (radius ** (1 / index) - 1))
        flux = np.trapezoid(2 * np.pi * radius**2 * profile, np.log(radius))
        weight = radius  # equal weight to equal annuli of logarithmic width in r * I(r)
        matrix = gaussians * weight[:, None]
        size = matrix.max(axis=0)  # columns of one height: the solver's tolerance is absolute
        rows.append(nnls(matrix / size, profile / flux * weight, maxiter=1000)[0] / size)
    table = np.array(rows)
    table[table < 2e-3] = 0
    return table / table.sum(axis=1, keepdims=True)


@functools.cache
def _half_light() -> np.ndarray:
    """Half-light radius of each row of the table (below 1: the profiles end), which `widths` divides out."""
    radius = np.linspace(0.01, 2, 800)
    inside = 1 - np.exp(-0.5 * (radius[:, None] / SIGMAS) ** 2)
    return np.array([np.interp(0.5, inside @ row, radius) for row in _table()])


def widths(index: np.ndarray) -> np.ndarray:
    """Standard deviations of the Gaussians of `mixture` in half-light radii, shape (n, len(SIGMAS)): the sum has half of its light within 1."""
    return SIGMAS / np.interp(index, _INDICES, _half_light())[:, None]


def mixture(index: np.ndarray) -> np.ndarray:
    """Shares of the light in the Gaussians of widths `SIGMAS` for Sersic indices, shape (n, len(SIGMAS)); rows sum to 1.

    Indices are taken into 0.5 to 5; profiles end smoothly at about six half-light radii.
    """
    table = _table()
    index = np.clip(np.asarray(index, dtype=float), _INDICES[0], _INDICES[-1])
    low = np.clip(np.searchsorted(_INDICES, index, side="right") - 1, 0, len(_INDICES) - 2)
    step = ((index - _INDICES[low]) / (_INDICES[low + 1] - _INDICES[low]))[:, None]
    return (1 - step) * table[low] + step * table[low + 1]
