"""What the raw outputs of a network mean: one table of heads, from the name to the number of outputs a target and to the columns of a prediction.

The outputs of a target stand side by side. Numbers are in the network's units (standardised for a regression).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tuningfork.errors import ModelError
from tuningfork.predicted import SIGMA, quantile_suffix

__all__ = ["POINT", "Head", "concentrations", "cumulative_quantiles", "head_of", "head_of_record", "mean_and_variance"]

POINT = ""
"""Key of the prediction itself among the columns of a head."""
VARIANCE_FLOOR = 1e-4
"""Added to a predicted variance: no label is known better than 1 % of the scatter of the training labels, and no residual weighs without bound."""
CONCENTRATION_FLOOR = 1e-3
"""Added to a predicted concentration: the logarithm of the gamma function has a pole at nothing."""


def cumulative_quantiles(outputs: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Quantiles that cannot cross: the median, and from it outwards sums of softplus steps.

    They are ordered while the network learns, so that what the loss judges is what is published; quantiles sorted afterwards would not be those
    that were trained.

    Parameters
    ----------
    outputs : Tensor, shape (n, K * Q)
    levels : tuple of float, length Q
        Ascending, with 0.5.

    Returns
    -------
    Tensor, shape (n, K, Q), float32
        Not descending along the last axis; at the place of 0.5 the raw output.
    """
    raw, middle = _by_target(outputs, len(levels)), levels.index(0.5)
    median, steps = raw[..., middle : middle + 1], functional.softplus(raw)
    below = median - steps[..., :middle].flip(-1).cumsum(-1).flip(-1)
    return torch.cat([below, median, median + steps[..., middle + 1 :].cumsum(-1)], dim=-1)


def mean_and_variance(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (n, K) of Gaussians from outputs (n, 2 K).

    The variance is floor + exp(s) of the second output s where s < 0 and floor + 1 + s above (1 + ELU): a logarithm below the scatter of the
    training labels, where s = 0, and a straight line above it. Unlike exp(s) it cannot overflow; unlike a clamp it has a gradient everywhere.
    """
    raw = _by_target(outputs, 2)
    return raw[..., 0], 1 + VARIANCE_FLOOR + functional.elu(raw[..., 1])


def concentrations(outputs: Tensor) -> Tensor:
    """Concentrations (n, K) of Dirichlet distributions: softplus of the outputs (n, K), and a floor."""
    return functional.softplus(outputs.float()) + CONCENTRATION_FLOOR


@dataclass(frozen=True)
class Head:
    """The meaning of a network's outputs.

    Attributes
    ----------
    name : {'softmax', 'identity', 'quantile', 'gaussian', 'dirichlet_multinomial'}
    n_targets : int
        K, fractions, classes or numbers.
    quantiles : tuple of float
        Levels of a quantile head, ascending, with 0.5; else empty.
    """

    name: str
    n_targets: int
    quantiles: tuple[float, ...] = ()

    @property
    def n_outputs(self) -> int:
        """Raw outputs an image."""
        return self.n_targets * _HEADS[self.name].outputs(self)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Names of the columns beside the prediction itself, as `tuningfork.predicted` has them."""
        return (*map(quantile_suffix, self.quantiles), *_HEADS[self.name].beside)

    def columns(self, outputs: Tensor) -> dict[str, Tensor]:
        """Predictions from raw outputs (n, n_outputs), each (n, K): `POINT` the prediction itself, then quantiles and ``sigma`` by their suffix."""
        return _HEADS[self.name].columns(self, outputs.float())

    def record(self) -> dict[str, Any]:
        """For ``model.json``."""
        return {"name": self.name, **({"quantiles": list(self.quantiles)} if self.quantiles else {})}


def head_of(loss: str, task: str, n_targets: int, quantiles: tuple[float, ...] = ()) -> Head:
    """The head that a loss wants; a loss of points has that of its task."""
    name = loss if loss in _HEADS else "identity" if task == "regression" else "softmax"
    return Head(name, n_targets, tuple(quantiles) if name == "quantile" else ())


def head_of_record(record: Mapping[str, Any] | None, task: str, n_targets: int) -> Head:
    """The head that a ``model.json`` records; models from before heads were recorded have that of their task.

    Raises
    ------
    ModelError
        A head that this version does not know.
    """
    if not record:
        return head_of("", task, n_targets)
    if record.get("name") not in _HEADS:
        raise ModelError(f"head {record.get('name')!r} is none that this version knows: {', '.join(_HEADS)}")
    return Head(record["name"], n_targets, tuple(record.get("quantiles", ())))


class _Kind(NamedTuple):
    outputs: Callable[[Head], int]
    columns: Callable[[Head, Tensor], dict[str, Tensor]]
    beside: tuple[str, ...] = ()


def _quantile(head: Head, outputs: Tensor) -> dict[str, Tensor]:
    values = cumulative_quantiles(outputs, head.quantiles).unbind(-1)
    return {POINT: values[head.quantiles.index(0.5)]} | {quantile_suffix(level): each for level, each in zip(head.quantiles, values, strict=True)}


def _gaussian(head: Head, outputs: Tensor) -> dict[str, Tensor]:
    mean, variance = mean_and_variance(outputs)
    return {POINT: mean, SIGMA: variance.sqrt()}


def _dirichlet(head: Head, outputs: Tensor) -> dict[str, Tensor]:
    alpha = concentrations(outputs)
    total = alpha.sum(dim=1, keepdim=True)
    mean = alpha / total
    return {POINT: mean, SIGMA: (mean * (1 - mean) / (total + 1)).sqrt()}


_HEADS: dict[str, _Kind] = {
    "softmax": _Kind(lambda head: 1, lambda head, outputs: {POINT: torch.softmax(outputs, dim=1)}),
    "identity": _Kind(lambda head: 1, lambda head, outputs: {POINT: outputs}),
    "quantile": _Kind(lambda head: len(head.quantiles), _quantile),
    "gaussian": _Kind(lambda head: 2, _gaussian, (SIGMA,)),
    "dirichlet_multinomial": _Kind(lambda head: 1, _dirichlet, (SIGMA,)),
}


def _by_target(outputs: Tensor, each: int) -> Tensor:
    return outputs.float().unflatten(1, (-1, each))
