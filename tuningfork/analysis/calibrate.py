"""Fit a calibration to a model's validation rows: a temperature for its probabilities, quantiles for its sets and intervals.

Validation rows alone: the network has not learned from them, and the test rows stay untouched to say how well it worked. Two things keep them
from being quite like new objects. They chose the epoch, so their errors are a little too small; and rows of one galaxy, or of one field, stand
together. Where a model has folds its validation rows have out-of-fold predictions, by networks that neither learned from them nor were chosen by
them, but have seen fewer galaxies than the main one: their errors are as a rule a little too large, and the coverage with them, though nothing
promises that they are like those of the main network. The temperature is fitted to the same rows as the quantiles; it is a single number. What
the calibration is worth is measured on the test rows (`coverage`).
"""

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tuningfork.analysis import conformal
from tuningfork.analysis.calibration import FORMAT, level_name, matrix_of
from tuningfork.analysis.rows import Columns, Rows, join
from tuningfork.analysis.temperature import fit_temperature, scale

__all__ = ["LEVELS", "fit_calibration"]

log = logging.getLogger(__name__)

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Coverages that are kept beside the one asked for."""


def fit_calibration(
    objects: Columns,
    predictions: Columns,
    *,
    targets: Sequence[str],
    task: str,
    coverage: float = 0.9,
    temperature: bool | None = None,
    class_conditional: bool = False,
    model: str = "",
    sample: str = "",
    label: str = "label",
) -> dict[str, Any]:
    """Calibration of a model from the validation rows of the sample that it was trained on.

    Parameters
    ----------
    objects, predictions : mapping of arrays
        objects.parquet and predictions.parquet, as in `rows.join`.
    targets, task, label
        As in `rows.join`.
    coverage : float
        Probability, between 0 and 1, with which sets and intervals shall hold the label.
    temperature : bool, optional
        Scale probabilities; default: those of classes only. Fractions are then what the network says, for the loss that they are trained with
        is not the likelihood that a temperature minimises.
    class_conditional : bool
        Of classes: a quantile for each class, from its own rows, so that each is covered; a class with too few rows is then in every set.
    model, sample : str
        Names, for the record.

    Returns
    -------
    dict
        JSON-able; `calibration.apply_calibration` takes it.
    """
    rows = join(objects, predictions, targets, task, label)
    chosen = rows.comparable & rows.split("validation")
    columns = {name: values[chosen] for name, values in rows.predictions.items()}
    observed, n = rows.observed[chosen], int(chosen.sum())
    folded = int((rows.fold()[chosen] >= 0).sum())
    found: dict[str, Any] = {
        "format": FORMAT,
        "model": model,
        "sample": sample,
        "task": task,
        "targets": list(targets),
        "coverage": coverage,
        "rows": {"n": n, "split": "validation", "out_of_fold": folded, "galaxies": _galaxies(rows, chosen)},
        "realised": dict(zip(("lo", "hi"), conformal.realised_coverage(n, coverage), strict=True)) | {"level": 0.9},
        "temperature": None,
    }
    if task != "regression" and (temperature if temperature is not None else task == "classes"):
        found["temperature"] = _temperature(columns, observed, list(targets))
        p = scale(matrix_of(columns, list(targets)), found["temperature"]["value"])
        columns |= {target: p[:, k] for k, target in enumerate(targets)}
    levels = sorted({*LEVELS, coverage})
    if task == "classes":
        found["set"] = _class_quantiles(columns, observed, list(targets), levels, class_conditional)
    else:
        found["intervals"] = {
            target: _interval_quantiles(columns, target, observed[:, k], coverage, levels, spread=not folded) for k, target in enumerate(targets)
        }
    log.info("calibrated on %d validation rows (%d of them out of fold); asked for coverage %g", n, folded, coverage)
    return found


def _galaxies(rows: Rows, chosen: np.ndarray) -> int | None:
    return len(np.unique(np.asarray(rows.objects["galaxy_id"])[chosen])) if "galaxy_id" in rows.objects else None


def _temperature(columns: Columns, observed: np.ndarray, targets: list[str]) -> dict[str, Any]:
    if any(f"{target}_sigma" in columns for target in targets):
        # a network with a likelihood of its own for the votes is calibrated by that; scaled means would not fit its errors
        return {"value": 1.0, "reason": "the network gives its own errors"}
    p = matrix_of(columns, targets) if len(observed) else np.zeros((0, len(targets)))
    fitted = fit_temperature(p, observed)
    likelihood = {"before": fitted.before, "after": fitted.after} if fitted.n else None
    return {"value": fitted.value, "n": fitted.n, "negative_log_likelihood": likelihood, "reason": fitted.reason}


def _class_quantiles(columns: Columns, observed: np.ndarray, targets: list[str], levels: list[float], class_conditional: bool) -> dict[str, Any]:
    p = matrix_of(columns, targets)
    scores, truth = conformal.set_scores(p, observed), np.argmax(observed, axis=1)
    own = {target: scores[truth == k] if class_conditional else scores for k, target in enumerate(targets)}
    return {
        "method": "least ambiguous set",
        "class_conditional": class_conditional,
        "rows": {target: int((truth == k).sum()) for k, target in enumerate(targets)},
        "levels": {level_name(level): {target: _finite(conformal.conformal_quantile(own[target], level)) for target in targets} for level in levels},
    }


def _interval_quantiles(columns: Columns, target: str, observed: np.ndarray, coverage: float, levels: list[float], *, spread: bool) -> dict[str, Any]:
    how = conformal.choose_method(columns, target, np.asarray(columns[target], float) - observed, coverage, spread=spread)
    scores = conformal.interval_scores(conformal.band_of(columns, target, how), observed)
    return {**how, "levels": {level_name(level): _finite(conformal.conformal_quantile(scores, level)) for level in levels}}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
