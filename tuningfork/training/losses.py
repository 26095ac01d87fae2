"""Losses and output activations: what a network's raw outputs mean for each task, and how far they are from the truth."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tuningfork.errors import ModelError

__all__ = ["activate", "make_loss", "smoothed"]

Loss = Callable[[Tensor, Tensor], Tensor]
EPSILON = 1e-12
"""Added under the square root: its gradient stays finite where prediction and truth agree exactly."""


def activate(outputs: Tensor, task: str) -> Tensor:
    """Raw outputs (n, K) to predictions: softmax for ``fractions`` and ``classes``, unchanged for ``regression`` (standardised units)."""
    return outputs if task == "regression" else torch.softmax(outputs, dim=1)


def smoothed(targets: Tensor, amount: float) -> Tensor:
    """Labels (n, K) of which the part `amount` is spread evenly over the K classes: (1 - amount) t + amount / K (Szegedy et al. 2016, section 7)."""
    return targets * (1 - amount) + amount / targets.shape[1] if amount else targets


def make_loss(name: str, task: str) -> Loss:
    """The loss as a function of raw outputs (n, K) and targets (n, K).

    ``per_sample_rmse`` is the mean over samples of sqrt(mean over classes of the squared error), the published loss of Perez-Carrasco et al.
    2019 (not the RMSE of the whole batch); ``rmse`` is sqrt of the mean over samples and outputs (Wu & Boada 2019); ``mse`` its square;
    ``cross_entropy`` -sum_k t_k log p_k, mean over samples, for soft and one-hot targets alike.

    Raises
    ------
    ModelError
        Unknown name, or a cross entropy for a regression.
    """
    if name == "cross_entropy":
        if task == "regression":
            raise ModelError("cross_entropy needs classes or fractions; use rmse or mse for a regression")
        return lambda outputs, targets: functional.cross_entropy(outputs.float(), targets)
    if name not in _ERRORS:
        raise ModelError(f"unknown loss {name!r}; the losses are cross_entropy, {', '.join(_ERRORS)}")
    reduce = _ERRORS[name]
    return lambda outputs, targets: reduce((activate(outputs.float(), task) - targets).square())


_ERRORS: dict[str, Callable[[Tensor], Tensor]] = {
    "per_sample_rmse": lambda squares: (squares.mean(dim=1) + EPSILON).sqrt().mean(),
    "mse": lambda squares: squares.mean(),
    "rmse": lambda squares: (squares.mean() + EPSILON).sqrt(),
}
