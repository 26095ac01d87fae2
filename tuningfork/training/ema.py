"""The exponential moving average of a network's weights, which is validated, chosen and saved in place of the weights that learn."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage", "decay_at"]


def decay_at(decay: float, updates: int) -> float:
    """The decay after `updates` earlier updates: min(`decay`, (1 + updates) / (10 + updates)).

    The average of a short training would otherwise still hold the first, random weights: 0.999 remembers a thousand steps, and with this rise
    (that of TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``) a tenth of those that there were.
    """
    return min(decay, (1 + updates) / (10 + updates))


class WeightAverage:
    """A second network of the same shape, in evaluation mode, whose weights follow those of the first.

    After every step of the optimiser: average = d * average + (1 - d) * weights, with d of `decay_at`. The running mean and variance of batch
    normalisation are averaged with the same d, so that they belong to the same stretch of steps as the weights that they stand beside: those of
    the last step alone would be the statistics of other activations. Counters (``num_batches_tracked``) are copied. What does not change
    (frozen layers) stays bit for bit as it is.

    Parameters
    ----------
    module
        The network that learns; the average begins as its copy, hooks included.
    decay
        Above 0 and below 1.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._learning = module
        self.module = copy.deepcopy(module).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        weight = 1 - decay_at(self.decay, self.updates)
        averages: list[Tensor] = []
        values: list[Tensor] = []
        for average, parameter in zip(self.module.parameters(), self._learning.parameters(), strict=True):
            if parameter.requires_grad:
                averages.append(average)
                values.append(parameter)
        for buffer, current in zip(self.module.buffers(), self._learning.buffers(), strict=True):
            if current.is_floating_point():
                averages.append(buffer)
                values.append(current)
            else:
                buffer.copy_(current)
        # a + w (b - a), which is exactly a where b = a; one call for all tensors
        torch._foreach_lerp_(averages, values, weight)
        self.updates += 1

    def state_dict(self) -> dict[str, Tensor | int | dict[str, Tensor]]:
        """Weights and number of updates: all that a resumed training needs."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take up a state of `state_dict`."""
        module, updates = state["module"], state["updates"]
        assert isinstance(module, Mapping) and isinstance(updates, int)
        self.module.load_state_dict(module)
        self.updates = updates
