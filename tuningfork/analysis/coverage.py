"""What a calibration is worth: on rows that neither the network nor the calibration has seen, how often sets and intervals hold the label, how wide
they are, overall and by group, and the calibration error of the probabilities before and after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuningfork.analysis import metrics
from tuningfork.analysis.bootstrap import difference, jsonable
from tuningfork.analysis.bootstrap import interval as bootstrap_interval
from tuningfork.analysis.calibration import SEPARATOR, apply_calibration, matrix_of
from tuningfork.analysis.rows import Columns, Rows, join, resampling_groups
from tuningfork.analysis.section import MIN_ROWS, headline, headline_name, names_of
from tuningfork.shares import wilson

__all__ = ["coverage_report", "covered_and_size", "share"]


def coverage_report(
    objects: Columns,
    predictions: Columns,
    calibration: Mapping[str, Any],
    *,
    seed: int,
    sample: str = "",
    label: str = "label",
    groups: str = "group_id",
    by: Sequence[str] = ("band",),
    split: str = "test",
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Any] | None:
    """Coverage, size and calibration error on the rows of `split`; None where there are none with a label and a prediction.

    Parameters
    ----------
    objects, predictions : mapping of arrays
        As in `rows.join`; the predictions as the networks gave them.
    calibration
        What `calibrate.fit_calibration` gave.
    sample : str
        The sample that is judged: where it is another one than that of the calibration, the promise does not hold for it.
    by : sequence of str
        Breakdowns, as in `evaluate.evaluate`; groups of fewer than five rows are left out.

    Returns
    -------
    dict
        JSON-able. ``coverage``: share of labels inside (over all targets of fractions and regressions), with the interval of `share`; ``size``:
        mean number of classes in a set; ``width``: mean width of the intervals of each target (null if they are infinite); ``targets``; ``by``;
        ``levels``: coverage at each level that the calibration holds; ``temperature``, and the calibration error ``before`` and ``after`` it.
    """
    targets, task = list(calibration["targets"]), str(calibration["task"])
    rows = join(objects, predictions, targets, task, label)
    chosen = rows.comparable & rows.split(split)
    if not chosen.any():
        return None
    column, group = resampling_groups(rows.objects, chosen, groups)
    found = _Judged(rows, chosen, calibration, group, seed, resamples, level)
    asked = calibration["coverage"]
    covered, size = covered_and_size(found.columns(), found.observed, calibration)
    report: dict[str, Any] = {
        "asked": asked,
        "calibrated_on": {"sample": calibration["sample"], **calibration["rows"]},
        "judged_on": {"sample": sample or calibration["sample"], "split": split, "n": int(chosen.sum()), "groups": column},
        "realised": calibration["realised"],
        "coverage": share(covered.mean(axis=1), group, level),
        "targets": {} if task == "classes" else {t: _of_target(found, covered[:, k], size[:, k], t, calibration) for k, t in enumerate(targets)},
        "by": {name: table for name in by if (table := _breakdown(found, covered, size, name, task))},
        "levels": _levels(found, calibration),
        "temperature": None,
    }
    if task == "classes":
        counts = np.bincount(size[:, 0].astype(int), minlength=len(targets) + 1)
        report |= {"size": found.mean(size[:, 0]), "sizes": {str(k): int(c) for k, c in enumerate(counts) if c}, "method": calibration["set"]["method"]}
    if calibration["temperature"] is not None:
        report["temperature"] = _temperature(found, calibration, targets, task)
    return report


def share(inside: np.ndarray, groups: np.ndarray, level: float = 0.95) -> dict[str, Any]:
    """A share of rows with Wilson's interval on the effective number of rows: ``{value, lo, hi, n, n_groups}``.

    Rows of one group are not independent: the effective number is p (1 - p) over the variance of the share between groups (linearised), as for
    clustered surveys (Korn & Graubard 1998, Survey Methodology 24, 193), at most the number of rows; that of the groups where all rows agree.

    Parameters
    ----------
    inside : ndarray, shape (N,)
        0 or 1, or a fraction between.
    groups : ndarray, shape (N,)
    """
    inside = np.asarray(inside, float)
    n = len(inside)
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    n_groups = int(index.max(initial=-1)) + 1
    if n_groups < 2:
        return {"value": float(inside.mean()) if n else None, "lo": None, "hi": None, "n": n, "n_groups": n_groups}
    p = float(inside.mean())
    excess = np.bincount(index, weights=inside - p, minlength=n_groups)
    variance = n_groups / (n_groups - 1) * float((excess**2).sum()) / n**2
    effective = float(n_groups) if p in (0.0, 1.0) or variance <= 0 else max(1.0, min(float(n), p * (1 - p) / variance))
    return {**wilson(p * effective, effective, level), "value": p, "n": n, "n_groups": n_groups}


def covered_and_size(columns: Columns, observed: np.ndarray, calibration: Mapping[str, Any], coverage: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Whether the label is inside, and the size of the set or the width of the interval: (N, 1) each for classes, else (N, K).

    A fraction or a number on the end of its interval is inside. Widths may be infinite.
    """
    targets = list(calibration["targets"])
    made = apply_calibration(columns, calibration, coverage)
    if calibration["task"] == "classes":
        truth = np.array(targets)[np.argmax(observed, axis=1)].tolist()
        sets = [text.split(SEPARATOR) for text in made["set"].tolist()]
        return np.array([[name in chosen] for name, chosen in zip(truth, sets, strict=True)]), np.array([[len(chosen)] for chosen in sets], float)
    low, high = (matrix_of(made, [f"{target}_{end}" for target in targets]) for end in ("lo", "hi"))
    return (low <= observed) & (observed <= high), high - low


