"""The state of a training after its last whole epoch, on disk, so that an interrupted run goes on to the same weights."""

import logging
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tuningfork.files import atomic_path
from tuningfork.networks.weights import save_weights

__all__ = ["ResumeFolder"]

log = logging.getLogger(__name__)


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

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The saved state, or None where there is none that fits."""
        if not self._state.is_file():
            return None
        try:
            state = torch.load(self._state, map_location=device, weights_only=True)
        except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            log.warning("%s cannot be read (%s): the training starts from its beginning", self._state, str(error).splitlines()[0])
            return None
        if not isinstance(state, dict) or state.get("fingerprint") != self.fingerprint:
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
            torch.save({**state, "fingerprint": self.fingerprint}, part)
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
