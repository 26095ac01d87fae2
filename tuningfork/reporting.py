"""The evaluation of one model as files: metrics, figures and the table for the report.

Everything is computed in `tuningfork.analysis` and drawn in `tuningfork.publishing`; here the two are joined.
"""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tuningfork.analysis.coverage import coverage_report
from tuningfork.analysis.domains import judge_domains as judge
from tuningfork.analysis.evaluate import compare, evaluate
from tuningfork.analysis.rows import Rows, join
from tuningfork.predicted import SIGMA
from tuningfork.publishing import figures, wording
from tuningfork.publishing.figures_base import pretty
from tuningfork.stamps.store import StampSet

SCALARS = ("snr", "zoom", "n_neighbours")
EXAMPLES = 12
BREAKDOWNS = ("band", "filter_group", "magnitude", "zoom")
KINDS = {"classes": "label", "regression": "true value"}
"""What rows are also grouped by, by task."""
RANGES = ("UV", "optical", "NIR")


@dataclass(frozen=True)
class Evaluation:
    """One model on its own sample: what the figures are drawn from; `latents` are those (N, D) of every autoencoder among the compared models."""

    rows: Rows
    stamps: StampSet
    metrics: dict[str, Any]
    spec: Mapping[str, Any]
    latents: Mapping[str, np.ndarray] = field(default_factory=dict)


def evaluate_model(
    objects: dict[str, np.ndarray],
    predictions: Mapping[str, dict[str, np.ndarray]],
    stamps: StampSet,
    spec: Mapping[str, Any],
    calibration: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Metrics of a model on its test rows and out of fold, paired comparisons with other models, and what its calibration is worth.

    Metrics are of the predictions as the networks gave them; those under ``uncertainty`` say what the calibration changes.

    Parameters
    ----------
    objects
        Columns of objects.parquet.
    predictions
        Model name -> columns of its predictions for this sample; the model itself first.
    stamps
        The sample's stamps.
    spec
        ``model``, ``sample``, ``targets``, ``task``, ``seed``, ``simulated`` and ``vote_model``.
    calibration
        calibration.json of the model.
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
        label_errors=spec.get("label_errors"),
        by=(*BREAKDOWNS, *([KINDS[task]] if task in KINDS else [])),
        simulated=spec["simulated"],
    )
    others = [other for other in predictions if other != name]
    metrics["model"] = name
    metrics["uncertainty"] = calibration and coverage_report(
        objects, predictions[name], calibration, seed=seed, sample=spec["sample"], by=("band", "magnitude", *([KINDS[task]] if task in KINDS else []))
    )
    metrics["comparisons"] = {
        other: compare(objects, predictions[name], predictions[other], targets=targets, task=task, seed=seed, names=(name, other))
        for other in others
        if metrics["sections"]["test"]
    }
    found = {model: join(objects, columns, targets, task) for model, columns in predictions.items()}
    # The model it started from comes first, so that a row of pictures goes from before to after.
    latents = {model: block for model in [*others, name] if (block := latents_of(found[model].predictions)) is not None}
    return Evaluation(found[name], stamps, metrics, spec, latents if name in latents else {})