@dataclass(frozen=True)
class _Judged:
    """The rows that are judged, and how intervals are made of them."""

    rows: Rows
    chosen: np.ndarray
    calibration: Mapping[str, Any]
    group: np.ndarray
    seed: int
    resamples: int
    level: float

    @property
    def observed(self) -> np.ndarray:
        return self.rows.observed[self.chosen]

    def columns(self) -> dict[str, np.ndarray]:
        return {name: values[self.chosen] for name, values in self.rows.predictions.items()}

    def interval(self, statistic: metrics.Statistic, here: np.ndarray | slice = slice(None)) -> dict[str, object]:
        return bootstrap_interval(statistic, self.group[here], self.seed, resamples=self.resamples, level=self.level).as_json()

    def mean(self, values: np.ndarray, here: np.ndarray | slice = slice(None)) -> dict[str, object] | None:
        return self.interval(metrics.mean_of(values[here]), here) if np.isfinite(values[here]).all() else None


def _of_target(found: _Judged, covered: np.ndarray, width: np.ndarray, target: str, calibration: Mapping[str, Any]) -> dict[str, Any]:
    how = calibration["intervals"][target]
    return {"method": how["method"], "coverage": share(covered, found.group, found.level), "width": found.mean(width)}


def _breakdown(found: _Judged, covered: np.ndarray, size: np.ndarray, name: str, task: str) -> dict[str, Any]:
    names = names_of(found.rows, name)
    if names is None:
        return {}
    names, what = names[found.chosen], "size" if task == "classes" else "width"
    table = {}
    for value in np.unique(names):
        here = names == value
        if value != "" and here.sum() >= MIN_ROWS:
            table[str(value)] = {"coverage": share(covered[here].mean(axis=1), found.group[here], found.level), what: found.mean(size.mean(axis=1), here)}
    return table


def _levels(found: _Judged, calibration: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = found.columns()
    kept = calibration["set"] if calibration["task"] == "classes" else next(iter(calibration["intervals"].values()))
    lines = []
    for name in sorted(kept["levels"], key=float):
        covered, _ = covered_and_size(columns, found.observed, calibration, float(name))
        lines.append({"level": float(name), **share(covered.mean(axis=1), found.group, found.level)})
    return lines


def _temperature(found: _Judged, calibration: Mapping[str, Any], targets: list[str], task: str) -> dict[str, Any]:
    """The temperature, and on the judged rows: calibration error, likelihood, headline, and reliability, before and after."""
    before = matrix_of(found.columns(), targets)
    after = matrix_of(apply_calibration(found.columns(), calibration), targets)
    y = found.observed
    of: dict[str, Any] = {
        "calibration_error": lambda p: metrics.calibration_error(p, y),
        "kl_divergence": lambda p: metrics.mean_of(metrics.kl_divergence(p, y)),
        headline_name(task): lambda p: headline(task, p, y),
    }
    result: dict[str, Any] = {"value": calibration["temperature"]["value"], "reason": calibration["temperature"].get("reason", "")}
    for name, make in of.items():
        first, second = make(before), make(after)
        result[name] = {"before": found.interval(first), "after": found.interval(second), "difference": found.interval(difference(second, first))}
    sure = {side: (p.max(axis=1), y[np.arange(len(y)), p.argmax(axis=1)]) for side, p in (("before", before), ("after", after))}
    result["confidence"] = {side: jsonable(metrics.reliability(*pair)) for side, pair in sure.items()}
    return result
