"""A model on disk: weights, history and ``model.json``; the JSON is written last, so that a folder with it is whole."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from tuningfork.files import atomic_path, sha256_of, write_json, write_text
from tuningfork.networks.weights import read_weights, save_weights

__all__ = ["FORMAT", "HISTORY", "write_model"]

FORMAT = 1
HISTORY = ("epoch", "learning_rate", "train_loss", "validation_loss", "seconds")


def write_model(
    out_dir: Path, module: nn.Module, record: Mapping[str, Any], history: Sequence[Mapping[str, float]], further: Mapping[str, Tensor] | None = None
) -> None:
    """Write ``weights.safetensors``, ``history.csv`` and ``model.json`` (with the digest of the weights) to `out_dir`.

    Parameters
    ----------
    module
        The network with its final weights.
    record
        JSON-able description, without ``format`` and ``weights_sha256``.
    history
        One row an epoch, with the keys of `HISTORY`, and those of the parts of the loss where it has parts.
    further
        Tensors that stand beside the network's in the file of the weights (the latents of `tuningfork.training.latents`).
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    weights = out_dir / "weights.safetensors"
    save_weights(module, weights)
    if further:
        everything = {**read_weights(weights), **further}
        with atomic_path(weights) as part:
            save_file(everything, part, metadata={"format": "pt"})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]) if history else HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(out_dir / "history.csv", text.getvalue())
    write_json(out_dir / "model.json", {"format": FORMAT, **record, "weights_sha256": sha256_of(weights)})
