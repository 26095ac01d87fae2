"""Layers that do not learn: no gradient, no optimiser state, no weight decay, and running statistics that stay as they are."""

from collections.abc import Sequence

from torch import nn

from tuningfork.errors import ModelError
from tuningfork.training.parts import belongs, layer_groups, unknown_part

__all__ = ["freeze", "frozen_parameters", "keep_frozen"]


def frozen_parameters(module: nn.Module, what: Sequence[str] | int) -> dict[str, nn.Parameter]:
    """Parameters that `what` names.

    Parameters
    ----------
    what
        Names of parts or of parameters; or a number: that many of the network's own groups of layers, from the images on.

    Raises
    ------
    ModelError
        A name that fits no parameter (the nearest part is named), a network without groups of layers, or nothing is left to train.
    """
    if isinstance(what, int):
        groups = layer_groups(module, "freeze") if what else []
        if what and what >= len(groups):
            raise ModelError(f"recipe: freeze: the network has {len(groups)} groups of layers; to freeze {what} leaves nothing to train")
        members = {id(parameter) for group in groups[:what] for parameter in group}
        return {name: parameter for name, parameter in module.named_parameters() if id(parameter) in members}
    found: dict[str, nn.Parameter] = {}
    for prefix in what:
        chosen = {name: parameter for name, parameter in module.named_parameters() if belongs(name, prefix)}
        if not chosen:
            raise unknown_part("freeze", prefix, module)
        found |= chosen
    return found


def freeze(module: nn.Module, what: Sequence[str] | int) -> list[str]:
    """Take the parameters that `what` names (see `frozen_parameters`) out of the training; returns their names.

    Raises
    ------
    ModelError
        As `frozen_parameters`; and if no parameter is left to train.
    """
    chosen = frozen_parameters(module, what)
    for parameter in chosen.values():
        parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ModelError("recipe: freeze: every parameter is frozen, nothing is left to train")
    return list(chosen)


def keep_frozen(module: nn.Module, what: Sequence[str] | int) -> None:
    """Put the frozen parts in evaluation mode (running statistics and dropout); to be called after every ``module.train()``.

    Frozen are the parts that are named, and every part all of whose parameters are frozen, with all that is below it.
    """
    chosen = frozen_parameters(module, what)
    if not chosen:
        return
    frozen = {id(parameter) for parameter in chosen.values()}
    for name, part in module.named_modules():
        own = [id(parameter) for parameter in part.parameters()]
        named = not isinstance(what, int) and any(belongs(name, prefix) for prefix in what)
        if name and (named or (own and frozen.issuperset(own))):
            part.eval()
