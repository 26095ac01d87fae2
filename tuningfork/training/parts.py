"""Parts of a network, by the names of its parameters or by its own groups of layers."""

import difflib

from torch import nn

from tuningfork.errors import ModelError

__all__ = ["belongs", "layer_groups", "unknown_part"]


def belongs(name: str, prefix: str) -> bool:
    """Whether the parameter or module `name` is `prefix` or lies below it (``layer1`` does not hold ``layer10``)."""
    return name == prefix or name.startswith(prefix if prefix.endswith(".") else prefix + ".")


def unknown_part(key: str, prefix: str, module: nn.Module) -> ModelError:
    """The error for a `prefix` that no parameter of `module` has; it names the nearest part."""
    parts = [name for name, _ in module.named_modules() if name] + [name for name, _ in module.named_parameters()]
    near = difflib.get_close_matches(prefix, parts, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"its parts are {', '.join(name for name, _ in module.named_children())}"
    return ModelError(f"recipe: {key}: the network has no part {prefix!r}; {hint}")


def layer_groups(module: nn.Module, key: str) -> list[list[nn.Parameter]]:
    """The parameters in the network's own groups of layers (its method `layer_groups`), from the images to the outputs.

    Parameters
    ----------
    key
        Of the recipe that asks for them, for messages.

    Raises
    ------
    ModelError
        The network has no such groups, or they do not hold every parameter exactly once.
    """
    name = getattr(module, "name", type(module).__name__)
    tell = getattr(module, "layer_groups", None)
    if not callable(tell):
        raise ModelError(
            f"recipe: {key}: network {name!r} does not say how its layers are grouped (the ResNets and ConvNeXts do); "
            f"name its parts instead (in freeze or optimizer.groups): {', '.join(part for part, _ in module.named_children())}"
        )
    groups = [list(group) for group in tell()]
    counts: dict[int, int] = {}
    for parameter in (parameter for group in groups for parameter in group):
        counts[id(parameter)] = counts.get(id(parameter), 0) + 1
    if wrong := [own for own, parameter in module.named_parameters() if counts.get(id(parameter)) != 1]:
        raise ModelError(f"recipe: {key}: the groups of layers of network {name!r} do not hold {wrong[0]!r} exactly once ({len(wrong)} such parameters)")
    return groups
