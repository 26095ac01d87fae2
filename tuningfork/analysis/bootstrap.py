"""Confidence intervals that resample groups (galaxies, clusters, cells of sky), never rows.

Rows of one galaxy or cluster are not independent; a resample draws whole groups with replacement, as many as there are. For statistics of sums
(`metrics.Additive`) all resamples are one product of multinomial counts with the sums of each group. With few groups a percentile interval is
too narrow, and with one there is none: `n_groups` always travels with the interval so that a reader can tell.
"""

from dataclasses import dataclass

import numpy as np

from tuningfork.analysis.metrics import Additive, Generic, Statistic
from tuningfork.errors import TuningforkError


@dataclass(frozen=True)
class Interval:
    """A statistic with its percentile interval; `low` and `high` are nan with fewer than two groups. Vectors where the statistic is one."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int
    n_groups: int

    def as_json(self) -> dict[str, object]:
        """``{"value", "lo", "hi", "n", "n_groups"}`` with null for nan."""
        return {"value": jsonable(self.value), "lo": jsonable(self.low), "hi": jsonable(self.high), "n": self.n, "n_groups": self.n_groups}


def jsonable(value: object) -> object:
    """Arrays as lists and non-finite numbers as None, at any depth: what strict JSON can hold."""
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def group_counts(n_groups: int, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """How often each group is drawn in each resample: (resamples, n_groups) float, every row sums to n_groups."""
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples).astype(float)


def replicates(statistic: Statistic, groups: np.ndarray, generator: np.random.Generator, resamples: int = 1000) -> np.ndarray:
    """The statistic of every resample of groups.

    Parameters
    ----------
    statistic : Additive or Generic
        Over N rows.
    groups : (N,) array
        Group of each row, of any sortable type.
    generator : numpy Generator
        The same seed gives the same resamples for every statistic of the same groups: so paired by construction.
    resamples : int
        Number of resamples, B.

    Returns
    -------
    (B,) or (B, K) array
    """
    if len(groups) != len(statistic):
        raise TuningforkError(f"{len(groups)} groups for a statistic of {len(statistic)} rows")
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    n_groups = int(index.max(initial=-1)) + 1
    if not n_groups:
        raise TuningforkError("no rows to resample")
    counts = group_counts(n_groups, resamples, generator)
    if isinstance(statistic, Additive):
        sums = np.zeros((n_groups, statistic.parts.shape[1]))
        np.add.at(sums, index, statistic.parts)
        return np.asarray(statistic.finish(counts @ sums))
    # np.repeat repeats each row as often as its group was drawn.
    rows = np.arange(len(index))
    per_row = counts.astype(np.intp)[:, index]
    return np.array([statistic.function(np.repeat(rows, c)) for c in per_row], dtype=float)


def interval(statistic: Statistic, groups: np.ndarray, seed: int, *, resamples: int = 1000, level: float = 0.95) -> Interval:
    """The statistic and its percentile interval at `level`, from `resamples` draws of groups seeded by `seed`.

    Resamples in which the statistic is undefined (a class that was not drawn) are left out of the percentiles.
    """
    n_groups = len(np.unique(np.asarray(groups)))
    if not len(statistic):
        nan = np.asarray(np.nan)
        return Interval(nan, nan, nan, 0, 0)
    value = statistic.value()
    if n_groups < 2:
        nothing = np.full(value.shape, np.nan)
        return Interval(value, nothing, nothing, len(statistic), n_groups)
    draws = replicates(statistic, groups, np.random.default_rng(seed), resamples)
    low, high = _percentiles(draws, level)
    return Interval(value, low, high, len(statistic), n_groups)


def _percentiles(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bounds along the first axis over the finite draws; nan where there is none (without numpy's warning about it)."""
    draws = np.where(np.isfinite(draws), draws, np.nan)
    flat = draws.reshape(len(draws), -1)
    bounds = np.full((2, flat.shape[1]), np.nan)
    some = np.isfinite(flat).any(axis=0)
    if some.any():
        bounds[:, some] = np.nanpercentile(flat[:, some], [50 * (1 - level), 50 * (1 + level)], axis=0)
    return bounds[0].reshape(draws.shape[1:]), bounds[1].reshape(draws.shape[1:])


def difference(first: Statistic, second: Statistic) -> Statistic:
    """The statistic `first` - `second` on the same rows; resampled together, so that what the rows share cancels."""
    if len(first) != len(second):
        raise TuningforkError(f"a paired difference needs the same rows; got {len(first)} and {len(second)}")
    if isinstance(first, Additive) and isinstance(second, Additive):
        cut = first.parts.shape[1]
        return Additive(np.hstack([first.parts, second.parts]), lambda s: first.finish(s[..., :cut]) - second.finish(s[..., cut:]))
    return Generic(len(first), lambda rows: at_rows(first, rows) - at_rows(second, rows))


def at_rows(statistic: Statistic, rows: np.ndarray) -> np.ndarray:
    """The statistic of the rows given by index (repeats allowed)."""
    if isinstance(statistic, Additive):
        return np.asarray(statistic.finish(statistic.parts[rows].sum(axis=0)))
    return np.asarray(statistic.function(rows))
