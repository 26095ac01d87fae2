"""From a recipe to an optimiser: which parameter learns at which rate and with which weight decay."""

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import nn

from tuningfork.training.parts import belongs, layer_groups, unknown_part
from tuningfork.training.recipe import Group, Recipe

__all__ = ["make_optimizer"]


def make_optimizer(module: nn.Module, recipe: Recipe, beside: Sequence[nn.Parameter] = ()) -> torch.optim.Optimizer:
    """The recipe's optimiser over the parameters that are not frozen, one group for each learning-rate factor and weight decay.

    Adadelta takes the constants of Keras (rho .95, eps 1e-7), which are not torch's. With a `layer_decay` below 1 the rate falls by that factor
    from each of the network's groups of layers to the one before it (Bao et al. 2022, BEiT); the factors of `groups` come on top. Parameters
    `beside` the network (those of an adversary) are a last group, with the recipe's own rate and weight decay.

    Raises
    ------
    ModelError
        A prefix in `groups` that fits no parameter, or a `layer_decay` for a network without groups of layers.
    """
    spec = recipe.optimizer
    for prefix in spec.groups:
        if not any(belongs(name, prefix) for name, _ in module.named_parameters()):
            raise unknown_part("optimizer.groups", prefix, module)
    depth = _layer_factors(module, spec.layer_decay)
    kinds: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            fitting = [prefix for prefix in spec.groups if belongs(name, prefix)]
            group = spec.groups[max(fitting, key=len)] if fitting else Group()
            decay = spec.weight_decay if group.weight_decay is None else group.weight_decay
            if parameter.ndim < 2 and not spec.decay_biases:
                decay = 0.0
            factor = group.learning_rate_factor * depth.get(id(parameter), 1.0)
            kinds.setdefault((factor, decay), []).append(parameter)
    groups = [
        {"params": parameters, "lr": spec.learning_rate * factor, "weight_decay": decay, "base_lr": spec.learning_rate * factor}
        for (factor, decay), parameters in kinds.items()
    ]
    if beside:
        groups.append({"params": list(beside), "lr": spec.learning_rate, "weight_decay": spec.weight_decay, "base_lr": spec.learning_rate})
    # one kernel for all parameters: on a CPU the step of a small network with many layers would else be 7 % of its training
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in module.parameters())
    given: dict[str, Any] = {} if spec.eps is None else {"eps": spec.eps}
    if spec.name in ("adam", "adamw"):
        kind = _plain(torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW)
        return kind(groups, lr=spec.learning_rate, betas=(spec.beta1, spec.beta2), fused=fused, **given)
    if spec.name == "sgd":
        return _plain(torch.optim.SGD)(groups, lr=spec.learning_rate, momentum=spec.momentum, fused=fused)
    return _plain(torch.optim.Adadelta)(groups, lr=spec.learning_rate, rho=spec.rho, **{"eps": 1e-7, **given})


@cache
def _plain(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """The optimiser `kind` without the decorators that keep torch's compiler out of its methods.

    They import that compiler at the first call, which costs each training as much as torch itself (1.6 s and 70 MB here) and gives it nothing:
    there is no compiled graph that the methods could be kept out of. What they do besides, no gradients in `step`, is kept.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad")}
    return type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(inspect.unwrap(kind.step))})


def _layer_factors(module: nn.Module, layer_decay: float) -> dict[int, float]:
    """Factor on the learning rate by the id of each parameter; none where the rate does not fall."""
    if layer_decay == 1:
        return {}
    groups = layer_groups(module, "optimizer.layer_decay")
    return {id(parameter): layer_decay ** (len(groups) - 1 - depth) for depth, group in enumerate(groups) for parameter in group}
