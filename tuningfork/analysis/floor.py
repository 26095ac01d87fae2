"""The noise floor of the labels: the error that a perfect predictor would still make, because a label is a handful of votes or has an error bar.

Three sources, best first, and the result says which it used: the number of votes of each row; the same object labelled twice; an assumed number of votes.
"""

import numpy as np

from tuningfork.analysis import metrics
from tuningfork.analysis.bootstrap import interval
from tuningfork.errors import TuningforkError

MODELS = ("multinomial", "binomial")


def expected_rmse(fractions: np.ndarray, n_votes: np.ndarray, *, model: str, generator: np.random.Generator, draws: int = 200) -> np.ndarray:
    """Expected per-sample RMSE between labels of `n_votes` votes and their own expectation.

    Parameters
    ----------
    fractions : (N, K) array
        The probabilities that a vote falls on each class: rows sum to 1 (``multinomial``: one vote, one class), or each within [0, 1]
        (``binomial``: a classifier may tick several boxes; the ticks are then normalised, as the labels were).
    n_votes : (N,) array of int
        Votes of each row, at least 1.
    model : str
        ``multinomial`` or ``binomial``.
    generator : numpy Generator
        For the simulated panels.
    draws : int
        Panels simulated for each row.

    Returns
    -------
    (N,) array
        Mean over the panels of sqrt(mean_k (label_k - <label_k>)^2).
    """
    fractions = np.clip(np.asarray(fractions, float), 0, 1)
    n_votes = np.asarray(n_votes)
    if model not in MODELS:
        raise TuningforkError(f"unknown model of votes {model!r}; one of {', '.join(MODELS)}")
    if len(n_votes) != len(fractions) or (len(n_votes) and n_votes.min() < 1):
        raise TuningforkError(f"{len(fractions)} rows need as many numbers of votes, each at least 1")
    n_votes = n_votes.astype(np.int64)
    if model == "multinomial":
        total = fractions.sum(axis=1, keepdims=True)
        if (total <= 0).any():
            raise TuningforkError("a row of fractions sums to zero")
        labels = generator.multinomial(n_votes, fractions / total, size=(draws, len(n_votes))) / n_votes[:, None]
    else:
        ticks = generator.binomial(n_votes[:, None], fractions, size=(draws, *fractions.shape)).astype(float)
        total = ticks.sum(axis=2, keepdims=True)
        # A panel that ticked nothing gave no label; such objects are not in a labelled sample.
        labels = np.divide(ticks, total, out=np.full_like(ticks, np.nan), where=total > 0)
    valid = np.isfinite(labels[..., :1])
    count = np.maximum(valid.sum(axis=0), 1)
    labels = np.where(valid, labels, 0.0)
    centre = labels.sum(axis=0) / count
    error = np.sqrt(np.mean((labels - centre) ** 2, axis=2))
    return (error * valid[..., 0]).sum(axis=0) / count[:, 0]


def floor_from_votes(
    fractions: np.ndarray,
    n_votes: np.ndarray | int,
    groups: np.ndarray,
    *,
    model: str,
    probabilities: str,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, object]:
    """Mean expected per-sample RMSE over the rows whose number of votes is known, with its interval over groups.

    `n_votes` as one int is an assumption and is reported as one. `probabilities` says where `fractions` came from: ``predictions`` (smooth, the
    better choice for few votes) or ``labels`` (a label of 0 or 1 looks noiseless, so the floor is too low: a lower bound).
    """
    fractions = np.asarray(fractions, float)
    assumed = np.ndim(n_votes) == 0
    votes = np.full(len(fractions), n_votes, dtype=float) if assumed else np.asarray(n_votes, float)
    known = np.isfinite(votes) & (votes >= 1) & np.isfinite(fractions).all(axis=1) & (fractions.sum(axis=1) > 0)
    generator = np.random.default_rng(seed)
    chunks = [
        expected_rmse(fractions[known][i : i + 2000], np.rint(votes[known][i : i + 2000]), model=model, generator=generator)
        for i in range(0, int(known.sum()), 2000)
    ]
    values = np.concatenate(chunks) if chunks else np.zeros(0)
    result = interval(metrics.mean_of(values), np.asarray(groups)[known], seed, resamples=resamples, level=level).as_json()
    source = f"assumed {int(n_votes)} votes a row" if assumed else "number of votes of each row"
    return {**result, "source": source, "model": model, "probabilities": probabilities, "median_votes": float(np.median(votes[known])) if known.any() else None}


def repeat_pairs(object_keys: np.ndarray) -> np.ndarray:
    """Row indices (P, 2) of labels of the same thing: consecutive rows of equal key (galaxy and band), so a key with m rows gives m - 1 pairs."""
    order = np.argsort(object_keys, kind="stable")
    same = np.asarray(object_keys)[order][1:] == np.asarray(object_keys)[order][:-1]
    return np.column_stack([order[:-1][same], order[1:][same]])


def floor_from_repeats(labels: np.ndarray, object_keys: np.ndarray, *, seed: int, resamples: int = 1000, level: float = 0.95) -> dict[str, object] | None:
    """Floor from objects that were labelled twice: the mean per-sample RMSE between the two labels over sqrt(2); None without repeats.

    Both labels are noisy and independent, so their difference has twice the variance of one. The result keeps the undivided value as ``between``.
    """
    labels = np.asarray(labels, float)
    pairs = repeat_pairs(object_keys)
    pairs = pairs[np.isfinite(labels[pairs]).all(axis=(1, 2))] if len(pairs) else pairs
    if not len(pairs):
        return None
    between = metrics.per_sample_rmse(labels[pairs[:, 0]], labels[pairs[:, 1]])
    result = interval(metrics.mean_of(between / np.sqrt(2)), np.asarray(object_keys)[pairs[:, 0]], seed, resamples=resamples, level=level).as_json()
    return {**result, "source": f"{len(pairs)} repeated labels", "between": float(between.mean())}


def floor_from_sigma(sigma: np.ndarray, groups: np.ndarray, *, seed: int, resamples: int = 1000, level: float = 0.95) -> dict[str, object] | None:
    """RMSE floor of a measured number from its own error bars, sqrt(mean sigma^2); None where no row has one."""
    sigma = np.asarray(sigma, float)
    known = np.isfinite(sigma) & (sigma >= 0)
    if not known.any():
        return None
    result = interval(metrics.global_rmse(sigma[known], np.zeros(known.sum())), np.asarray(groups)[known], seed, resamples=resamples, level=level).as_json()
    return {**result, "source": "error of each label"}
