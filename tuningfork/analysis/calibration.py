"""A fitted calibration applied to predictions: calibrated probabilities, intervals ``<target>_lo`` to ``<target>_hi``, and sets of classes.

Pure functions of columns and of what `calibrate.fit_calibration` wrote; predictions on disk stay as the networks gave them.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tuningfork.analysis.conformal import band_of, class_sets, interval
from tuningfork.analysis.temperature import scale
from tuningfork.errors import TuningforkError

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["FORMAT", "SEPARATOR", "apply_calibration", "calibrated_table", "level_name", "matrix_of"]

FORMAT = 1
SEPARATOR = "|"


def level_name(coverage: float) -> str:
    """The key of a coverage in calibration.json: ``0.9``."""
    return f"{coverage:g}"


def matrix_of(columns: Mapping[str, np.ndarray], names: list[str]) -> np.ndarray:
    """Columns side by side, (N, K) float."""
    return np.column_stack([np.asarray(columns[name], float) for name in names])


def apply_calibration(columns: Mapping[str, np.ndarray], calibration: Mapping[str, Any], coverage: float | None = None) -> dict[str, np.ndarray]:
    """Columns of predictions with what the calibration makes of them.

    Parameters
    ----------
    columns : mapping of arrays, shape (N,)
        Of ``predictions/{sample}.parquet``, NaN where there is no prediction.
    calibration
        What `calibrate.fit_calibration` gave.
    coverage
        Another coverage than the calibration's own, one of those that it holds.

    Returns
    -------
    dict
        All columns. Where a temperature is used, ``<target>`` is the calibrated probability and ``<target>_raw`` the one before. For fractions
        and regressions ``<target>_lo`` and ``<target>_hi``: NaN without prediction, 0 and 1 or infinite where the validation rows were too few
        to promise anything. For classes ``set``: the names of the classes in it joined by ``|``, the likeliest first, '' without prediction.

    Raises
    ------
    TuningforkError
        A calibration of another format, without that coverage, or of a model with other columns.
    """
    if calibration.get("format") != FORMAT:
        raise TuningforkError(f"calibration.json has format {calibration.get('format')!r}; this version reads format {FORMAT}: run calibrate_model again")
    targets, task = list(calibration["targets"]), calibration["task"]
    if missing := [name for name in targets if name not in columns]:
        raise TuningforkError(f"the predictions have no column {', '.join(missing)}: they are of another model than the calibration of {calibration['model']}")
    level = level_name(calibration["coverage"] if coverage is None else coverage)
    result = dict(columns)
    temperature = (calibration["temperature"] or {}).get("value", 1.0)
    if temperature != 1:
        raw = matrix_of(columns, targets)
        for number, target in enumerate(targets):
            result |= {target: scale(raw, temperature)[:, number], f"{target}_raw": raw[:, number]}
    if task == "classes":
        return result | {"set": _sets(matrix_of(result, targets), targets, _at(calibration["set"]["levels"], level))}
    bounds = (0.0, 1.0) if task == "fractions" else (-math.inf, math.inf)
    for target in targets:
        how = calibration["intervals"][target]
        low, high = interval(band_of(result, target, how), _number(_at(how["levels"], level)), bounds)
        result |= {f"{target}_lo": low, f"{target}_hi": high}
    return result


def calibrated_table(predictions: "Table", calibration: Mapping[str, Any]) -> "Table":
    """The same for a table as `tables.read` gives it: masked where not finite, with the units that its columns had."""
    from astropy.table import MaskedColumn

    columns = {name: _filled(predictions[name]) for name in predictions.colnames}
    table = predictions.copy()
    for name, values in apply_calibration(columns, calibration).items():
        if name in columns and values is columns[name]:
            continue
        target = name.rsplit("_", 1)[0]
        unit = predictions[name if name in columns else target].unit if name != "set" else None
        table[name] = MaskedColumn(values, mask=~np.isfinite(values), unit=unit) if values.dtype.kind == "f" else values
    return table


def _filled(column: Any) -> np.ndarray:
    values = np.ma.asarray(column)
    return np.ma.filled(values.astype(float), np.nan) if values.dtype.kind in "fiub" and np.ma.getmaskarray(values).any() else np.ma.getdata(values)


def _sets(probabilities: np.ndarray, targets: list[str], quantiles: Mapping[str, float | None]) -> np.ndarray:
    """The names of the classes in each set, (N,) str."""
    known = np.isfinite(probabilities).all(axis=1)
    inside = class_sets(np.where(known[:, None], probabilities, 0), np.array([_number(quantiles[target]) for target in targets]))
    names = np.array(targets)
    order = np.argsort(-np.where(known[:, None], probabilities, 0), axis=1, kind="stable")
    found = [SEPARATOR.join(names[row[chosen[row]]].tolist()) for row, chosen in zip(order, inside, strict=True)]
    return np.where(known, np.array(found, dtype=str) if found else np.zeros(0, "U1"), "")


def _at(levels: Mapping[str, Any], level: str) -> Any:
    if level not in levels:
        raise TuningforkError(f"calibration.json holds no coverage {level}; it has {', '.join(levels)}")
    return levels[level]


def _number(value: float | None) -> float:
    return math.inf if value is None else float(value)
