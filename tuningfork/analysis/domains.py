"""How well two samples can still be told apart by the features that a network sees in them: the honest measure of a domain adaptation.

The discriminator of a training is no judge of it: the network has learned to deceive that one. Here a classifier is fitted anew, to features of
objects that no training has seen, and asked about galaxies that it was not fitted to.
"""

import logging
from collections.abc import Mapping

import numpy as np

from tuningfork.analysis.bootstrap import difference, interval
from tuningfork.analysis.metrics import Generic, auc
from tuningfork.errors import SampleError

__all__ = ["judge_domains", "scores_out_of_fold", "within_folds"]

log = logging.getLogger(__name__)
FOLDS = 5
MOST = 5000
"""Galaxies of either sample that are judged, at most: a classifier of thousands of features takes time."""
CLASSIFIER = "logistic regression on standardised features, fitted to four fifths of the galaxies and asked about the others"


def judge_domains(
    features: Mapping[str, tuple[np.ndarray, np.ndarray]],
    galaxies: tuple[np.ndarray, np.ndarray],
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, object] | None:
    """AUC of a linear classifier that tells two samples apart, for each of several networks, on the same galaxies.

    Parameters
    ----------
    features : mapping of name to (N, F) and (M, F) arrays
        Of the first and the second sample, the same objects for every network (F may differ); rows that are not finite in one are left out of all.
        The first network is the one that the others are compared with.
    galaxies : (N,) and (M,) arrays of str
        A galaxy, in whichever sample, is in one fold and is resampled as one.
    seed : int
        Of the folds and the resamples.

    Returns
    -------
    dict or None
        JSON-able: ``auc`` of each network and ``change``, the first one's less that of each other, with intervals of resampled galaxies (the
        classifiers stay as they were fitted); 0.5 means that nothing tells the samples apart. None where one of them has fewer than five galaxies.
    """
    first, second = (np.all([np.isfinite(pair[side]).all(axis=1) for pair in features.values()], axis=0) for side in (0, 1))
    chosen = [np.flatnonzero(usable)[_drawn(galaxy[usable], seed)] for usable, galaxy in ((first, galaxies[0]), (second, galaxies[1]))]
    galaxy = np.concatenate([galaxies[side][rows] for side, rows in enumerate(chosen)]).astype(str)
    is_second = np.repeat([False, True], [len(rows) for rows in chosen])
    if min(len(np.unique(galaxy[is_second == side])) for side in (False, True)) < FOLDS:
        log.warning("the adaptation is not judged: one of its samples has fewer than %d usable test galaxies", FOLDS)
        return None
    fold = _folds(galaxy, seed)
    statistics = {}
    for name, pair in features.items():
        block = np.concatenate([pair[side][rows] for side, rows in enumerate(chosen)])
        statistics[name] = within_folds(scores_out_of_fold(block, is_second, fold), is_second, fold)
    judged, *others = statistics

    def estimate(statistic: Generic) -> dict[str, object]:
        return interval(statistic, galaxy, seed, resamples=resamples, level=level).as_json()

    changes = {}
    for other in others:
        change = difference(statistics[judged], statistics[other])
        found = interval(change, galaxy, seed, resamples=resamples, level=level)
        changes[other] = {**found.as_json(), "significant": bool(found.low > 0 or found.high < 0)}
    return {
        "classifier": CLASSIFIER,
        "folds": FOLDS,
        "n": [len(rows) for rows in chosen],
        "auc": {name: estimate(statistic) for name, statistic in statistics.items()},
        "change": changes,
    }


def scores_out_of_fold(features: np.ndarray, positive: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Scores (N,) of a linear classifier for `positive` (N,) from features (N, F), for each fold from one that was fitted to the others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = np.full(len(features), np.nan)
    for number in np.unique(fold):
        here = fold == number
        if len(np.unique(positive[~here])) < 2:
            raise SampleError(f"fold {number}: the other folds have one of the two samples alone; give the classifier more galaxies")
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
        scores[here] = classifier.fit(features[~here], positive[~here]).decision_function(features[here])
    return scores


def within_folds(score: np.ndarray, positive: np.ndarray, fold: np.ndarray) -> Generic:
    """The AUC over pairs of rows of one fold: scores of different classifiers are not on one scale, and their pairs would bias it below 0.5."""

    def value(rows: np.ndarray) -> float:
        wins, pairs = 0.0, 0
        for number in range(int(fold.max()) + 1):
            here = rows[fold[rows] == number]
            count = int(positive[here].sum()) * int((~positive[here]).sum())
            if count:
                wins, pairs = wins + count * auc(score[here], positive[here]), pairs + count
        return wins / pairs if pairs else float("nan")

    return Generic(len(score), value)


def _folds(galaxy: np.ndarray, seed: int) -> np.ndarray:
    names, index = np.unique(galaxy, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % FOLDS)[index]


def _drawn(galaxy: np.ndarray, seed: int) -> np.ndarray:
    """Positions of the rows of at most `MOST` galaxies, in order."""
    names, index = np.unique(galaxy, return_inverse=True)
    return np.flatnonzero((np.random.default_rng(seed).permutation(len(names)) < MOST)[index])
