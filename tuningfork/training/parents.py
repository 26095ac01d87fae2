"""Where a training starts from: a model of this project, or a file of weights from elsewhere."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from tuningfork.errors import ModelError
from tuningfork.files import read_json, sha256_of
from tuningfork.networks.pretrained import start_from_tensors
from tuningfork.networks.weights import load_weights, read_weights
from tuningfork.training.heads import Head, head_of_record
from tuningfork.training.latents import split_tensors

__all__ = ["Parent", "find_parent"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parent:
    """Weights that a training starts from.

    Attributes
    ----------
    weights : Path
        Their safetensors file.
    sha256 : str
        Its digest.
    about : dict
        ``model.json`` of a model of this project, where there is one; of a file from elsewhere nothing is known.
    file : dict or None
        Of a file from elsewhere: ``prefix`` and ``first_layer`` (see `networks.pretrained.fit_tensors`).
    """

    weights: Path
    sha256: str
    about: Mapping[str, Any] = field(default_factory=dict)
    file: Mapping[str, Any] | None = None

    @property
    def key(self) -> Any:
        """What of the parent decides the first weights, JSON-able."""
        return self.sha256 if self.file is None else [self.sha256, self.file.get("prefix"), self.file.get("first_layer")]

    def load(self, module: nn.Module, network: Mapping[str, Any], targets: Sequence[str], head: Head) -> tuple[list[str], dict[str, Any]]:
        """Give `module` these weights; its head starts fresh where the parent has other targets, or means something else by its outputs.

        Returns
        -------
        list of str
            Names of the tensors that start fresh.
        dict
            What ``model.json`` says of the start.

        Raises
        ------
        ModelError
            The weights are of another network; the message says where they differ.
        """
        if self.file is not None:
            return self._load_file(module, self.file)
        fresh = self._load_model(module, network, targets, head)
        return fresh, {"name": self.about["name"], "weights_sha256": self.sha256}

    def _load_file(self, module: nn.Module, file: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
        how = {"first_layer": file.get("first_layer") or "adapt"}
        tensors, latents = split_tensors(read_weights(self.weights))
        if latents:
            log.info("%s: its latents, for the forest of an autoencoder, are not used: %s", self.weights, ", ".join(latents))
        fitted = start_from_tensors(module, tensors, str(self.weights), prefix=file.get("prefix"), **how)
        return fitted.fresh, {"file": self.weights.name, "sha256": self.sha256, "prefix": fitted.prefix, **how, "notes": fitted.notes}

    def _load_model(self, module: nn.Module, network: Mapping[str, Any], targets: Sequence[str], head: Head) -> list[str]:
        theirs = self.about.get("network")
        if theirs and theirs["name"] != network["name"]:
            message = f"{self.weights} is of network {theirs['name']!r}, this model is a {network['name']!r}"
            raise ModelError(f"{message}: give both the same network, or start from scratch")
        tensors, _ = split_tensors(read_weights(self.weights))
        layers = tuple(getattr(module, "head_names", ()))
        others = self.about.get("targets", list(targets)) != list(targets) or ("task" in self.about and self._head() != head)
        if others and layers:
            tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(layers)}
        fresh = load_weights(module, tensors, allow_head_mismatch=True)
        if fresh:
            reason = "its targets or what its outputs mean are others"
            log.info("starting from %s, but %s: %s start(s) from fresh weights", self.about["name"], reason, ", ".join(fresh))
        else:
            log.info("starting from the weights of %s, all layers", self.about["name"])
        return fresh

    def _head(self) -> Head:
        return head_of_record(self.about.get("head"), self.about["task"], len(self.about["targets"]))


def find_parent(weights: str | Path | None, file: Mapping[str, Any] | None = None) -> Parent | None:
    """The parent whose weights are at `weights`: a model with its ``model.json`` beside it, or, where `file` is given, a file from elsewhere.

    Raises
    ------
    ModelError
        No such file.
    """
    if weights is None:
        return None
    weights = Path(weights)
    if not weights.is_file():
        raise ModelError(f"no weights at {weights} to start from")
    if file is not None:
        return Parent(weights, sha256_of(weights), {}, dict(file))
    described = weights.with_name("model.json")
    about = read_json(described) if described.is_file() else {}
    return Parent(weights, sha256_of(weights), {"name": weights.parent.name, **about})
