"""Networks by name: a new network is one new file in this package with a builder under `@register("name")`.

The argument of the decorator is a literal string, so that the configuration can find the names by parsing the files without importing torch.
"""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

import tuningfork.networks
from tuningfork.errors import ModelError

__all__ = ["available", "build", "register"]

Builder = TypeVar("Builder", bound=Callable[..., nn.Module])

_BUILDERS: dict[str, Callable[..., nn.Module]] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Give the builder function below this decorator a name in the configuration.

    Parameters
    ----------
    name : str
        A literal string. A name such as ``"timm:<model>"`` stands for every name that begins with ``timm:``; its builder gets what follows as
        the keyword `model`.

    Raises
    ------
    ModelError
        Two different builders claim one name.
    """

    def remember(builder: Builder) -> Builder:
        other = _BUILDERS.get(name)
        if other is not None and (other.__module__, other.__qualname__) != (builder.__module__, builder.__qualname__):
            raise ModelError(f"network '{name}' is registered twice: in {other.__module__} and in {builder.__module__}")
        _BUILDERS[name] = builder
        return builder

    return remember


def available() -> list[str]:
    """The names of all networks, sorted; imports every module of this package."""
    for module in pkgutil.iter_modules(tuningfork.networks.__path__):
        importlib.import_module(f"{tuningfork.networks.__name__}.{module.name}")
    return sorted(_BUILDERS)


def build(name: str, *, in_channels: int, n_outputs: int, image_size: int, seed: int | None = None, **options: Any) -> nn.Module:
    """Build a network with fresh weights.

    Parameters
    ----------
    name : str
        One of `available()`.
    in_channels : int
        Planes of an image.
    n_outputs : int
        Logits an image: fractions, classes or regression targets. An autoencoder has none: 0.
    image_size : int
        Side of the square image, pixels.
    seed : int, optional
        Draw the initial weights from this seed and leave torch's global generator as it was; without it the global generator is used.
    **options
        The network's own options.

    Returns
    -------
    torch.nn.Module
        Maps images (N, C, H, W) to logits (N, n_outputs); no softmax, no sigmoid.

    Raises
    ------
    ModelError
        Unknown name or option, or an image too small for the network.
    """
    builder, given = _find(name)
    allowed = [key for key in inspect.signature(builder).parameters if key not in ("in_channels", "n_outputs", "image_size", "model")]
    for option in options:
        if option not in allowed:
            raise ModelError(f"network '{name}' has no option '{option}'{_nearest(option, allowed)}; its options: {', '.join(allowed) or 'none'}")
    sizes = {"in_channels": in_channels, "n_outputs": n_outputs, "image_size": image_size}
    if seed is None:
        return builder(**sizes, **given, **options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return builder(**sizes, **given, **options)


def _find(name: str) -> tuple[Callable[..., nn.Module], dict[str, str]]:
    names = available()
    if name in names and "<" not in name:
        return _BUILDERS[name], {}
    for pattern in names:
        prefix, _, rest = pattern.partition("<")
        if rest and name.startswith(prefix) and name not in (prefix, pattern):
            return _BUILDERS[pattern], {"model": name[len(prefix) :]}
    raise ModelError(f"no network is called '{name}'{_nearest(name, names)}; available: {', '.join(names)}")


def _nearest(word: str, words: list[str]) -> str:
    near = difflib.get_close_matches(word, words, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
