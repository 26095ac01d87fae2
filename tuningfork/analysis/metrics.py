"""Metrics of predicted class fractions, classes and numbers, as row-wise sums where they are sums.

Arrays in, numbers out; nothing here knows a file or a sample. A metric that depends on the rows only through sums is an `Additive`: resampling groups
(`analysis.bootstrap`) is then one matrix product for all resamples. Medians, ranks and the like are a `Generic`, evaluated on row indices.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tuningfork.errors import TuningforkError

FLOOR = 1e-7
"""Smallest probability that enters a logarithm."""


@dataclass(frozen=True)
class Additive:
    """A statistic of sums over rows.

    Attributes
    ----------
    parts : (N, M) float array
        What each row adds.
    finish : callable
        Takes sums (..., M) and gives the statistic (...) or (..., K).
    """

    parts: np.ndarray
    finish: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.parts)

    def value(self) -> np.ndarray:
        """The statistic of all rows."""
        return np.asarray(self.finish(self.parts.sum(axis=0)))


@dataclass(frozen=True)
class Generic:
    """A statistic without additive form: `function` takes row indices (repeats allowed) and gives a scalar or (K,) array."""

    size: int
    function: Callable[[np.ndarray], float | np.ndarray]

    def __len__(self) -> int:
        return self.size

    def value(self) -> np.ndarray:
        """The statistic of all rows."""
        return np.asarray(self.function(np.arange(self.size)))


Statistic = Additive | Generic


def _pair(predicted: np.ndarray, observed: np.ndarray, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    predicted, observed = np.asarray(predicted, float), np.asarray(observed, float)
    if predicted.shape != observed.shape or predicted.ndim != ndim:
        raise TuningforkError(f"predicted has shape {predicted.shape} and observed {observed.shape}; both must be the same {ndim}-dimensional shape")
    return predicted, observed


def _ratio(sums: np.ndarray) -> np.ndarray:
    """All sums but the last over the last one, nan where the last is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[..., :-1] / sums[..., -1:]


def mean_of(values: np.ndarray) -> Additive:
    """Mean of a value a row (N,)."""
    values = np.asarray(values, float)
    return Additive(np.column_stack([values, np.ones(len(values))]), lambda s: _ratio(s)[..., 0])


# Fractions and probabilities -------------------------------------------------------------------------------------------------------------


