"""The evaluation of one model as files: metrics, figures and the table for the report.

Everything is computed in `tuningfork.analysis` and drawn in `tuningfork.publishing`; here the two are joined.
"""

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuningfork.analysis.evaluate import compare, evaluate
from tuningfork.analysis.rows import Rows, join
from tuningfork.publishing import figures
from tuningfork.stamps.store import StampSet

SCALARS = ("snr", "zoom", "n_neighbours")
EXAMPLES = 12
BREAKDOWNS = ("band", "filter_group", "magnitude", "zoom")
METRIC_LABELS = {"per_sample_rmse": "per-sample RMSE", "mse": "mean squared error", "rmse": "RMSE"}
RANGES = ("UV", "optical", "NIR")


@dataclass(frozen=True)
class Evaluation:
    """One model on its own sample: what the figures are drawn from."""

    rows: Rows
    stamps: StampSet
    metrics: dict[str, Any]
    spec: Mapping[str, Any]


def evaluate_model(objects: dict[str, np.ndarray], predictions: Mapping[str, dict[str, np.ndarray]], stamps: StampSet, spec: Mapping[str, Any]) -> Evaluation:
    """Metrics of a model on its test rows and out of fold, and paired comparisons with other models.

    Parameters
    ----------
    objects
        Columns of objects.parquet.
    predictions
        Model name -> columns of its predictions for this sample; the model itself first.
    stamps
        The sample's stamps.
    spec
        ``model``, ``targets``, ``task``, ``seed``, ``simulated`` and ``vote_model``.
    """
    targets, task, seed, name = spec["targets"], spec["task"], spec["seed"], spec["model"]
    at = stamps.index_of(objects["object_id"])
    objects = {**objects, **{scalar: stamps.scalars[scalar][at] for scalar in SCALARS if scalar in stamps.scalars}}
    metrics: dict[str, Any] = evaluate(
        objects,
        predictions[name],
        targets=targets,
        task=task,
        seed=seed,
        stamps=stamps,
        vote_model=spec["vote_model"],
        assumed_votes=spec["assumed_votes"],
        by=(*BREAKDOWNS, *{"classes": ["label"], "regression": ["true value"]}.get(task, [])),
        simulated=spec["simulated"],
    )
    others = [other for other in predictions if other != name]
    metrics["model"] = name
    metrics["comparisons"] = {
        other: compare(objects, predictions[name], predictions[other], targets=targets, task=task, seed=seed, names=(name, other))
        for other in others
        if metrics["sections"]["test"]
    }
    return Evaluation(join(objects, predictions[name], targets, task), stamps, metrics, spec)


def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """Columns of a history.csv."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) if row[name] else np.nan for row in rows]) for name in (rows[0] if rows else ())}


def draw_learning_curves(histories: Mapping[str, Mapping[str, np.ndarray]], spec: Mapping[str, Any], path: str) -> None:
    """Training and validation loss of the model, its folds and the models beside it."""
    best = {name: int(history["epoch"][np.nanargmin(history["validation_loss"])]) for name, history in histories.items()}
    figures.save(
        figures.learning_curves(
            histories, best_epoch=best, loss_label=METRIC_LABELS.get(spec["loss"], spec["loss"].replace("_", " ")), simulated=spec["simulated"]
        ),
        path,
    )


def draw_comparison(found: Evaluation, path: str) -> None:
    """The headline metric of the model, its companions, the baselines and the floor."""
    figures.save(figures.metric_comparison(comparison_rows(found.metrics), metric_label=_metric_label(found), simulated=found.spec["simulated"]), path)


def comparison_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the comparison: model, out of fold, other models, baselines, floor; each with its interval."""
    rows: list[dict[str, Any]] = []

    def add(label: str, estimate: Mapping[str, Any], kind: str) -> None:
        rows.append({"label": label, "value": estimate["value"], "low": estimate["lo"], "high": estimate["hi"], "kind": kind})

    test, folded = metrics["sections"]["test"], metrics["sections"]["out_of_fold"]
    section = test or folded
    if section is None:
        return rows
    if test:
        add(metrics["model"], test["headline"], "network")
    if folded:
        add(f"{metrics['model']}, leave groups out", folded["headline"], "network")
    for other, comparison in metrics["comparisons"].items():
        add(other, comparison[other], "scratch" if "scratch" in other else "other")
    for name, baseline in section["baselines"].items():
        add(name, baseline["headline"], "baseline")
    for name, floor in section["floor"].items():
        add(f"noise of the labels ({name.replace('_', ' ')})", floor, "floor")
    return rows


