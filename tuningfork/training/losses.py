"""Losses: how far a network's raw outputs are from the truth, by what they mean (`tuningfork.training.heads`)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tuningfork.errors import ModelError
from tuningfork.training.heads import concentrations, cumulative_quantiles, mean_and_variance

__all__ = ["activate", "dirichlet_multinomial_nll", "gaussian_nll", "make_loss", "pinball", "smoothed"]

Loss = Callable[[Tensor, Tensor], Tensor]
EPSILON = 1e-12
"""Added under the square root: its gradient stays finite where prediction and truth agree exactly."""


def activate(outputs: Tensor, task: str) -> Tensor:
    """Raw outputs (n, K) of a loss of points to predictions: softmax for ``fractions`` and ``classes``, unchanged for ``regression``."""
    return outputs if task == "regression" else torch.softmax(outputs, dim=1)


def smoothed(targets: Tensor, amount: float) -> Tensor:
    """Labels (n, K) of which the part `amount` is spread evenly over the K classes: (1 - amount) t + amount / K (Szegedy et al. 2016, section 7)."""
    return targets * (1 - amount) + amount / targets.shape[1] if amount else targets


def make_loss(name: str, task: str, quantiles: tuple[float, ...] = ()) -> Loss:
    """The loss as a function of raw outputs and targets (n, K).

    ``per_sample_rmse`` is the mean over samples of sqrt(mean over classes of the squared error), the published loss of Perez-Carrasco et al.
    2019 (not the RMSE of the whole batch); ``rmse`` is sqrt of the mean over samples and outputs (Wu & Boada 2019); ``mse`` its square;
    ``cross_entropy`` -sum_k t_k log p_k, mean over samples, for soft and one-hot targets alike; ``quantile`` see `pinball`, ``gaussian``
    `gaussian_nll`, ``dirichlet_multinomial`` (targets: counts) `dirichlet_multinomial_nll`. With 2 K columns, the targets of ``gaussian`` are
    labels and then their standard deviations.

    Raises
    ------
    ModelError
        Unknown name, or a loss that does not fit the task.
    """
    if name in LIKELIHOODS:
        if task != LIKELIHOODS[name]:
            raise ModelError(f"{name} is a loss for task {LIKELIHOODS[name]}, not for {task}")
        return _likelihood(name, quantiles)
    if name == "cross_entropy":
        if task == "regression":
            raise ModelError("cross_entropy needs classes or fractions; use rmse or mse for a regression")
        return lambda outputs, targets: functional.cross_entropy(outputs.float(), targets)
    if name not in _ERRORS:
        raise ModelError(f"unknown loss {name!r}; the losses are cross_entropy, {', '.join([*_ERRORS, *LIKELIHOODS])}")
    reduce = _ERRORS[name]
    return lambda outputs, targets: reduce((activate(outputs.float(), task) - targets).square())


def pinball(predicted: Tensor, targets: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Mean pinball loss max(q (y - f), (q - 1) (y - f)), least where f is the quantile q of y (Koenker & Bassett 1978, Econometrica 46, 33).

    Written as q (y - f) + max(f - y, 0), which needs no tensor of levels on the device.

    Parameters
    ----------
    predicted : Tensor, shape (n, K, Q)
    targets : Tensor, shape (n, K)
    levels : tuple of float, length Q
    """
    excess = targets[..., None] - predicted
    mean = excess.mean(dim=(0, 1))
    return functional.relu(-excess).mean() + sum(level * mean[number] for number, level in enumerate(levels)) / len(levels)


def gaussian_nll(mean: Tensor, variance: Tensor, targets: Tensor) -> Tensor:
    """Mean negative logarithm of the Gaussian density of targets (n, K), nats a target (Nix & Weigend 1994).

    Targets of 2 K columns hold the standard deviation of each label after the labels: it adds in quadrature, and the network learns the rest.
    """
    count = mean.shape[1]
    if targets.shape[1] == 2 * count:
        variance = variance + targets[:, count:].square()
    return 0.5 * (math.log(2 * math.pi) + variance.log() + (targets[:, :count] - mean).square() / variance).mean()


def dirichlet_multinomial_nll(alpha: Tensor, counts: Tensor) -> Tensor:
    """Mean negative logarithm of the probability of vote counts whose class fractions are Dirichlet distributed, nats an object.

    In float64: where the concentrations are large, the logarithms of gamma functions agree in more digits than float32 has.

    Parameters
    ----------
    alpha, counts : Tensor, shape (n, K)
        Concentrations, above 0, and votes.
    """
    alpha, counts = alpha.double(), counts.double()
    total, votes = alpha.sum(dim=1), counts.sum(dim=1)
    ways = torch.lgamma(votes + 1) - torch.lgamma(counts + 1).sum(dim=1)
    each = (torch.lgamma(counts + alpha) - torch.lgamma(alpha)).sum(dim=1)
    return -(ways + torch.lgamma(total) - torch.lgamma(total + votes) + each).mean().float()


LIKELIHOODS = {"quantile": "regression", "gaussian": "regression", "dirichlet_multinomial": "fractions"}
"""Losses of a whole distribution, and the task of each."""


def _likelihood(name: str, quantiles: tuple[float, ...]) -> Loss:
    if name == "gaussian":
        return lambda outputs, targets: gaussian_nll(*mean_and_variance(outputs), targets)
    if name == "dirichlet_multinomial":
        return lambda outputs, targets: dirichlet_multinomial_nll(concentrations(outputs), targets)
    return lambda outputs, targets: pinball(cumulative_quantiles(outputs, quantiles), targets, quantiles)


_ERRORS: dict[str, Callable[[Tensor], Tensor]] = {
    "per_sample_rmse": lambda squares: (squares.mean(dim=1) + EPSILON).sqrt().mean(),
    "mse": lambda squares: squares.mean(),
    "rmse": lambda squares: (squares.mean() + EPSILON).sqrt(),
}
