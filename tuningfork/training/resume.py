"""The state of a training, on disk, so that an interrupted run goes on to the same weights: after an epoch, or between two steps of one."""

import logging
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tuningfork.files import atomic_path
from tuningfork.networks.weights import save_weights
from tuningfork.training.distributed import Group

__all__ = ["ResumeFolder", "UnderWay", "all_generators", "restore_generators"]

log = logging.getLogger(__name__)
FORMAT = 2


@dataclass
class UnderWay:
    """An epoch that has begun: its generator as it was before the first draw, and the losses of the steps so far, which also say how many there were.

    `order` and `beside` are drawn again from that generator; they are no part of the state.
    """

    generator: Tensor
    losses: list[Tensor] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    order: list[np.ndarray] = field(default_factory=list)
    beside: Sequence[np.ndarray | None] = ()

    @property
    def seconds(self) -> float:
        """Time spent on it, in this run and in those before."""
        return time.monotonic() - self.began

    def as_state(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {"generator": self.generator, "losses": torch.stack(self.losses).cpu(), "seconds": self.seconds}

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | None) -> "UnderWay | None":
        """What `as_state` gave, taken up now; None of None."""
        if state is None:
            return None
        return cls(state["generator"].cpu(), list(state["losses"].cpu()), time.monotonic() - state["seconds"])


def all_generators(group: Group, device: torch.device) -> dict[str, Tensor]:
    """States of torch's own generators (dropout, draws of latents) of every process, (size, n) each; all processes must call it."""
    found = {"rng": group.collected(torch.get_rng_state())}
    return {**found, "device_rng": group.collected(torch.cuda.get_rng_state(device))} if device.type == "cuda" else found


def restore_generators(state: Mapping[str, Tensor], group: Group, device: torch.device) -> None:
    """Set this process's generators to what `all_generators` had of it; those that a state of fewer processes or of another device lacks stay."""
    if len(state["rng"]) != group.size:
        log.warning("the state is of %d process(es), this training has %d: dropout will draw other numbers", len(state["rng"]), group.size)
    if group.rank < len(state["rng"]):
        torch.set_rng_state(state["rng"][group.rank].cpu().clone())  # a view into the others would crash torch
        if device.type == "cuda" and "device_rng" in state:
            torch.cuda.set_rng_state(state["device_rng"][group.rank].cpu().clone(), device)


class ResumeFolder:
    """One training's resume state: ``state.pt`` (tensors and plain values only) and the best weights so far, ``best-<epoch>.safetensors``.

    The best weights carry their epoch in their name and are written before the state that points at them, so that a run killed between the
    two still finds what its state promises.

    Parameters
    ----------
    path
        The folder; made when something is saved.
    fingerprint
        Digest of everything that decides the weights. A state with another fingerprint is not used.
    """

    def __init__(self, path: str | Path, fingerprint: str) -> None:
        self.path, self.fingerprint = Path(path), fingerprint

    @property
    def _state(self) -> Path:
        return self.path / "state.pt"

    def best(self, epoch: int) -> Path:
        """File of the best weights, which epoch `epoch` gave."""
        return self.path / f"best-{epoch}.safetensors"

    def load(self, device: torch.device, clean: bool = True) -> dict[str, Any] | None:
        """The saved state, or None where there is none that fits; `clean` removes what a killed run left half written."""
        for part in self.path.glob(".*.part") if clean else ():
            part.unlink(missing_ok=True)
        if not self._state.is_file():
            return None
        try:
            state = torch.load(self._state, map_location=device, weights_only=True)
        except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            log.warning("%s cannot be read (%s): the training starts from its beginning", self._state, str(error).splitlines()[0])
            return None
        if not isinstance(state, dict) or (state.get("format"), state.get("fingerprint")) != (FORMAT, self.fingerprint):
            log.warning("%s belongs to another training (recipe, data, seed or parent differ): starting from the beginning", self._state)
            return None
        if state["best_epoch"] and not self.best(state["best_epoch"]).is_file():
            log.warning("%s: its best weights are gone: starting from the beginning", self._state)
            return None
        return state

    def save_best(self, module: nn.Module, epoch: int) -> None:
        """Write the weights of the best epoch so far."""
        save_weights(module, self.best(epoch))

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state in one step; best weights that it does not point at are removed after that."""
        with atomic_path(self._state) as part:
            torch.save({**state, "format": FORMAT, "fingerprint": self.fingerprint}, part)
        for old in self.path.glob("best-*.safetensors"):
            if old != self.best(state["best_epoch"]):
                old.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the state, its weights, and the folder if nothing else is in it."""
        for file in [self._state, *self.path.glob("best-*.safetensors"), *self.path.glob(".*.part")]:
            file.unlink(missing_ok=True)
        try:
            self.path.rmdir()
        except OSError:
            pass