def draw_groups(found: Evaluation, path: str) -> None:
    """The error by filter, magnitude and sampling; for classes also by the true class (there accuracy is the share that was found), for a
    regression by quarters of the true value.
    """
    section = _main_section(found.metrics)
    names = {
        "band": "filter",
        "filter_group": "wavelength range",
        "magnitude": "magnitude in the filter",
        "zoom": "zoom (output / native pixels)",
        "label": "true class",
        "true value": f"true {found.spec['targets'][0]}",
    }
    panels: dict[str, list[dict[str, Any]]] = {}
    for name, table in (section["by"] if section else {}).items():
        if len(table) < 2:  # one group says no more than the comparison
            continue
        beside = "filter mean" if any("filter mean" in entry["baselines"] for entry in table.values()) else "mean"
        panels[names.get(name, name)] = [
            {
                "group": group,
                "n": entry["headline"]["n"],
                "estimates": {found.spec["model"]: (entry["headline"]["value"], entry["headline"]["lo"], entry["headline"]["hi"])},
                "baselines": {beside: entry["baselines"][beside]["value"]} if beside in entry["baselines"] else {},
            }
            for group, entry in sorted(table.items(), key=lambda item: _in_order(item[0]))
        ]
    figures.save(figures.rmse_by(panels, metric_label=_metric_label(found), simulated=found.spec["simulated"]), path)


def _in_order(group: str) -> tuple[float, str]:
    """Filters and wavelength ranges from blue to red (HST names below 200 count in 10 nm, the others in nm), bins of numbers from low to high;
    other groups as they are named.
    """
    if group.startswith("< "):
        return -math.inf, group
    edge = re.match(r"(?:>= )?(-?[\d.]+(?:e[+-]?\d+)?)(?: |$)", group)
    if edge:
        return float(edge[1]), group
    if group in RANGES:
        return RANGES.index(group), group
    number = re.fullmatch(r"f(\d{3})\w+", group)
    return (int(number[1]) * (10 if int(number[1]) < 200 else 1), group) if number else (0, group)


def draw_calibration(found: Evaluation, path: str) -> None:
    """Reliability of probabilities; for regression, predicted against true values with their spread."""
    chosen, spec = _shown_rows(found), found.spec
    if spec["task"] == "regression":
        _scatter(found, chosen, path, with_error=True)
        return
    predicted, observed, classes = found.rows.predicted[chosen], found.rows.observed[chosen], spec["task"] == "classes"
    figures.save(figures.calibration(predicted, observed, spec["targets"], classes=classes, simulated=spec["simulated"]), path)


def draw_confusion(found: Evaluation, path: str) -> None:
    """Confusion of the clear cases; for regression, predicted against true values."""
    spec, section = found.spec, _main_section(found.metrics)
    if spec["task"] == "regression":
        _scatter(found, _shown_rows(found), path, with_error=False)
        return
    counts = section["confusion"]["counts"] if section and section["confusion"]["counts"] else np.zeros((len(spec["targets"]),) * 2, int)
    truth = "most votes" if spec["task"] == "fractions" else "true class"
    figures.save(figures.confusion(counts, spec["targets"], truth_label=truth, simulated=spec["simulated"]), path)


