"""Split-conformal prediction: sets of classes and intervals of numbers that hold the truth with a stated probability.

Scores of calibration rows rank how badly a prediction fits its label; a new object's set or interval holds every label whose score is not above
the quantile of these. If calibration rows and new objects are exchangeable, the truth is inside with at least the stated probability, whatever
the network (Vovk, Gammerman & Shafer 2005; Lei et al. 2018, JASA 113, 1094).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import beta, spearmanr

from tuningfork.predicted import SIGMA, further_columns, level_of

__all__ = ["Band", "band_of", "choose_method", "class_sets", "conformal_quantile", "interval", "interval_scores", "realised_coverage", "set_scores"]

INFORMATIVE = 0.01
"""Largest probability (one-sided, of Spearman's rank correlation) at which a spread counts as saying something about the error."""
FEWEST_RANKED = 20


def rank_of(n: int, coverage: float) -> int:
    """ceil((n + 1) coverage): which of n scores, from the smallest, is the quantile; above n there is none."""
    # a product such as 10 x 0.7 = 7.000000000000001 must not count as more than 7
    return math.ceil(round((n + 1) * coverage, 9))


def conformal_quantile(scores: np.ndarray, coverage: float) -> float:
    """The ceil((n + 1) coverage)-th smallest of n scores, infinite where n is too small to promise the coverage."""
    scores = np.sort(np.asarray(scores, float))
    rank = rank_of(len(scores), coverage)
    return float(scores[rank - 1]) if rank <= len(scores) else math.inf


def realised_coverage(n: int, coverage: float, level: float = 0.9) -> tuple[float, float]:
    """Central `level` of the coverage that one calibration on n rows gives on many new objects: quantiles of Beta(k, n + 1 - k).

    The promise is an average over calibrations; with k = ceil((n + 1) coverage) the coverage of a single one follows this distribution for
    scores without ties (Vovk 2012). (1, 1) where n is too small: everything is covered.
    """
    k = rank_of(n, coverage)
    if k > n:
        return 1.0, 1.0
    low, high = beta.ppf([0.5 - level / 2, 0.5 + level / 2], k, n + 1 - k)
    return float(low), float(high)


# Classes ---------------------------------------------------------------------------------------------------------------------------------


def set_scores(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1 - p of the true class: (N, K) probabilities and one-hot labels to (N,)."""
    return 1 - probabilities[np.arange(len(labels)), np.argmax(labels, axis=1)]


def class_sets(probabilities: np.ndarray, quantiles: np.ndarray | float) -> np.ndarray:
    """Which classes are in the set of each row: (N, K) bool.

    The least ambiguous sets: every class whose 1 - p is not above the quantile (Sadinle, Lei & Wasserman 2019, JASA 114, 223), the smallest on
    average of all with this coverage. A row where that is no class gets its likeliest one, which can only raise the coverage.

    Parameters
    ----------
    probabilities : ndarray, shape (N, K)
    quantiles : float or ndarray, shape (K,)
        One for all classes, or one for each.
    """
    inside = (1 - probabilities) <= quantiles
    inside[np.arange(len(inside)), np.argmax(probabilities, axis=1)] = True
    return inside


# Numbers ---------------------------------------------------------------------------------------------------------------------------------


class Band(NamedTuple):
    """What an interval is widened from, (N,) each: [low - q scale, high + q scale]."""

    low: np.ndarray
    high: np.ndarray
    scale: np.ndarray


def choose_method(columns: Mapping[str, np.ndarray], target: str, residual: np.ndarray, coverage: float, *, spread: bool = True) -> dict[str, Any]:
    """How the intervals of a target are made, by what the network says besides the number itself.

    In this order: from its own quantiles, ``<target>_qNN`` (conformalised quantile regression, Romano, Patterson & Candes 2019), those nearest to
    the ones wanted; in units of its own standard deviation, ``<target>_sigma``; in units of the spread of views and networks,
    sqrt(std^2 + floor^2), if larger spreads go with larger errors (the floor is the median spread: where all agree they may agree on a mistake);
    else of one width for all.

    Parameters
    ----------
    columns
        Of the calibration rows.
    residual : ndarray, shape (N,)
        Predicted minus observed.
    spread
        Whether the spread of the calibration rows can be compared with that of others (not if other networks made it).

    Returns
    -------
    dict
        JSON-able: ``method`` (quantiles, sigma, spread, absolute) and the columns or the floor that it uses.
    """
    levels = {level_of(column.suffix): column.name for column in further_columns(columns, [target]) if column.suffix != SIGMA}
    below, above = [q for q in levels if q < 0.5], [q for q in levels if q > 0.5]
    if below and above:
        low = min(below, key=lambda q: (abs(q - (1 - coverage) / 2), q))
        high = min(above, key=lambda q: (abs(q - (1 + coverage) / 2), q))
        return {"method": "quantiles", "low": levels[low], "high": levels[high]}
    if f"{target}_sigma" in columns:
        return {"method": "sigma"}
    std = columns.get(f"{target}_std")
    if spread and std is not None and len(residual) >= FEWEST_RANKED and np.isfinite(std).all() and np.ptp(std) > 0 and np.ptp(np.abs(residual)) > 0:
        found = spearmanr(std, np.abs(residual), alternative="greater")
        if found.pvalue < INFORMATIVE:
            return {"method": "spread", "floor": float(np.median(std)), "rank_correlation": float(found.statistic)}
    return {"method": "absolute"}


def band_of(columns: Mapping[str, np.ndarray], target: str, how: Mapping[str, Any]) -> Band:
    """Low, high and scale of every row for a method of `choose_method`."""
    value = np.asarray(columns[target], float)
    method = how["method"]
    if method == "quantiles":
        ends = np.stack([np.asarray(columns[how[side]], float) for side in ("low", "high")])
        return Band(ends.min(axis=0), ends.max(axis=0), np.ones_like(value))  # quantiles of a network may cross
    if method == "sigma":
        return Band(value, value, np.asarray(columns[f"{target}_sigma"], float))
    if method == "spread":
        return Band(value, value, np.hypot(np.asarray(columns[f"{target}_std"], float), how["floor"]))
    return Band(value, value, np.ones_like(value))


def interval_scores(band: Band, observed: np.ndarray) -> np.ndarray:
    """How far outside its band each label lies, in its scale (negative inside): (N,); infinite where the network gave no scale."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.maximum(band.low - observed, observed - band.high) / band.scale
    return np.where(np.isnan(scores), np.inf, scores)


def interval(band: Band, quantile: float, bounds: Sequence[float] = (-math.inf, math.inf)) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (N,), cut at `bounds`; the whole range for an infinite quantile, NaN where the band is unknown.

    A quantile below zero draws a band together; where its ends would pass each other both are their middle.
    """
    known = np.isfinite(band.low) & np.isfinite(band.high) & np.isfinite(band.scale)
    if math.isinf(quantile):
        low, high = (np.where(known, end, np.nan) for end in bounds)
        return low, high
    low, high = band.low - quantile * band.scale, band.high + quantile * band.scale
    middle = (low + high) / 2
    low, high = np.where(low > high, middle, low), np.where(low > high, middle, high)
    return np.where(known, np.clip(low, bounds[0], bounds[1]), np.nan), np.where(known, np.clip(high, bounds[0], bounds[1]), np.nan)
