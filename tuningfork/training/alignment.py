"""What brings the features of two samples together while a network trains: a discrepancy of both sets, or an adversary that tells them apart."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tuningfork.training.discrepancy import FEWEST, coral, mmd
from tuningfork.training.recipe import Alignment, Recipe

__all__ = ["METHODS", "Adversary", "Aligned", "Aligner", "Discrepancy", "make_aligner", "reversal_at"]

METHODS = {"mmd": 10.0, "coral": 1.0, "dann": 1.0}
"""Methods of `adapt_to`, each with the weight that it has where none is given."""
ADVERSARY = 1
"""Which of the streams of random numbers below a training's seed gives the discriminator's first weights."""


class Aligned(NamedTuple):
    """`loss`: what is added to the loss of the labels; `parts`: what is reported of it, by the names of the aligner's `columns`."""

    loss: Tensor
    parts: dict[str, Tensor]


class Aligner(Protocol):
    """A term beside the loss that falls as the features of two samples become alike."""

    columns: tuple[str, ...]

    def loss(self, first: Tensor, second: Tensor, progress: float | None = None) -> Aligned:
        """The term for features (n, F) and (m, F), float32; `progress`, from 0 to 1, as it is weighted there in the training, None: the whole of it."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """What learns beside the network, and is no part of it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state of `state_dict`."""
        ...


def make_aligner(method: str, weight: float, recipe: Recipe, n_features: int, seed: int, device: torch.device) -> Aligner:
    """The aligner of a method of `METHODS`.

    Parameters
    ----------
    weight
        Of the discrepancy, or of the reversed gradient, beside the loss of the labels.
    n_features
        F, of the features that will be compared.
    seed
        Of the training: an adversary's first weights follow from it, and take no number from torch's own generator.
    """
    spec, rise = recipe.alignment, recipe.alignment.warm_up_epochs / recipe.epochs
    if method == "dann":
        return Adversary(weight, n_features, spec.hidden, int(np.random.SeedSequence([seed, ADVERSARY]).generate_state(1, np.uint64)[0] >> 1), device, rise)
    return Discrepancy(_distance(method, spec), weight, rise)


def _distance(method: str, spec: Alignment) -> Callable[[Tensor, Tensor], Tensor]:
    if method == "coral":
        return coral
    return lambda first, second: mmd(first, second, unbiased=spec.estimator == "unbiased")


def _risen(progress: float | None, rise: float) -> float:
    """Part of the weight at `progress`, where it rises linearly over the first part `rise` of the training."""
    return 1.0 if progress is None or progress >= rise else progress / rise


class Discrepancy:
    """`weight` times a distance of two sets of features; nothing learns beside the network.

    A set of fewer than two rows has no spread to compare: its batch adds nothing.
    """

    columns: tuple[str, ...] = ("discrepancy",)

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor], weight: float, rise: float = 0.0) -> None:
        self._distance, self.weight, self.rise = distance, weight, rise

    def loss(self, first: Tensor, second: Tensor, progress: float | None = None) -> Aligned:
        """Weighted distance; reported without the weight."""
        enough = min(len(first), len(second)) >= FEWEST
        distance = self._distance(first, second) if enough else 0 * (first.sum() + second.sum())
        return Aligned(self.weight * _risen(progress, self.rise) * distance, {"discrepancy": distance.detach()})

    def parameters(self) -> list[nn.Parameter]:
        """None."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Empty: there is no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to take up."""


class Adversary:
    """A discriminator that learns to tell the samples apart, and a reversed gradient that teaches the network to deny it this (DANN).

    After Ganin et al. 2016 (JMLR 17, 59): one loss, the cross-entropy of the discriminator with both samples counting alike; the discriminator
    learns from it at full rate, and the network from its gradient times -`weight` * `reversal_at` (their sections 4.2 and 5.2.2). One hidden
    layer of `hidden` units, as their smallest.

    The value of the term is weight * max(0, ln 2 - cross-entropy): ln 2 is the loss of a discriminator that knows nothing, and the difference
    to it, in nats, the divergence of Jensen and Shannon that the discriminator proves (Goodfellow et al. 2014, theorem 1: a lower bound). So
    a validation loss with it falls when the samples come together, and an adversary that has lost (worse than chance) earns the network nothing.

    Parameters
    ----------
    weight
        Factor on the reversed gradient.
    n_features, hidden
        Sizes of the discriminator.
    seed
        Of its first weights.
    rise
        Part of the training in which the weight rises linearly, besides the published schedule.
    """

    columns: tuple[str, ...] = ("domain_loss", "domain_accuracy")

    def __init__(self, weight: float, n_features: int, hidden: int, seed: int, device: torch.device, rise: float = 0.0) -> None:
        self.weight, self.rise = weight, rise
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.discriminator = layers.to(device)

    def loss(self, first: Tensor, second: Tensor, progress: float | None = None) -> Aligned:
        """The term, with the gradients of both players; reported: cross-entropy and balanced accuracy of the discriminator (0.5: indistinguishable)."""
        factor = self.weight * _risen(progress, self.rise) * (1.0 if progress is None else reversal_at(progress))
        one, other = (self.discriminator(_Reverse.apply(features, factor)).squeeze(1) for features in (first, second))
        cross_entropy = (functional.softplus(one).mean() + functional.softplus(-other).mean()) / 2
        accuracy = (_share_below(one) + _share_below(-other)) / 2
        value = factor * (math.log(2) - cross_entropy.detach()).clamp_min(0)
        return Aligned(value + (cross_entropy - cross_entropy.detach()), {"domain_loss": cross_entropy.detach(), "domain_accuracy": accuracy})

    def parameters(self) -> list[nn.Parameter]:
        """Those of the discriminator."""
        return list(self.discriminator.parameters())

    def state_dict(self) -> dict[str, Any]:
        """The discriminator's weights."""
        return self.discriminator.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up weights of `state_dict`."""
        self.discriminator.load_state_dict(state)


def reversal_at(progress: float) -> float:
    """Factor on the reversed gradient: 2 / (1 + exp(-10 p)) - 1, from 0 at the beginning to nearly 1 (Ganin et al. 2016, section 5.2.2)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def _share_below(logits: Tensor) -> Tensor:
    """Share of logits below 0; a tie is half a hit."""
    return ((logits < 0).float() + 0.5 * (logits == 0).float()).mean()


class _Reverse(torch.autograd.Function):
    """The values as they are; their gradient times -`factor`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None
