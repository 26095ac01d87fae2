"""From a recipe to an optimiser, and the learning rate of every step as a pure function of its number (so that a resumed run needs no scheduler)."""

import difflib
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from tuningfork.errors import ModelError
from tuningfork.training.recipe import Group, Recipe

__all__ = ["freeze", "keep_frozen", "make_optimizer", "schedule_factors", "set_step"]

WARM_UP, ANNEAL = 0.425, 0.15
"""Parts of a one-cycle: as long down as up, then 15 % of the steps towards 1/1000 (Wu & Boada 2019)."""


def freeze(module: nn.Module, prefixes: Iterable[str]) -> None:
    """Take the parameters whose names start with one of `prefixes` out of the training; `ModelError` if one fits none."""
    for prefix in prefixes:
        chosen = [parameter for name, parameter in module.named_parameters() if _belongs(name, prefix)]
        if not chosen:
            raise _unknown_prefix("freeze", prefix, module)
        for parameter in chosen:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ModelError("recipe: freeze: every parameter is frozen, nothing is left to train")


def keep_frozen(module: nn.Module, prefixes: Iterable[str]) -> None:
    """Put the frozen parts in evaluation mode (running statistics and dropout); to be called after every ``module.train()``."""
    for name, part in module.named_modules():
        if name and any(_belongs(name, prefix) for prefix in prefixes):
            part.eval()


def make_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over the parameters that are not frozen, one group for each learning-rate factor and weight decay.

    Adadelta takes the constants of Keras (rho .95, eps 1e-7), which are not torch's.
    """
    spec = recipe.optimizer
    for prefix in spec.groups:
        if not any(_belongs(name, prefix) for name, _ in module.named_parameters()):
            raise _unknown_prefix("optimizer.groups", prefix, module)
    kinds: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            fitting = [prefix for prefix in spec.groups if _belongs(name, prefix)]
            group = spec.groups[max(fitting, key=len)] if fitting else Group()
            decay = spec.weight_decay if group.weight_decay is None else group.weight_decay
            if parameter.ndim < 2 and not spec.decay_biases:
                decay = 0.0
            kinds.setdefault((group.learning_rate_factor, decay), []).append(parameter)
    groups = [
        {"params": parameters, "lr": spec.learning_rate * factor, "weight_decay": decay, "base_lr": spec.learning_rate * factor}
        for (factor, decay), parameters in kinds.items()
    ]
    # one kernel for all parameters: on a CPU the step of a small network with many layers would else be 7 % of its training
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in module.parameters())
    given: dict[str, Any] = {} if spec.eps is None else {"eps": spec.eps}
    if spec.name in ("adam", "adamw"):
        kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
        return kind(groups, lr=spec.learning_rate, betas=(spec.beta1, spec.beta2), fused=fused, **given)
    if spec.name == "sgd":
        return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=spec.momentum, fused=fused)
    return torch.optim.Adadelta(groups, lr=spec.learning_rate, rho=spec.rho, **{"eps": 1e-7, **given})


def schedule_factors(schedule: str, step: int, total: int) -> tuple[float, float | None]:
    """(factor on the learning rate, momentum or None) of step 0 <= `step` < `total`.

    ``cosine`` falls from 1 to 0; ``one_cycle`` rises linearly from 1/10 to 1 and back while the momentum goes .95, .85, .95, then falls
    linearly to 1/1000.
    """
    where = step / max(total, 1)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * where)), None
    if schedule == "one_cycle":
        if where < 2 * WARM_UP:
            height = 1 - abs(where - WARM_UP) / WARM_UP
            return 0.1 + 0.9 * height, 0.95 - 0.1 * height
        return 0.1 + (0.001 - 0.1) * (where - 2 * WARM_UP) / ANNEAL, 0.95
    return 1.0, None


def set_step(optimizer: torch.optim.Optimizer, schedule: str, step: int, total: int) -> float:
    """Set learning rate (and momentum, in a one-cycle) of every group for this step; return the highest rate."""
    factor, momentum = schedule_factors(schedule, step, total)
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
        if momentum is not None and "momentum" in group:
            group["momentum"] = momentum
        elif momentum is not None and "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
    return max(group["lr"] for group in optimizer.param_groups)


def _belongs(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix if prefix.endswith(".") else prefix + ".")


def _unknown_prefix(key: str, prefix: str, module: nn.Module) -> ModelError:
    parts = [name for name, _ in module.named_modules() if name]
    near = difflib.get_close_matches(prefix, parts, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"its parts are {', '.join(name for name, _ in module.named_children())}"
    return ModelError(f"recipe: {key}: the network has no part {prefix!r}; {hint}")
