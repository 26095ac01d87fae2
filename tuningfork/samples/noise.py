"""How well votes know themselves: the error that no network can go below, from repeat classifications and from the number of voters.

A classifier who may tick several boxes makes each fraction a binomial of its own; one who must choose makes them a multinomial.
"""

from typing import Literal, NamedTuple

import numpy as np

from tuningfork.errors import SampleError

Model = Literal["binomial", "multinomial"]


class RepeatNoise(NamedTuple):
    """Difference of two classifications of the same objects.

    `mean_rmse` is the mean over pairs of the rms over classes, `rms` the rms over pairs and classes, `per_class` that of each class,
    `floor_rms` = rms / sqrt(2) the noise of one classification, and `random_mean_rmse` what random pairs of the same sample differ by.
    """

    pairs: int
    mean_rmse: float
    rms: float
    per_class: np.ndarray
    floor_rms: float
    random_mean_rmse: float


def per_sample_rmse(difference: np.ndarray) -> np.ndarray:
    """Rms over the last axis."""
    return np.sqrt(np.mean(np.square(difference), axis=-1))


def repeat_pairs(galaxy_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of galaxies that stand exactly twice: first and second row of each pair."""
    _, inverse, counts = np.unique(np.asarray(galaxy_id), return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[inverse] == 2)
    rows = rows[np.argsort(inverse[rows], kind="stable")]
    return rows[::2], rows[1::2]


def repeat_noise(values: np.ndarray, galaxy_id: np.ndarray, rng: np.random.Generator) -> RepeatNoise:
    """Noise of the labels from galaxies that were classified twice.

    Parameters
    ----------
    values : array, shape (N, K)
        Fractions.
    galaxy_id : array, shape (N,)
        Rows that share it are repeats.
    rng : Generator
        Draws the random pairs for comparison.

    Raises
    ------
    SampleError
        No galaxy stands twice.
    """
    values = np.asarray(values, float)
    first, second = repeat_pairs(galaxy_id)
    if not len(first):
        raise SampleError("no galaxy was classified twice: the repeat noise cannot be measured")
    difference = values[first] - values[second]
    shuffled = rng.permutation(len(values))[: len(values) // 2 * 2].reshape(-1, 2)
    random = per_sample_rmse(values[shuffled[:, 0]] - values[shuffled[:, 1]])
    rms = float(np.sqrt(np.mean(difference**2)))
    return RepeatNoise(
        len(first),
        float(per_sample_rmse(difference).mean()),
        rms,
        np.sqrt(np.mean(difference**2, axis=0)),
        rms / np.sqrt(2),
        float(random.mean()),
    )


def expected_variance(fractions: np.ndarray, n_votes: np.ndarray) -> np.ndarray:
    """Unbiased estimate of the sampling variance of each raw fraction, f (1 - f) / (n - 1); NaN where n < 2. Shapes (N, K) and (N,).

    The same for binomial and multinomial votes, class by class, before any normalisation.
    """
    fractions, n = np.asarray(fractions, float), np.asarray(n_votes, float)[:, None]
    return np.where(n >= 2, fractions * (1 - fractions) / np.where(n >= 2, n - 1, 1.0), np.nan)


def draw_votes(fractions: np.ndarray, n_votes: np.ndarray, rng: np.random.Generator, model: Model = "binomial") -> np.ndarray:
    """Fractions that `n_votes` new classifiers would give, shape (N, K).

    Parameters
    ----------
    fractions : array, shape (N, K)
        Probability of each tick; rows must sum to 1 for 'multinomial'.
    n_votes : int array, shape (N,)
    rng : Generator
    model : {'binomial', 'multinomial'}

    Raises
    ------
    SampleError
        Probabilities out of range, rows that do not sum to 1 (multinomial), fewer than one vote, or an unknown model.
    """
    fractions, n = np.asarray(fractions, float), np.asarray(n_votes, int)
    if (n < 1).any():
        raise SampleError("the number of votes must be at least 1")
    if not ((fractions >= 0) & (fractions <= 1 + 1e-9)).all():
        raise SampleError("vote fractions must lie between 0 and 1")
    if model == "binomial":
        return rng.binomial(n[:, None], np.minimum(fractions, 1.0)) / n[:, None]
    if model != "multinomial":
        raise SampleError(f"vote model {model!r}: choose binomial or multinomial")
    total = fractions.sum(axis=1, keepdims=True)
    if (np.abs(total - 1) > 0.02).any():
        raise SampleError("fractions of votes that exclude each other must sum to 1")
    return rng.multinomial(n, fractions / total) / n[:, None]


def normalised(fractions: np.ndarray) -> np.ndarray:
    """Rows divided by their sum; rows that sum to 0 become equal shares (nobody ticked anything: nothing is known)."""
    total = np.asarray(fractions, float).sum(axis=-1, keepdims=True)
    return np.where(total > 0, fractions / np.where(total > 0, total, 1.0), 1.0 / np.shape(fractions)[-1])


def voting_floor(
    fractions: np.ndarray, n_votes: np.ndarray, rng: np.random.Generator, model: Model = "binomial", n_draws: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Error that a perfect predictor of the voters' propensities would still make against the normalised votes.

    Parameters
    ----------
    fractions : array, shape (N, K)
        Taken as the propensities. Observed fractions of few voters are more extreme than the propensities behind them, so their floor is an
        underestimate; the repeats and the well-voted objects are the check.
    n_votes : int array, shape (N,)
    n_draws : int
        Panels drawn for each object.

    Returns
    -------
    rmse : array, shape (N,)
        Mean over panels of the rms over classes.
    per_class : array, shape (K,)
        Rms over objects and panels.
    """
    truth = normalised(fractions)
    rmse, square = np.zeros(len(truth)), np.zeros(truth.shape[1])
    for _ in range(n_draws):
        difference = normalised(draw_votes(fractions, n_votes, rng, model)) - truth
        rmse += per_sample_rmse(difference)
        square += np.mean(difference**2, axis=0)
    return rmse / n_draws, np.sqrt(square / n_draws)


def subsample_floor(
    fractions: np.ndarray, n_votes: np.ndarray, size: int, rng: np.random.Generator, n_draws: int = 100, model: Model = "binomial"
) -> tuple[float, np.ndarray]:
    """Noise of `size` voters, measured on objects with many: draw `size` of the real votes without replacement, compare with all of them.

    Parameters
    ----------
    fractions : array, shape (N, K)
        Raw fractions; with the known `n_votes` they are whole counts again.
    n_votes : int array, shape (N,)
        Known numbers of voters; objects with fewer than 4 x `size` are left out.
    size : int
        Voters in the small panel.

    Returns
    -------
    mean_rmse : float
        Mean over objects and panels of the rms over classes, of normalised fractions, corrected for the finite number of votes in the
        comparison: what `size` voters differ by from the propensity.
    per_class : array, shape (K,)

    Raises
    ------
    SampleError
        No object has enough votes, or fractions times votes are not whole numbers.
    """
    fractions, n = np.asarray(fractions, float), np.asarray(n_votes, int)
    many = n >= 4 * size
    if size < 1 or not many.any():
        raise SampleError(f"no object has {4 * size} votes or more, to draw panels of {size} from")
    fractions, n = fractions[many], n[many]
    counts = np.rint(fractions * n[:, None]).astype(int)
    if (np.abs(counts - fractions * n[:, None]) > 0.05).any():
        raise SampleError("fractions times votes are not whole numbers: these are not raw fractions of that many votes")
    if model == "multinomial" and (counts.sum(axis=1) != n).any():
        raise SampleError("votes that exclude each other must add up to the number of voters")
    truth = normalised(fractions)
    # Drawing without replacement from n of them shrinks the variance by (n - size) / (n - 1) against drawing from the propensity itself.
    correction = np.sqrt((n - 1) / (n - size))
    total, square = 0.0, np.zeros(fractions.shape[1])
    for _ in range(n_draws):
        if model == "multinomial":
            drawn = np.stack([rng.multivariate_hypergeometric(row, size) for row in counts])
        else:
            drawn = rng.hypergeometric(counts, n[:, None] - counts, size)
        difference = (normalised(drawn / size) - truth) * correction[:, None]
        total += per_sample_rmse(difference).mean()
        square += np.mean(difference**2, axis=0)
    return float(total / n_draws), np.sqrt(square / n_draws)