def draw_examples(found: Evaluation, path: str) -> None:
    """Test stamps from well to badly predicted, evenly over the ranks."""
    rows, spec = found.rows, found.spec
    chosen = np.flatnonzero(_shown_rows(found))
    error = np.sqrt(np.mean((rows.predicted[chosen] - rows.observed[chosen]) ** 2, axis=1))
    ranked = chosen[np.argsort(error, kind="stable")]
    shown = ranked[np.unique(np.linspace(0, max(len(ranked) - 1, 0), min(EXAMPLES, len(ranked))).astype(int))] if len(ranked) else ranked
    ids = rows.objects["object_id"][shown]
    pixels = found.stamps.take(found.stamps.index_of(ids)) if len(shown) else np.zeros((0, 1, 8, 8))
    if spec["task"] == "regression":
        titles = [f"{name}\n{rows.predicted[row, 0]:.3f} (true {rows.observed[row, 0]:.3f})" for name, row in zip(ids.tolist(), shown.tolist(), strict=True)]
        figures.save(figures.stamp_gallery(pixels, titles, ncols=4, simulated=spec["simulated"]), path)
        return
    classes = spec["task"] == "classes"
    figure = figures.example_predictions(
        pixels, rows.predicted[shown], rows.observed[shown], spec["targets"], titles=ids.tolist(), classes=classes, simulated=spec["simulated"]
    )
    figures.save(figure, path)


def _scatter(found: Evaluation, chosen: np.ndarray, path: str, *, with_error: bool) -> None:
    target, rows = found.spec["targets"][0], found.rows
    spread = rows.predictions.get(f"{target}_std")
    error = np.asarray(spread, float)[chosen] if with_error and spread is not None else None
    figure = figures.regression_scatter(rows.observed[chosen, 0], rows.predicted[chosen, 0], label=target, error=error, simulated=found.spec["simulated"])
    figures.save(figure, path)


def _shown_rows(found: Evaluation) -> np.ndarray:
    test = found.rows.comparable & found.rows.split("test")
    return test if test.any() else found.rows.comparable & (found.rows.fold() >= 0)


def _main_section(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return metrics["sections"]["test"] or metrics["sections"]["out_of_fold"]


def _metric_label(found: Evaluation) -> str:
    name = found.metrics["headline"]
    return f"RMSE of {found.spec['targets'][0]}" if name == "rmse" else METRIC_LABELS.get(name, name.replace("_", " "))


def draw_sample(
    objects: Mapping[str, np.ndarray], ledger: Mapping[str, np.ndarray], stamps: StampSet, *, simulated: bool, seed: int, gallery: str, scatter: str
) -> None:
    """A gallery of random usable stamps, and magnitude against size of every selected object coloured by status."""
    rng = np.random.default_rng(seed)
    good = np.flatnonzero(np.isin(stamps.status, ("ok", "partial")))
    shown = np.sort(rng.permutation(good)[:36])
    place = {name: row for row, name in enumerate(objects["object_id"].tolist())}
    rows = [place[name] for name in stamps.object_id[shown].tolist()]
    titles = [_title(objects, row) for row in rows]
    pixels = stamps.take(shown) if len(shown) else np.zeros((0, 1, 8, 8))
    figures.save(figures.stamp_gallery(pixels, titles, ncols=9, simulated=simulated), gallery)
    status = dict(zip(ledger["object_id"].tolist(), ledger["status"].tolist(), strict=True))
    states = np.array([status[name] for name in objects["object_id"].tolist()])
    if "mag" in objects and "stamp_arcsec" in objects:
        figure = figures.magnitude_size(objects["mag"], objects["stamp_arcsec"], states, size_label="side of the stamp (arcsec)", simulated=simulated)
    else:
        names, counts = np.unique(states, return_counts=True)
        figure = figures.counts(dict(zip(names.tolist(), counts.tolist(), strict=True)), label="number of objects", simulated=simulated)
    figures.save(figure, scatter)


def _title(objects: Mapping[str, np.ndarray], row: int) -> str:
    parts = [str(objects["band"][row]).upper()] if "band" in objects else []
    if "mag" in objects and np.isfinite(objects["mag"][row]):
        parts.append(f"{objects['mag'][row]:.1f}")
    return " ".join(parts) or str(objects["object_id"][row])
