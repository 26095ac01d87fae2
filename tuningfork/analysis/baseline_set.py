"""Which baselines a sample allows, fitted on given training rows and predicting given other rows."""

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from tuningfork.analysis import baselines
from tuningfork.analysis.rows import Rows

log = logging.getLogger(__name__)
PIXEL_ROWS = 6000
"""Training rows of the baselines that see pixels; more are thinned evenly (their error no longer falls, their memory grows)."""


class StampArrays(Protocol):
    """What is needed of `tuningfork.stamps.store.StampSet`."""

    @property
    def scalars(self) -> Mapping[str, np.ndarray]:
        """Measurements of each stamp."""
        ...

    def index_of(self, ids: np.ndarray) -> np.ndarray:
        """Positions of object ids."""
        ...

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Stamps (n, C, H, W) at positions."""
        ...


def fit_baselines(rows: Rows, train: np.ndarray, wanted: np.ndarray, task: str, seed: int, stamps: StampArrays | None = None) -> dict[str, np.ndarray]:
    """Predictions (wanted.sum(), K) of every baseline that the sample allows.

    Parameters
    ----------
    rows : Rows
        Objects with labels.
    train, wanted : (N,) bool arrays
        Rows to fit on (labelled, with a usable stamp: the network's own) and rows to predict. Empty `train` gives no baseline.
    stamps : StampSet, optional
        For ``border pixels`` and ``picture features``.

    Returns
    -------
    dict
        ``mean``; ``filter mean`` with more than one band; ``size and magnitude`` where the table has such numbers; the two above with stamps.
    """
    if not train.any():
        log.warning("no labelled training rows in this sample: no baselines")
        return {}
    observed = rows.observed[train]
    result = {"mean": baselines.mean_prediction(observed, int(wanted.sum()))}
    if "band" in rows.objects and len(np.unique(band := np.asarray(rows.objects["band"]).astype(str))) > 1:
        result["filter mean"] = baselines.group_mean_prediction(observed, band[train], band[wanted])
    if any(np.isfinite(np.asarray(rows.objects[name], float)[train]).any() for name in ("mag", "stamp_arcsec", "snr") if name in rows.objects):
        seen = baselines.table_features(rows.objects)
        result["size and magnitude"] = _bounded(baselines.fit_predict_forest(seen[train], observed, seen[wanted], seed), task)
    if stamps is not None:
        ids = np.asarray(rows.objects["object_id"])
        fit = np.flatnonzero(train)
        fit = fit[np.linspace(0, len(fit) - 1, min(PIXEL_ROWS, len(fit))).astype(int)]
        for name, function in (("border pixels", baselines.border_features), ("picture features", baselines.picture_features)):
            features = [_pixel_features(stamps, ids[chosen], function) for chosen in (fit, np.flatnonzero(wanted))]
            result[name] = _bounded(baselines.fit_predict_ridge(features[0], rows.observed[fit], features[1]), task)
    return result


def _bounded(predicted: np.ndarray, task: str) -> np.ndarray:
    return predicted if task == "regression" else baselines.to_fractions(predicted)


def _pixel_features(stamps: StampArrays, ids: np.ndarray, function: Callable[[np.ndarray], np.ndarray], batch: int = 1024) -> np.ndarray:
    """Features of stamps, batch by batch; measured pixels first as asinh of signal to noise, since surface brightness spans decades."""
    indices = np.asarray(stamps.index_of(ids))
    parts = []
    for start in range(0, len(indices), batch):
        some = indices[start : start + batch]
        pixels = np.asarray(stamps.take(some))
        if pixels.dtype.kind == "f" and {"sky", "sky_sigma"} <= set(stamps.scalars):
            sky, sigma = (np.nan_to_num(np.asarray(stamps.scalars[n], float)[some])[:, None, None, None] for n in ("sky", "sky_sigma"))
            pixels = np.arcsinh((pixels - sky) / np.where(sigma > 0, sigma, 1.0))
        parts.append(function(np.nan_to_num(pixels)))
    return np.concatenate(parts)
