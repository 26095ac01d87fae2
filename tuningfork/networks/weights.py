"""Weights in and out of a module: safetensors files only, every name and shape checked, so that weights of another network cannot slip in."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tuningfork.errors import ModelError
from tuningfork.files import atomic_path

__all__ = ["load_weights", "read_weights", "save_weights", "shape_of"]

log = logging.getLogger(__name__)

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
RECIPE = """python -c "import torch; from safetensors.torch import save_file; s = torch.load('{name}', map_location='cpu', weights_only=True); \
s = s.get('state_dict', s.get('model', s)); save_file({{k: v.contiguous().clone() for k, v in s.items() if torch.is_tensor(v)}}, '{stem}.safetensors')\""""
"""How to convert a pickle, in the environment that it comes from."""
SHOWN = 6
"""How many names a message lists before it only counts the rest."""


def save_weights(module: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the state of `module` to a safetensors file, atomically; the same weights give the same bytes, whatever their memory format."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with atomic_path(path) as part:
        save_file(state, part, metadata={"format": "pt"})


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a safetensors file to tensors by name, on the CPU.

    Raises
    ------
    ModelError
        No such file, or it is no safetensors file (a pickle is never opened), or it is cut short.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"no weights at {path}")
    if path.suffix.lower() in PICKLES:
        recipe = RECIPE.format(name=path.name, stem=path.stem)
        raise ModelError(f"{path} is a pickle, which can run any code when it is opened, and is not read; convert it where it comes from:\n  {recipe}")
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is not a whole safetensors file ({error}); pickled weights are not read: convert them first") from error


def load_weights(
    module: nn.Module, source: str | os.PathLike[str] | Mapping[str, Tensor], *, strict: bool = True, allow_head_mismatch: bool = False
) -> list[str]:
    """Put weights into `module`.

    Parameters
    ----------
    module : torch.nn.Module
        Changed only when all checks are passed.
    source : path or mapping of str to Tensor
        A safetensors file, or tensors by name.
    strict : bool
        Every tensor must be there, none more, all of the right shape. When False, what fits is loaded and the rest is logged.
    allow_head_mismatch : bool
        Tensors of the head (those below `module.head_names`) may be absent, of another shape, or more: for a transfer to other targets.

    Returns
    -------
    list of str
        Names of the tensors of `module` that keep the values they had, because nothing in `source` fits them.

    Raises
    ------
    ModelError
        The weights are of another network (the message lists names and shapes), none of them fits, or some are not finite.
    """
    label, tensors = ("the weights given", dict(source)) if isinstance(source, Mapping) else (str(source), read_weights(source))
    own = module.state_dict()
    prefix = getattr(module, "weights_prefix", "")
    if prefix and not any(name.startswith(prefix) for name in tensors):
        # A file of the wrapped library's own, whose names do not know our wrapper.
        tensors = {prefix + name: tensor for name, tensor in tensors.items()}
    head = tuple(getattr(module, "head_names", ())) if allow_head_mismatch else ()

    # Old files lack the counters of batch normalisation, which nothing reads while a momentum is set.
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    extra = [name for name in tensors if name not in own]
    reshaped = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    fitting = {name: tensors[name] for name in own if name in tensors and own[name].shape == tensors[name].shape}

    if strict:
        problems = [
            *_listed("missing", [name for name in missing if not name.startswith(head)] if head else missing),
            *_listed("not in the network", [name for name in extra if not name.startswith(head)] if head else extra),
            *_listed(
                "of another shape",
                [f"{name} {shape_of(tensors[name])} instead of {shape_of(own[name])}" for name in reshaped if not (head and name.startswith(head))],
            ),
        ]
        if problems:
            raise ModelError(f"{label}: weights of another network ({getattr(module, 'name', type(module).__name__)} wanted): " + "; ".join(problems))
    body = [name for name in fitting if not name.endswith("num_batches_tracked")]
    if not body:
        raise ModelError(f"{label}: weights of another network: not one tensor fits {getattr(module, 'name', type(module).__name__)}")
    broken = [name for name, tensor in fitting.items() if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ModelError(f"{label}: weights that are not finite: " + "; ".join(_listed("in", broken)))

    module.load_state_dict(fitting, strict=False)
    kept = missing + reshaped
    if kept:
        log.info("%s: %d tensors loaded, fresh weights kept in %s", label, len(fitting), ", ".join(_listed("", kept)).strip())
    return kept


def shape_of(tensor: Tensor) -> str:
    """The shape of a tensor for messages: 64x3x7x7."""
    return "x".join(map(str, tensor.shape)) or "scalar"


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{what} {', '.join(names[:SHOWN])}{more}"]
