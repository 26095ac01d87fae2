"""How honest a predicted distribution is: pinball loss of quantiles, negative log likelihoods, and how many labels lie within what was stated.

For models that give more than a value (columns of `tuningfork.predicted`); everything with its interval, on rows the network never saw.
"""

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

import numpy as np
from scipy.special import gammaln

from tuningfork.analysis import metrics
from tuningfork.analysis.rows import Rows, numbers
from tuningfork.predicted import SIGMA, further_columns, level_of, quantile_suffix

__all__ = ["distribution", "gaussian_nll", "label_variance", "pinball", "votes_nll"]

TIMES = {1: 0.682689492137, 2: 0.954499736104}
"""Numbers of standard deviations, and the share of a Gaussian within them."""
Estimate = Callable[[metrics.Statistic], dict[str, Any]]


def pinball(predicted: np.ndarray, observed: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Pinball loss of each row, mean over the levels: quantiles (N, Q), labels (N,), levels (Q,) to (N,), in the unit of the label."""
    excess = observed[:, None] - predicted
    return np.maximum(levels * excess, (levels - 1) * excess).mean(axis=1)


def gaussian_nll(predicted: np.ndarray, variance: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Negative logarithm of the Gaussian density of each label, (N,), nats (of a density in 1/unit: it goes down with the unit)."""
    return 0.5 * (np.log(2 * np.pi * variance) + (observed - predicted) ** 2 / variance)


def label_variance(mean: np.ndarray, sigma: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Variance of the fraction that `votes` (N,) classifiers give, where the fraction of all has mean and standard deviation (N, K).

    That of the fraction, and the mean over it of p (1 - p) / n: sigma^2 + (m (1 - m) - sigma^2) / n.
    """
    return sigma**2 + (mean * (1 - mean) - sigma**2) / votes[:, None]


def votes_nll(mean: np.ndarray, sigma: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Negative logarithm of the Dirichlet-multinomial probability of counts (N, K) of each row, nats.

    The sum of the concentrations is that of the Dirichlet distribution whose variances sum to those given: sum m (1 - m) / sum sigma^2 - 1.
    """
    total = (mean * (1 - mean)).sum(axis=1) / np.maximum((sigma**2).sum(axis=1), 1e-18) - 1
    total = np.clip(total, 1e-3, 1e9)
    alpha = np.maximum(mean, 1e-9) * total[:, None]
    total, votes = alpha.sum(axis=1), counts.sum(axis=1)
    ways = gammaln(votes + 1) - gammaln(counts + 1).sum(axis=1)
    return -(ways + gammaln(total) - gammaln(total + votes) + (gammaln(counts + alpha) - gammaln(alpha)).sum(axis=1))


def distribution(rows: Rows, chosen: np.ndarray, task: str, targets: list[str], estimate: Estimate, label_errors: Mapping[str, str]) -> dict[str, Any]:
    """What is said of the predicted distributions of the `chosen` rows, by target; empty where the model gives values alone.

    Parameters
    ----------
    estimate
        A statistic of the chosen rows with its interval, JSON-able.
    label_errors
        Target -> column of the objects with the standard deviation of the label: what a Gaussian of the label has beside the network's own.

    Returns
    -------
    dict
        target -> ``pinball``, ``nll``, and ``coverage``: interval -> its estimate and the ``nominal`` share. Of votes, ``all`` has the ``nll`` of the
        counts, and the labels are those of a row's own number of votes: Gaussian shares are then a guide only.
    """
    found: dict[str, Any] = {}
    for target, group in groupby(further_columns(rows.predictions, targets), key=lambda column: column.target):
        values = {column.suffix: np.asarray(rows.predictions[column.name], float)[chosen] for column in group}
        k = targets.index(target)
        predicted, observed = rows.predicted[chosen, k], rows.observed[chosen, k]
        if SIGMA not in values:
            found[target] = _of_quantiles(values, observed, estimate)
            continue
        variance = _total_variance(rows, chosen, target, values[SIGMA], label_errors)
        if task == "fractions":
            votes = _votes(rows, chosen)
            if votes is None:
                continue
            # the scatter of the votes belongs to the label, that between the views does not
            own = label_variance(predicted[:, None], values[SIGMA][:, None], votes)[:, 0]
            variance = variance - values[SIGMA] ** 2 + own
            found[target] = {"coverage": _within(predicted, variance, observed, estimate)}
        else:
            nll = estimate(metrics.mean_of(gaussian_nll(predicted, variance, observed)))
            found[target] = {"nll": nll, "coverage": _within(predicted, variance, observed, estimate)}
    votes = _votes(rows, chosen)
    if task == "fractions" and len(found) == len(targets) and votes is not None:
        sigma = np.column_stack([np.asarray(rows.predictions[f"{target}_{SIGMA}"], float)[chosen] for target in targets])
        counts = np.round(rows.observed[chosen] * votes[:, None])
        found["all"] = {"nll": estimate(metrics.mean_of(votes_nll(rows.predicted[chosen], sigma, counts)))}
    return found


def _of_quantiles(values: Mapping[str, np.ndarray], observed: np.ndarray, estimate: Estimate) -> dict[str, Any]:
    levels = np.array([level_of(suffix) for suffix in values])
    coverage = {}
    for level in levels[levels < 0.5]:
        low, high = quantile_suffix(level), quantile_suffix(1 - level)
        if high in values:
            inside = (observed >= values[low]) & (observed <= values[high])
            coverage[f"{low} to {high}"] = {"nominal": 1 - 2 * float(level), **estimate(metrics.mean_of(inside))}
    loss = estimate(metrics.mean_of(pinball(np.column_stack(list(values.values())), observed, levels)))
    return {"pinball": loss, "coverage": coverage}


def _total_variance(rows: Rows, chosen: np.ndarray, target: str, sigma: np.ndarray, label_errors: Mapping[str, str]) -> np.ndarray:
    """What a network says of the scatter, what its views and companions add, and the label's own error."""
    spread = np.asarray(rows.predictions.get(f"{target}_std", np.zeros(len(rows))), float)[chosen]
    column = label_errors.get(target)
    error = np.zeros(len(sigma)) if column is None or column not in rows.objects else numbers(rows.objects[column][chosen])
    return sigma**2 + np.nan_to_num(spread) ** 2 + np.nan_to_num(error) ** 2


def _within(predicted: np.ndarray, variance: np.ndarray, observed: np.ndarray, estimate: Estimate) -> dict[str, Any]:
    residual, sigma = np.abs(observed - predicted), np.sqrt(variance)
    return {f"{times} sigma": {"nominal": share, **estimate(metrics.mean_of(residual <= times * sigma))} for times, share in TIMES.items()}


def _votes(rows: Rows, chosen: np.ndarray) -> np.ndarray | None:
    """Votes of each row, or None where some are not known."""
    votes = numbers(rows.objects["n_votes"][chosen]) if "n_votes" in rows.objects else np.zeros(0)
    return votes if len(votes) and (votes >= 1).all() else None