def per_sample_rmse(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Root mean square error over the classes of each row: (N, K), (N, K) -> (N,). Its mean is the published loss and headline of Deep-CLASH."""
    predicted, observed = _pair(predicted, observed, 2)
    return np.sqrt(np.mean((predicted - observed) ** 2, axis=1))


def kl_divergence(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence of the observed from the predicted fractions, in nats, (N,); 0 log 0 = 0, predictions at least 1e-7.

    For one-hot observations this is the cross entropy.
    """
    predicted, observed = _pair(predicted, observed, 2)
    terms = np.where(observed > 0, observed * (np.log(np.maximum(observed, FLOOR)) - np.log(np.maximum(predicted, FLOOR))), 0.0)
    return terms.sum(axis=1)


def global_rmse(predicted: np.ndarray, observed: np.ndarray) -> Additive:
    """Root of the mean squared error over all rows and classes (or over rows, for 1-d input)."""
    predicted, observed = _pair(predicted, observed, np.ndim(predicted))
    squares = ((predicted - observed) ** 2).reshape(len(predicted), -1).mean(axis=1)
    return Additive(np.column_stack([squares, np.ones(len(squares))]), lambda s: np.sqrt(_ratio(s)[..., 0]))


def per_class_rmse(predicted: np.ndarray, observed: np.ndarray) -> Additive:
    """Root mean square error of each class over the rows: statistic of shape (K,)."""
    predicted, observed = _pair(predicted, observed, 2)
    return Additive(np.column_stack([(predicted - observed) ** 2, np.ones(len(predicted))]), lambda s: np.sqrt(_ratio(s)))


def has_majority(observed: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Rows (N,) whose largest observed fraction exceeds `threshold`: only there is a single class defined."""
    return np.asarray(observed, float).max(axis=1) > threshold


def confusion(predicted: np.ndarray, observed: np.ndarray) -> Additive:
    """Confusion counts, statistic (K * K,) row-major: true class down, predicted class across; both by argmax."""
    predicted, observed = _pair(predicted, observed, 2)
    k = predicted.shape[1]
    cells = np.argmax(observed, axis=1) * k + np.argmax(predicted, axis=1)
    return Additive(np.eye(k * k)[cells], lambda s: s)


def accuracy(predicted: np.ndarray, observed: np.ndarray) -> Additive:
    """Fraction of rows whose predicted argmax is the observed argmax."""
    predicted, observed = _pair(predicted, observed, 2)
    return mean_of(np.argmax(predicted, axis=1) == np.argmax(observed, axis=1))


def balanced_accuracy(predicted: np.ndarray, observed: np.ndarray) -> Additive:
    """Mean over the classes that occur of the fraction of their rows found (recall)."""
    counts = confusion(predicted, observed)
    k = np.shape(predicted)[1]

    def finish(sums: np.ndarray) -> np.ndarray:
        table = sums.reshape(*sums.shape[:-1], k, k)
        rows = table.sum(axis=-1)
        found = np.diagonal(table, axis1=-2, axis2=-1)
        recall = np.divide(found, rows, out=np.zeros_like(rows, dtype=float), where=rows > 0)
        present = (rows > 0).sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return recall.sum(axis=-1) / np.where(present > 0, present, np.nan)

    return Additive(counts.parts, finish)


def reliability(predicted: np.ndarray, observed: np.ndarray, bins: int = 10) -> dict[str, np.ndarray]:
    """Reliability of one class: rows binned by predicted probability.

    Parameters
    ----------
    predicted, observed : (N,) arrays
        Predicted probability and observed fraction (or 0 and 1).
    bins : int
        Number of equal bins over [0, 1]; the last includes 1.

    Returns
    -------
    dict
        ``edges`` (bins + 1,), ``count``, ``predicted`` and ``observed`` (bins,): means in each bin, nan where it is empty.
    """
    predicted, observed = _pair(predicted, observed, 1)
    index = _bin_index(predicted, bins)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(index, weights=v, minlength=bins) / np.where(count > 0, count, np.nan) for v in (predicted, observed)]
    return {"edges": np.linspace(0, 1, bins + 1), "count": count, "predicted": means[0], "observed": means[1]}


def _bin_index(predicted: np.ndarray, bins: int) -> np.ndarray:
    return np.clip((predicted * bins).astype(int), 0, bins - 1)


def calibration_error(predicted: np.ndarray, observed: np.ndarray, bins: int = 10) -> Additive:
    """Expected calibration error: mean over classes of sum_bins (n_bin / N) |mean predicted - mean observed|.

    (N, K) arrays. The observed may be vote fractions: the bin mean of fractions estimates the same frequency as that of single votes.
    Noise never cancels in a sum of absolute values: few rows bias the value upwards, and resamples of them more, so its interval lies high.
    """
    predicted, observed = _pair(predicted, observed, 2)
    n, k = predicted.shape
    cell = _bin_index(predicted, bins) + bins * np.arange(k)
    excess = np.zeros((n, k * bins))
    np.put_along_axis(excess, cell, predicted - observed, axis=1)
    # n_bin |mean p - mean y| = |sum (p - y)|, so the signed sums are all that is needed.
    return Additive(np.column_stack([excess, np.ones(n)]), lambda s: np.abs(_ratio(s)).sum(axis=-1) / k)


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve from scores (N,) and booleans (N,): the Mann-Whitney probability, ties counted half; nan with one class only."""
    score, positive = np.asarray(score, float), np.asarray(positive, bool)
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def auc_per_class(predicted: np.ndarray, observed: np.ndarray) -> Generic:
    """One-against-rest AUC of each class, statistic (K,); the true class is the observed argmax."""
    predicted, observed = _pair(predicted, observed, 2)
    truth = np.argmax(observed, axis=1)
    k = predicted.shape[1]
    return Generic(len(predicted), lambda rows: np.array([auc(predicted[rows, c], truth[rows] == c) for c in range(k)]))


# Numbers ---------------------------------------------------------------------------------------------------------------------------------


def nmad(residual: np.ndarray) -> float:
    """Normalised median absolute deviation, 1.4826 median|d - median(d)|: the standard deviation of a Gaussian, deaf to outliers."""
    residual = np.asarray(residual, float)
    return float(1.4826 * np.median(np.abs(residual - np.median(residual)))) if len(residual) else float("nan")


def outlier_fraction(residual: np.ndarray, n_sigma: float = 3.0) -> float:
    """Fraction of rows with |d| > n_sigma NMAD, as published: `residual` is not centred, so a bias makes outliers too."""
    residual = np.asarray(residual, float)
    return float(np.mean(np.abs(residual) > n_sigma * nmad(residual))) if len(residual) else float("nan")


def r_squared(predicted: np.ndarray, observed: np.ndarray) -> Additive:
    """Coefficient of determination, 1 - sum d^2 / sum (y - mean y)^2; nan where the observed do not vary."""
    predicted, observed = _pair(predicted, observed, 1)
    # Centred first: the sum of squares of 12+log(O/H) near 9 would lose digits.
    centred = observed - observed.mean() if len(observed) else observed
    parts = np.column_stack([(predicted - observed) ** 2, centred, centred**2, np.ones(len(observed))])

    def finish(sums: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            total = sums[..., 2] - sums[..., 1] ** 2 / sums[..., 3]
            return np.where(total > 1e-12 * sums[..., 3], 1 - sums[..., 0] / total, np.nan)

    return Additive(parts, finish)


# The sets that a report shows --------------------------------------------------------------------------------------------------------------


def fraction_statistics(predicted: np.ndarray, observed: np.ndarray) -> dict[str, Statistic]:
    """Every statistic of (N, K) fractions over all rows; those of single classes are in `majority_statistics`."""
    return {
        "per_sample_rmse": mean_of(per_sample_rmse(predicted, observed)),
        "global_rmse": global_rmse(predicted, observed),
        "per_class_rmse": per_class_rmse(predicted, observed),
        "kl_divergence": mean_of(kl_divergence(predicted, observed)),
        "calibration_error": calibration_error(predicted, observed),
    }


def majority_statistics(predicted: np.ndarray, observed: np.ndarray) -> dict[str, Statistic]:
    """Statistics of the argmax class; the caller passes only rows that have one (`has_majority`)."""
    return {"accuracy": accuracy(predicted, observed), "balanced_accuracy": balanced_accuracy(predicted, observed), "auc": auc_per_class(predicted, observed)}


def regression_statistics(predicted: np.ndarray, observed: np.ndarray) -> dict[str, Statistic]:
    """Every statistic of one number a row (N,): rmse, nmad, bias = mean(predicted - observed), outlier_fraction, r2."""
    predicted, observed = _pair(predicted, observed, 1)
    residual = predicted - observed
    return {
        "rmse": global_rmse(predicted, observed),
        "nmad": Generic(len(residual), lambda rows: nmad(residual[rows])),
        "bias": mean_of(residual),
        "outlier_fraction": Generic(len(residual), lambda rows: outlier_fraction(residual[rows])),
        "r2": r_squared(predicted, observed),
    }