def judge_domains(
    objects: Sequence[Mapping[str, np.ndarray]], features: Mapping[str, Sequence[Mapping[str, np.ndarray]]], spec: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Whether an adaptation brought two samples together; None where they have too few test galaxies.

    Parameters
    ----------
    objects
        Columns of the objects of the first and the second sample. Their test rows are judged, labelled or not.
    features
        Model name -> columns of its features of both samples; the adapted model first.
    spec
        ``domains`` (names of the samples) and ``seed``.
    """
    shown = [_sides_of(table) == "test" for table in objects]
    galaxies = tuple(np.asarray(table.get("galaxy_id", table["object_id"]))[test] for table, test in zip(objects, shown, strict=True))
    blocks = {name: [_features_of(table, at) for table, at in zip(pair, objects, strict=True)] for name, pair in features.items()}
    pairs = {name: (pair[0][shown[0]], pair[1][shown[1]]) for name, pair in blocks.items()}
    found = judge(pairs, (galaxies[0], galaxies[1]), seed=spec["seed"])
    return found and {"samples": list(spec["domains"]), "split": "test", "groups": "galaxy_id", **found}


def _sides_of(objects: Mapping[str, np.ndarray]) -> np.ndarray:
    """The side of the split of every object; of those without a label, that of its group."""
    split = np.asarray(objects["split"]).astype(str)
    return np.where(split == "unlabelled", np.asarray(objects["side"]).astype(str), split) if "side" in objects else split


def _features_of(table: Mapping[str, np.ndarray], objects: Mapping[str, np.ndarray]) -> np.ndarray:
    """Features (N, F) in the order of the objects."""
    place = {name: row for row, name in enumerate(np.asarray(table["object_id"]).tolist())}
    names = sorted((name for name in table if re.fullmatch(r"f_\d+", name)), key=lambda name: int(name[2:]))
    return np.column_stack([np.asarray(table[name], float) for name in names])[[place[name] for name in np.asarray(objects["object_id"]).tolist()]]


def latents_of(predictions: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The coordinates ``z_00``, ``z_01``, ... (N, D) of the latent space, in order; None where the network has fewer than two."""
    names = sorted(name for name in predictions if re.fullmatch(r"z_\d+", name))
    return np.column_stack([np.asarray(predictions[name], float) for name in names]) if len(names) > 1 else None


def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """Columns of a history.csv."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) if row[name] else np.nan for row in rows]) for name in (rows[0] if rows else ())}


def draw_learning_curves(histories: Mapping[str, Mapping[str, np.ndarray]], spec: Mapping[str, Any], path: str) -> None:
    """Training and validation loss of the model, its folds and the models beside it."""
    best = {name: int(history["epoch"][np.nanargmin(history["validation_loss"])]) for name, history in histories.items()}
    figures.save(figures.learning_curves(histories, best_epoch=best, loss_label=wording.loss(spec["loss"]), simulated=spec["simulated"]), path)


def draw_comparison(found: Evaluation, path: str) -> None:
    """The headline metric of the model, its companions, the baselines and the floor; of autoencoders the latent spaces, coloured by class, below it."""
    spec, shown = found.spec, found.rows.usable
    # The whole sample, labelled or not: an adaptation moves all of it.
    latents = {name: block[shown] for name, block in found.latents.items()}
    label = found.rows.objects.get("label", np.full(len(shown), ""))[shown]
    figure = figures.metric_comparison(
        comparison_rows(found.metrics),
        metric_label=_metric_label(found),
        latents=latents,
        label=label,
        class_names=spec["targets"],
        simulated=spec["simulated"],
    )
    figures.save(figure, path)


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
        "magnitude": "magnitude" if "arcsec_per_pixel" in found.rows.objects else "magnitude in the filter",
        "zoom": "zoom (output / native pixels)",
        "label": "true class",
        "true value": f"true {_quantity(found.spec['targets'][0])}",
    }
    panels: dict[str, list[dict[str, Any]]] = {}
    for name, table in (section["by"] if section else {}).items():
        if len(table) < 2:  # one group says no more than the comparison
            continue
        beside = "filter mean" if any("filter mean" in entry["baselines"] for entry in table.values()) else "mean"
        panels[names.get(name, name)] = [
            {
                "group": pretty(group) if name == "label" else group,
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


class PredictedSigma(NamedTuple):
    """One standard deviation (N,) of each prediction; `stated`: as the network predicts it, not the scatter of its views alone."""

    values: np.ndarray
    stated: bool


def predicted_sigma(predictions: Mapping[str, np.ndarray], target: str) -> PredictedSigma | None:
    """The standard deviation that the predictions of `target` come with: the network's own and that of its views in quadrature, half the range from its
    16 to its 84 per cent quantile, or the scatter of its views; None where there is neither.
    """
    views, sigma, low, high = (predictions.get(f"{target}_{suffix}") for suffix in ("std", SIGMA, "q16", "q84"))
    if sigma is not None:
        return PredictedSigma(np.hypot(np.asarray(sigma, float), 0 if views is None else np.asarray(views, float)), True)
    if low is not None and high is not None:
        return PredictedSigma((np.asarray(high, float) - np.asarray(low, float)) / 2, True)
    return None if views is None else PredictedSigma(np.asarray(views, float), False)


def _drawn(spec: Mapping[str, Any]) -> int:
    """Which of several regressed targets is drawn: the first, or the median where they are percentiles of one quantity (``oh_p16``, ``oh_p50``, ...)."""
    middle = [k for k, target in enumerate(spec["targets"]) if target.endswith("_p50")]
    stems = {re.sub(r"_p[\dp]+$", "", target) for target in spec["targets"]}
    return middle[0] if len(middle) == 1 and len(stems) == 1 else 0


def draw_calibration(found: Evaluation, path: str) -> None:
    """Reliability of probabilities; for regression, the mean true value at each predicted one and how often the given errors hold."""
    chosen, spec = _shown_rows(found), found.spec
    if spec["task"] == "regression":
        k, rows = _drawn(spec), found.rows
        label, unit = wording.quantity(spec["targets"][k])
        error = predicted_sigma(rows.predictions, spec["targets"][k])
        drawn = figures.regression_calibration(
            rows.observed[chosen, k],
            rows.predicted[chosen, k],
            label=label,
            unit=unit,
            error=None if error is None else error.values[chosen],
            stated=error is not None and error.stated,
            simulated=spec["simulated"],
        )
        figures.save(drawn, path)
        return
    predicted, observed, classes = found.rows.predicted[chosen], found.rows.observed[chosen], spec["task"] == "classes"
    figures.save(figures.calibration(predicted, observed, spec["targets"], classes=classes, simulated=spec["simulated"]), path)


def draw_coverage(found: Evaluation, path: str) -> None:
    """Coverage of the calibrated sets or intervals, asked for and found, and the probabilities before and after temperature scaling."""
    report, spec = found.metrics.get("uncertainty"), found.spec
    if not report:
        figures.save(figures.coverage([], [], asked=0.9, simulated=spec["simulated"]), path)
        return
    groups = [
        (pretty(group) if name == "label" else f"true {group}" if name == "true value" else group, entry["coverage"])
        for name, table in report["by"].items()
        if len(table) > 1
        for group, entry in sorted(table.items(), key=lambda item: _in_order(item[0]))
    ]
    groups += [(pretty(target), entry["coverage"]) for target, entry in report["targets"].items() if len(report["targets"]) > 1]
    scaled = report["temperature"] if report["temperature"] and report["temperature"]["value"] != 1 else None
    figure = figures.coverage(
        report["levels"],
        groups,
        asked=report["asked"],
        confidence=scaled and scaled["confidence"],
        errors=scaled and (scaled["calibration_error"]["before"]["value"], scaled["calibration_error"]["after"]["value"]),
        what="sets" if spec["task"] == "classes" else "intervals",
        simulated=spec["simulated"],
    )
    figures.save(figure, path)


def draw_confusion(found: Evaluation, path: str) -> None:
    """Confusion of the clear cases; for regression, predicted against true values."""
    spec, section = found.spec, _main_section(found.metrics)
    if spec["task"] == "regression":
        _scatter(found, _shown_rows(found), path)
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
        k = _drawn(spec)
        titles = [f"{name}\n{rows.predicted[row, k]:.3f} (true {rows.observed[row, k]:.3f})" for name, row in zip(ids.tolist(), shown.tolist(), strict=True)]
        heading = f"{_quantity(spec['targets'][k])}: predicted (true), from well to badly predicted"
        figures.save(figures.stamp_gallery(pixels, titles, ncols=4, heading=heading, simulated=spec["simulated"]), path)
        return
    classes = spec["task"] == "classes"
    figure = figures.example_predictions(
        pixels, rows.predicted[shown], rows.observed[shown], spec["targets"], titles=ids.tolist(), classes=classes, simulated=spec["simulated"]
    )
    figures.save(figure, path)


def _scatter(found: Evaluation, chosen: np.ndarray, path: str) -> None:
    rows, k = found.rows, _drawn(found.spec)
    label, unit = wording.quantity(found.spec["targets"][k])
    figure = figures.regression_scatter(rows.observed[chosen, k], rows.predicted[chosen, k], label=label, unit=unit, simulated=found.spec["simulated"])
    figures.save(figure, path)


def _quantity(target: str) -> str:
    label, unit = wording.quantity(target)
    return f"{label} ({unit})" if unit else label


def _shown_rows(found: Evaluation) -> np.ndarray:
    test = found.rows.comparable & found.rows.split("test")
    return test if test.any() else found.rows.comparable & (found.rows.fold() >= 0)


def _main_section(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return metrics["sections"]["test"] or metrics["sections"]["out_of_fold"]


def _metric_label(found: Evaluation) -> str:
    name = found.metrics["headline"]
    return f"RMSE of {_quantity(found.spec['targets'][0])}" if name == "rmse" else wording.loss(name)


def draw_sample(
    objects: Mapping[str, np.ndarray], ledger: Mapping[str, np.ndarray], stamps: StampSet, *, simulated: bool, seed: int, gallery: str, scatter: str
) -> None:
    """A gallery of random usable stamps, and what became of every selected object: magnitude against size coloured by status; where the size is the same
    for all, or magnitudes are missing, the map of the sky.
    """
    rng = np.random.default_rng(seed)
    good = np.flatnonzero(np.isin(stamps.status, ("ok", "partial")))
    shown = np.sort(rng.permutation(good)[:36])
    place = {name: row for row, name in enumerate(objects["object_id"].tolist())}
    rows = [place[name] for name in stamps.object_id[shown].tolist()]
    titles = [_title(objects, row) for row in rows]
    pixels = stamps.take(shown) if len(shown) else np.zeros((0, 1, 8, 8))
    figures.save(figures.stamp_gallery(pixels, titles, ncols=9, heading=_bands(objects), simulated=simulated), gallery)
    status = dict(zip(ledger["object_id"].tolist(), ledger["status"].tolist(), strict=True))
    states = np.array([status[name] for name in objects["object_id"].tolist()])
    magnitude, side = (_known(objects, name) for name in ("mag", "stamp_arcsec"))
    if _differ(side[np.isfinite(magnitude)]):
        figure = figures.magnitude_size(objects["mag"], objects["stamp_arcsec"], states, size_label="side of the stamp (arcsec)", simulated=simulated)
    elif np.isfinite(_known(objects, "ra") + _known(objects, "dec")).any():
        figure = figures.sky_map(
            objects["ra"],
            objects["dec"],
            states,
            magnitude=magnitude,
            magnitude_label="magnitude in the catalogue",
            size_label=_side(side),
            simulated=simulated,
        )
    else:
        names, counts = np.unique(states, return_counts=True)
        figure = figures.counts(dict(zip(names.tolist(), counts.tolist(), strict=True)), label="number of objects", simulated=simulated)
    figures.save(figure, scatter)


def _title(objects: Mapping[str, np.ndarray], row: int) -> str:
    parts = [str(objects["band"][row]).upper()] if "band" in objects and not _bands(objects) else []
    if "label" in objects and str(objects["label"][row]):
        parts.append(pretty(str(objects["label"][row])))
    if "mag" in objects and np.isfinite(objects["mag"][row]):
        parts.append(f"{objects['mag'][row]:.1f}" if parts else f"mag {objects['mag'][row]:.1f}")
    return " ".join(parts) or str(objects["object_id"][row])


def _bands(objects: Mapping[str, np.ndarray]) -> str:
    """A heading for the stamps of a cutout service, which all show the same bands; '' for others."""
    if "arcsec_per_pixel" not in objects or not len(objects["object_id"]):
        return ""
    layers, bands = (sorted(set(np.asarray(objects[name]).astype(str).tolist())) if name in objects else [] for name in ("field", "band"))
    return f"{', '.join(layers)}: {', '.join(bands)}; north up, east left" if len(bands) == 1 else ""


def _known(objects: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """A column of numbers (N,), NaN where it is not known or not there."""
    return np.asarray(objects[name], dtype=float) if name in objects else np.full(len(objects["object_id"]), np.nan)


def _differ(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return bool(len(known)) and bool(np.ptp(known) > 1e-6 * np.abs(known).max())


def _side(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return "" if not len(known) else f"side of every stamp: {known[0]:.4g} arcsec" if not _differ(known) else "stamps of different sides"
