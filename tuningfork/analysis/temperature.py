"""Temperature scaling: one number that makes class probabilities as sure as they are right (Guo et al. 2017, ICML)."""

from dataclasses import dataclass

import numpy as np

from tuningfork.errors import TuningforkError

__all__ = ["FEWEST", "Temperature", "fit_temperature", "negative_log_likelihood", "scale"]

FLOOR = 1e-7
"""Smallest probability that enters a logarithm, as in `metrics.FLOOR`."""
FEWEST = 20
"""With fewer labelled rows a temperature is noise, and 1 is used."""
COLDEST, HOTTEST = 0.05, 20.0
"""A best temperature beyond these is not determined by the rows: of rows that are all classified rightly, for instance, it is 0."""


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature; `value` is 1 where none could be determined, and `reason` then says why.

    `before` and `after` are the mean negative log-likelihoods (nats) of the rows that it was fitted to, NaN without rows.
    """

    value: float
    n: int
    before: float
    after: float
    reason: str = ""


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities proportional to p^(1/T): (N, K) to (N, K), rows summing to 1; T above 1 makes them less sure.

    For the softmax of one network this is the division of its logits by T; of an average over networks and views the logarithms of the averaged
    probabilities take their place. The order of the classes in a row stays. A temperature of 1 returns the input itself; NaN rows stay NaN.
    """
    if temperature == 1:
        return probabilities
    logs = _logs(probabilities) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-sum_k y_k log p_k of each row, in nats: (N, K), (N, K) to (N,); labels one-hot or fractions, p at least 1e-7."""
    return -(labels * _logs(probabilities)).sum(axis=1)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> Temperature:
    """The temperature of least mean negative log-likelihood.

    The likelihood is convex in b = 1/T, so its derivative mean(<log p>_b - y . log p) has one root; Newton steps find it, and a bisection takes
    over where one would leave the bracket.

    Parameters
    ----------
    probabilities, labels : ndarray, shape (N, K)
        Of rows that were not trained on, without NaN; labels are one-hot or fractions that sum to 1.

    Raises
    ------
    TuningforkError
        Shapes that differ.
    """
    p, y = np.asarray(probabilities, float), np.asarray(labels, float)
    if p.shape != y.shape or p.ndim != 2:
        raise TuningforkError(f"a temperature needs probabilities and labels of one shape (N, K); got {p.shape} and {y.shape}")
    before = float(negative_log_likelihood(p, y).mean()) if len(p) else float("nan")
    if len(p) < FEWEST:
        return Temperature(1.0, len(p), before, before, f"{len(p)} labelled validation rows; {FEWEST} are needed")
    logs = _logs(p)
    low, high = 1 / HOTTEST, 1 / COLDEST
    if _slope(logs, y, low)[0] >= 0 or _slope(logs, y, high)[0] <= 0:
        return Temperature(1.0, len(p), before, before, f"the validation rows do not determine one between {COLDEST:g} and {HOTTEST:g}")
    b = 1.0
    for _ in range(100):
        slope, curvature = _slope(logs, y, b)
        low, high = (b, high) if slope < 0 else (low, b)
        new = b - slope / curvature if curvature > 0 else (low + high) / 2
        new = new if low < new < high else (low + high) / 2
        if abs(new - b) <= 1e-12 * b:
            break
        b = new
    return Temperature(1 / b, len(p), before, float(negative_log_likelihood(scale(p, 1 / b), y).mean()))


def _logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, FLOOR))


def _slope(logs: np.ndarray, labels: np.ndarray, b: float) -> tuple[float, float]:
    """First and second derivative of the mean negative log-likelihood by b: mean excess, and mean variance, of log p under p^b."""
    powers = np.exp(b * (logs - logs.max(axis=1, keepdims=True)))
    powers /= powers.sum(axis=1, keepdims=True)
    mean = (powers * logs).sum(axis=1)
    variance = (powers * (logs - mean[:, None]) ** 2).sum(axis=1)
    return float((mean * labels.sum(axis=1) - (labels * logs).sum(axis=1)).mean()), float((variance * labels.sum(axis=1)).mean())
