"""Weights in timm's names from a file, fitted to a network of ours: what is adapted, what starts anew and what is not used is all said, nothing is silent.

Torchvision's ResNets bear the same names as timm's, and Zoobot's encoders (Walmsley et al. 2023) are networks of timm.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tuningfork.errors import ModelError
from tuningfork.networks.weights import shape_of

__all__ = ["FIRST_LAYER", "Fitted", "adapt_channels", "fit_tensors", "start_from_tensors"]

log = logging.getLogger(__name__)

FIRST_LAYER = ("adapt", "fresh")
MOST_LISTED = 400
"""Lines of an error; a file of another network can have thousands of names."""
COUNTER = "num_batches_tracked"


@dataclass
class Fitted:
    """What a file of weights gives a network.

    Attributes
    ----------
    prefix : str
        What was taken off the beginning of the names in the file, '' if nothing.
    tensors : dict of str to Tensor
        By the names of the network, in its shapes and types.
    fresh : list of str
        Tensors of the network that keep their first, random values.
    notes : list of str
        What was adapted, starts anew or is not used, one line each.
    """

    prefix: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """The kernels of a first convolution (O, I, h, w) for images of another number of channels: (O, channels, h, w).

    One channel: the sum over those of the file. More: those of the file over and over, times I / channels. In both cases a grey image, the same in
    all channels, excites the first layer as it did before where `channels` is 1 or a multiple of I (timm's rule, there for I = 3).
    """
    count = weight.shape[1]
    if channels == count:
        return weight
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, torch.arange(channels) % count] * (count / channels)


def start_from_tensors(module: nn.Module, tensors: Mapping[str, Tensor], label: str, *, prefix: str | None = None, first_layer: str = "adapt") -> Fitted:
    """Put the tensors of a file into `module`, and say in the log what came of them; see `fit_tensors`."""
    fitted = fit_tensors(module, tensors, label, prefix=prefix, first_layer=first_layer)
    module.load_state_dict(fitted.tensors, strict=False)
    log.info("%s: %d tensors loaded%s", label, len(fitted.tensors), f", names without {fitted.prefix!r}" if fitted.prefix else "")
    for note in fitted.notes:
        log.info("%s: %s", label, note)
    return fitted


def fit_tensors(module: nn.Module, tensors: Mapping[str, Tensor], label: str, *, prefix: str | None = None, first_layer: str = "adapt") -> Fitted:
    """Fit the tensors of a file to a network, without changing it.

    The head (tensors below `module.head_names`) may be absent, of another size or more; the counters of batch normalisation may be absent; the first
    convolution may have another number of channels; a dense layer may be stored as a 1x1 convolution, or the other way round. Nothing else.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    tensors : mapping of str to Tensor
        By name, as in the file.
    label : str
        The file, for messages.
    prefix : str, optional
        Only names that begin so are taken, without it (with or without its last dot). If not given: what all names share, where the network knows the rest.
    first_layer : {'adapt', 'fresh'}
        The first convolution: adapted to the images' channels (`adapt_channels`), or fresh.

    Raises
    ------
    ModelError
        No tensor has the prefix; or tensors are missing, unknown, of another shape or kind, or not finite: the message lists them all.
    """
    if first_layer not in FIRST_LAYER:
        raise ModelError(f"from.first_layer: {first_layer!r} is not one of {', '.join(FIRST_LAYER)}")
    wrapper = getattr(module, "weights_prefix", "")  # timm's own names do not know our wrapper
    own = {name.removeprefix(wrapper): tensor for name, tensor in module.state_dict().items()}
    head = tuple(name.removeprefix(wrapper) for name in getattr(module, "head_names", ()))
    matches = _matches(tensors, own)
    prefix = _chosen(tensors, matches, label, prefix)
    given = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    fitted = Fitted(prefix)
    if outside := [name for name in tensors if not name.startswith(prefix)]:
        fitted.notes.append(f"not used, outside {prefix!r}: {', '.join(outside)}")
    first = _first_convolution(module, wrapper)
    if first_layer == "fresh" and first:
        dropped = [name for name in (f"{first}.weight", f"{first}.bias") if name in own]
        fitted.fresh += dropped
        fitted.notes.append(f"first_layer: fresh: {', '.join(dropped)} start(s) anew")
        given = {name: tensor for name, tensor in given.items() if name not in dropped}
    problems = _fit(fitted, own, given, head, f"{first}.weight" if first else "")
    if problems:
        raise ModelError(_refusal(module, label, prefix, problems, matches))
    broken = [name for name, tensor in fitted.tensors.items() if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ModelError(f"{label}: weights that are not finite: {_lines(broken)}")
    fitted.tensors = {wrapper + name: tensor for name, tensor in fitted.tensors.items()}
    fitted.fresh = [wrapper + name for name in fitted.fresh]
    return fitted


def _fit(fitted: Fitted, own: Mapping[str, Tensor], given: Mapping[str, Tensor], head: tuple[str, ...], first: str) -> list[str]:
    """Sort every tensor of both sides into `fitted`; what has no place is returned, one line a tensor."""
    problems, counters, dense = [], 0, 0
    anew, unused = list[str](), list[str]()
    for name, wanted in own.items():
        in_head, there = bool(head) and name.startswith(head), given.get(name)
        if name in fitted.fresh:
            continue
        if there is None and name.endswith(COUNTER):
            counters += not in_head
            continue
        what, tensor = _one(wanted, there, channels=name == first)
        if tensor is not None:
            fitted.tensors[name] = tensor
            if what == "dense":
                dense += 1
            elif what:
                fitted.notes.append(f"{name}: {what}")
        elif in_head:
            fitted.fresh.append(name)
            anew.append(f"{name} ({what})")
        else:
            problems.append(f"{name}: {what}")
    for name in given:
        if name not in own:
            where = f"in the file {shape_of(given[name])}, not in the network"
            if head and name.startswith(head):
                unused.append(f"{name} ({where})")
            else:
                problems.append(f"{name}: {where}")
    if anew:
        fitted.notes.append(f"the head starts anew: {', '.join(anew)}")
    if unused:
        fitted.notes.append(f"the file's head is not used: {', '.join(unused)}")
    if counters:
        fitted.notes.append(f"{counters} counters of batch normalisation ({COUNTER}) are not in the file; nothing reads them, they start at 0")
    if dense:
        fitted.notes.append(f"{dense} weights of dense layers were stored as 1x1 convolutions, or the other way round")
    return problems


def _one(wanted: Tensor, there: Tensor | None, *, channels: bool) -> tuple[str, Tensor | None]:
    """One tensor in the shape and type that is wanted, and what was done to it; None and the reason where it does not fit."""
    if there is None:
        return f"in the network {shape_of(wanted)}, not in the file", None
    what, shape = "", tuple(wanted.shape)
    if tuple(there.shape) != shape:
        if {there.ndim, wanted.ndim} == {2, 4} and (*there.shape, 1, 1)[:4] == (*shape, 1, 1)[:4]:
            what, there = "dense", there.reshape(shape)
        elif channels and there.ndim == 4 and there.shape[1] > 0 and (there.shape[0], *there.shape[2:]) == (shape[0], *shape[2:]):
            how = "summed" if shape[1] == 1 else f"repeated in turn, times {there.shape[1]}/{shape[1]}"
            what = f"adapted from {there.shape[1]} to {shape[1]} channel(s): kernels {how}"
            there = adapt_channels(there.float(), shape[1])
        else:
            return f"in the file {shape_of(there)}, in the network {shape_of(wanted)}", None
    if there.is_floating_point() != wanted.is_floating_point() and wanted.ndim > 0:
        return f"in the file {there.dtype}, in the network {wanted.dtype}", None
    return what, there.to(wanted.dtype)


def _first_convolution(module: nn.Module, wrapper: str) -> str:
    """Name of the convolution that sees the images, '' where the network has none."""
    found = ((name.removeprefix(wrapper), part) for name, part in module.named_modules() if isinstance(part, nn.Conv2d))
    name, part = next(found, ("", None))
    return name if part is not None and part.groups == 1 and part.in_channels == getattr(module, "in_channels", part.in_channels) else ""


def _matches(names: Iterable[str], own: Mapping[str, Tensor]) -> Counter[str]:
    """For each beginning of a name, how many names are the network's without it."""
    found: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        for k in range(min(len(parts), 8)):
            rest = ".".join(parts[k:])
            if rest in own:
                found[name.removesuffix(rest)] += 1
    return found


def _chosen(names: Iterable[str], matches: Counter[str], label: str, prefix: str | None) -> str:
    names = list(names)
    if prefix is None:
        shared = [part for part in matches if all(name.startswith(part) for name in names)]
        return max(sorted(shared, key=len), key=lambda part: matches[part], default="")
    prefix = prefix if not prefix or prefix.endswith(".") else prefix + "."
    if not any(name.startswith(prefix) for name in names):
        starts = sorted({name.split(".")[0] for name in names})
        raise ModelError(f"from.prefix: no tensor of {label} begins with {prefix!r}; they begin with {', '.join(starts[:20])}")
    return prefix


def _refusal(module: nn.Module, label: str, prefix: str, problems: list[str], matches: Counter[str]) -> str:
    name = getattr(module, "name", type(module).__name__)
    best = max(matches, key=lambda part: matches[part], default=prefix)
    hint = f"; {matches[best]} of its names are the network's behind {best!r}: set from.prefix to it" if matches[best] > matches[prefix] else ""
    return f"{label}: weights of another network ({name} wanted){hint}. {len(problems)} tensor(s) do not fit: {_lines(problems)}"


def _lines(found: list[str]) -> str:
    more = [f"and {len(found) - MOST_LISTED} more"] if len(found) > MOST_LISTED else []
    return "\n  " + "\n  ".join([*found[:MOST_LISTED], *more])
