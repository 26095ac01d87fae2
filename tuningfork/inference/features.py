"""The features of a network for stamps: what goes into its last dense layer, or an autoencoder's latent means; for similarity, and to judge an adaptation."""

import copy
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from torch import Tensor, nn

from tuningfork.inference.load import Model
from tuningfork.inference.predict import predict
from tuningfork.training.arrays import Stamps
from tuningfork.training.objective import last_dense

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Features", "extract_features", "feature_columns", "feature_table"]

log = logging.getLogger(__name__)
AT_A_TIME = 8192
"""Objects whose features are held in double precision."""


class Features(TypedDict):
    """Row i of every array is about ``object_id[i]``: `status` as in `Predictions`; `features` (N, F) float32, NaN where there was no usable stamp."""

    object_id: np.ndarray
    status: np.ndarray
    features: np.ndarray


def extract_features(model: Model, stamps: Stamps, ids: Sequence[str] | np.ndarray | None = None, **options: Any) -> Features:
    """Features of stamps, averaged over the views of each that a prediction is averaged over.

    Parameters
    ----------
    model
        From `load_model`: an autoencoder (its latent means), or a network that ends in a dense layer (what goes into that).
    stamps, ids
        As for `predict`: ids wanted, in this order; default: all.
    **options
        Of `predict`: ``tta``, ``batch_size``, ``threads``, ``precision``, ``progress``.

    Raises
    ------
    ModelError
        The network has no dense layer at its end; and as `predict`.
    """
    network = _FeatureNetwork(model)
    # a model of its own whose outputs are the features: read, normalised, seen in the same views and refused as for any prediction
    view = dataclasses.replace(
        model,
        network=network,
        info=_supervised(model.info),
        task="regression",
        targets=tuple(feature_columns(network.count)),
        target_mean=np.zeros(network.count),
        target_std=np.ones(network.count),
        latents=None,
    )
    wanted = np.asarray(stamps.object_id if ids is None else ids)
    status, features = np.full(len(wanted), "", dtype="U32"), np.full((len(wanted), network.count), np.nan, dtype=np.float32)
    for start in range(0, len(wanted), AT_A_TIME):
        rows = slice(start, start + AT_A_TIME)
        found = predict(view, stamps, wanted[rows], **options)
        status[rows], features[rows] = found["status"], found["mean"]
    return Features(object_id=wanted, status=status, features=features)


def feature_columns(count: int) -> list[str]:
    """Names of the features: f_000, f_001, ..."""
    width = max(3, len(str(count - 1)))
    return [f"f_{number:0{width}d}" for number in range(count)]


def feature_table(found: Features, meta: Mapping[str, Any]) -> "Table":
    """object_id, status and the features as an astropy table; those without a usable stamp are masked."""
    from astropy.table import MaskedColumn, Table

    from tuningfork.tables import describe

    names = feature_columns(found["features"].shape[1])
    missing = ~np.isfinite(found["features"]).all(axis=1)
    columns = {name: MaskedColumn(values, mask=missing) for name, values in zip(names, found["features"].T, strict=True)}
    table = Table({"object_id": found["object_id"], "status": found["status"], **columns}, meta=dict(meta))
    describe(
        table,
        {
            "object_id": (None, "meta.id;meta.main", "the object that the row is about"),
            "status": (None, "meta.code.status", "status of the stamp; only ok and partial have features"),
            **{name: (None, "stat.fit.param", f"feature {int(name[2:])} of the network, mean over the views of the stamp") for name in names},
        },
    )
    return table


class _FeatureNetwork(nn.Module):
    """A network up to its features; `count` of them."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.unsupervised = copy.deepcopy(model.network), model.unsupervised
        self._seen: list[Tensor] = []
        if model.unsupervised:
            self.count = int(self.network.latent)  # type: ignore[arg-type]
        else:
            last = last_dense(self.network, model.name)
            self.count = last.in_features
            last.register_forward_pre_hook(lambda _, inputs: self._seen.append(inputs[0]))

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, C, H, W) to features (n, F)."""
        if self.unsupervised:
            return self.network.encode(images)[0]  # type: ignore[operator]
        self.network(images)
        return self._seen.pop().flatten(1)


def _supervised(info: Mapping[str, Any]) -> dict[str, Any]:
    """The same description, of a network that predicts numbers."""
    training = info.get("training", {})
    return {**info, "task": "regression", "head": None, "training": {**training, "recipe": {**training.get("recipe", {}), "loss": "mse"}}}
