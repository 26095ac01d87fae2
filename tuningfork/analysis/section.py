"""One section of a report: everything said about one set of rows, the network always beside its baselines and the noise floor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuningfork.analysis import floor, metrics
from tuningfork.analysis.bootstrap import difference, interval, jsonable
from tuningfork.analysis.predictive import distribution
from tuningfork.analysis.rows import Rows, bins, filter_group, numbers, resampling_groups

MAGNITUDE_EDGES = (20.0, 21.0, 22.0, 23.0, 24.0)
ZOOM_EDGES = (0.5, 0.75, 1.0, 1.5, 2.0)
MIN_ROWS = 5
"""Fewer rows than this get no line of their own in a breakdown."""


@dataclass(frozen=True)
class Settings:
    """What a section needs besides its rows; the arguments of `evaluate.evaluate`."""

    targets: list[str]
    task: str
    seed: int
    groups: str
    by: tuple[str, ...]
    vote_model: str
    assumed_votes: int | None
    label_sigma: str | None
    resamples: int
    level: float
    label_errors: Mapping[str, str] = field(default_factory=dict)

    def interval(self, statistic: metrics.Statistic, group: np.ndarray) -> dict[str, object]:
        """The statistic with its interval, JSON-able."""
        # A statistic without additive form costs a pass over the rows for each resample; a quarter of them is enough for 95 %.
        resamples = self.resamples if isinstance(statistic, metrics.Additive) else max(100, self.resamples // 4)
        return interval(statistic, group, self.seed, resamples=resamples, level=self.level).as_json()


def headline_name(task: str, n_targets: int = 1) -> str:
    """The one metric that models are compared by."""
    return {"fractions": "per_sample_rmse", "classes": "accuracy"}.get(task, "rmse" if n_targets == 1 else "standardised_rmse")


def headline(task: str, predicted: np.ndarray, observed: np.ndarray, scale: np.ndarray | float = 1.0) -> metrics.Additive:
    """The headline metric as a statistic of the rows; several regression targets are divided by `scale` (K,) first."""
    if task == "fractions":
        return metrics.mean_of(metrics.per_sample_rmse(predicted, observed))
    if task == "classes":
        return metrics.accuracy(predicted, observed)
    divisor = scale if predicted.shape[1] > 1 else 1.0
    return metrics.global_rmse(predicted / divisor, observed / divisor)


def section(rows: Rows, chosen: np.ndarray, baselines: dict[str, np.ndarray], settings: Settings) -> dict[str, object]:
    """All that is said about the `chosen` rows: headline, metrics, baselines beside them, floor, breakdowns, confusion, calibration."""
    column, group = resampling_groups(rows.objects, chosen, settings.groups)
    predicted, observed = rows.predicted[chosen], rows.observed[chosen]
    scale = label_scale(rows, rows.labelled & rows.split("train"))
    network = headline(settings.task, predicted, observed, scale)
    beside = {}
    for name, values in baselines.items():
        own = headline(settings.task, values, observed, scale)
        beside[name] = {
            "metrics": _metrics(values, observed, group, settings),
            "headline": settings.interval(own, group),
            "difference": settings.interval(difference(network, own), group),
        }
    result: dict[str, object] = {
        "n": int(chosen.sum()),
        "n_groups": len(np.unique(group)),
        "groups": column,
        "headline": settings.interval(network, group),
        "metrics": _metrics(predicted, observed, group, settings),
        "baselines": beside,
        "floor": _floor(rows, chosen, group, settings),
        "by": {name: table for name in settings.by if (table := _breakdown(rows, chosen, group, baselines, scale, name, settings))},
    }
    if settings.task == "regression":
        result["calibration"] = _coverage(rows, chosen, settings)
    else:
        sure = metrics.has_majority(observed)
        counts = metrics.confusion(predicted[sure], observed[sure]).value().reshape(len(settings.targets), -1) if sure.any() else None
        result["confusion"] = {"classes": settings.targets, "counts": jsonable(counts), "n": int(sure.sum())}
        result["calibration"] = _calibration(rows, chosen, settings)
    stated = distribution(rows, chosen, settings.task, settings.targets, lambda statistic: settings.interval(statistic, group), settings.label_errors)
    return {**result, "distribution": stated} if stated else result


def _metrics(predicted: np.ndarray, observed: np.ndarray, group: np.ndarray, settings: Settings) -> dict[str, object]:
    if settings.task == "regression":
        by_target: dict[str, object] = {}
        for k, target in enumerate(settings.targets):
            statistics = metrics.regression_statistics(predicted[:, k], observed[:, k])
            by_target[target] = {name: settings.interval(statistic, group) for name, statistic in statistics.items()}
        return by_target
    result: dict[str, object] = {name: settings.interval(s, group) for name, s in metrics.fraction_statistics(predicted, observed).items()}
    sure = metrics.has_majority(observed)
    if sure.any():
        result |= {name: settings.interval(s, group[sure]) for name, s in metrics.majority_statistics(predicted[sure], observed[sure]).items()}
    return result


def label_scale(rows: Rows, train: np.ndarray) -> np.ndarray:
    """Standard deviation of each target over the training rows (1 where it cannot be had)."""
    if train.sum() < 2:
        return np.ones(rows.observed.shape[1])
    spread = rows.observed[train].std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _floor(rows: Rows, chosen: np.ndarray, group: np.ndarray, settings: Settings) -> dict[str, object]:
    """Every estimate of the noise floor that the sample allows, by name; empty when it allows none."""
    common: dict[str, Any] = {"seed": settings.seed, "resamples": settings.resamples, "level": settings.level}
    if settings.task == "classes":
        return {}
    if settings.task == "regression":
        if settings.label_sigma is None or settings.label_sigma not in rows.objects or len(settings.targets) > 1:
            return {}
        found = floor.floor_from_sigma(numbers(rows.objects[settings.label_sigma][chosen]), group, **common)
        return {"errors": found} if found else {}
    estimates: dict[str, object] = {}
    votes: np.ndarray | int | None = None
    if "n_votes" in rows.objects and np.isfinite(counted := numbers(rows.objects["n_votes"][chosen])).any():
        votes = counted
    elif settings.assumed_votes is not None:
        votes = settings.assumed_votes
    if votes is not None:
        ticks = _ticks_a_vote(rows, chosen, settings)
        for source, fractions in (("predictions", rows.predicted[chosen]), ("labels", rows.observed[chosen])):
            estimates[f"votes_{source}"] = floor.floor_from_votes(
                np.clip(fractions * ticks, 0, 1), votes, group, model=settings.vote_model, probabilities=source, **common
            )
    if "galaxy_id" in rows.objects:
        parts = [np.asarray(rows.objects[name]).astype(str) for name in ("galaxy_id", "band") if name in rows.objects]
        keys = parts[0] if len(parts) == 1 else np.char.add(np.char.add(parts[0], "\x1f"), parts[1])
        repeats = floor.floor_from_repeats(rows.observed[rows.labelled], keys[rows.labelled], **common)
        if repeats:
            estimates["repeats"] = repeats
    return estimates


def _ticks_a_vote(rows: Rows, chosen: np.ndarray, settings: Settings) -> np.ndarray:
    """Boxes ticked by a classifier of each row (M, 1), from the raw fractions ``f_<class>`` where several may be ticked; 1 where they are not known."""
    raw = [f"f_{target.removeprefix('p_')}" for target in settings.targets]
    if settings.vote_model != "binomial" or not all(name in rows.objects for name in raw):
        return np.ones((int(chosen.sum()), 1))
    total = np.sum([np.asarray(rows.objects[name], float)[chosen] for name in raw], axis=0)
    return np.where(np.isfinite(total) & (total > 0), total, 1.0)[:, None]


def names_of(rows: Rows, name: str) -> np.ndarray | None:
    """The group of every row in the breakdown `name`, '' where it has none; None where the objects lack the column."""
    objects = rows.objects
    if name == "filter_group":
        return filter_group(objects["band"]) if "band" in objects else None
    if name == "magnitude":
        return bins(objects["mag"], MAGNITUDE_EDGES, "mag") if "mag" in objects else None
    if name == "zoom":
        return bins(objects["zoom"], ZOOM_EDGES) if "zoom" in objects else None
    if name == "true value":
        return _quarters(rows.observed[:, 0])
    return np.asarray(objects[name]).astype(str) if name in objects else None


def _quarters(values: np.ndarray) -> np.ndarray:
    """Names of the quarters that values fall into, with edges rounded to three digits of their spread; '' for nan."""
    known = values[np.isfinite(values)]
    if not len(known) or np.ptp(known) == 0:
        return np.full(len(values), "")
    step = 10.0 ** (np.floor(np.log10(np.ptp(known))) - 2)
    return bins(values, np.unique(np.round(np.quantile(known, [0.25, 0.5, 0.75]) / step) * step).tolist())


def _breakdown(
    rows: Rows, chosen: np.ndarray, group: np.ndarray, baselines: dict[str, np.ndarray], scale: np.ndarray, name: str, settings: Settings
) -> dict[str, object]:
    names = names_of(rows, name)
    if names is None:
        return {}
    names = names[chosen]
    predicted, observed = rows.predicted[chosen], rows.observed[chosen]
    table: dict[str, object] = {}
    for value in np.unique(names):
        here = names == value
        if value == "" or here.sum() < MIN_ROWS:
            continue

        def line(values: np.ndarray, here: np.ndarray = here) -> dict[str, object]:
            return settings.interval(headline(settings.task, values[here], observed[here], scale), group[here])

        entry: dict[str, object] = {"headline": line(predicted), "baselines": {b: line(v) for b, v in baselines.items()}}
        if settings.task != "regression":
            entry["calibration_error"] = settings.interval(metrics.calibration_error(predicted[here], observed[here]), group[here])
        table[str(value)] = entry
    return table


def _calibration(rows: Rows, chosen: np.ndarray, settings: Settings) -> dict[str, object]:
    """Reliability of every class, over all rows and per filter."""
    bands = np.asarray(rows.objects["band"]).astype(str)[chosen] if "band" in rows.objects else np.zeros(int(chosen.sum()), str)
    selections = {"all": np.ones(len(bands), bool), **{str(b): bands == b for b in np.unique(bands) if b and (bands == b).sum() >= MIN_ROWS}}
    predicted, observed = rows.predicted[chosen], rows.observed[chosen]
    result: dict[str, object] = {
        name: {target: jsonable(metrics.reliability(predicted[here, k], observed[here, k])) for k, target in enumerate(settings.targets)}
        for name, here in selections.items()
    }
    return result


def _coverage(rows: Rows, chosen: np.ndarray, settings: Settings) -> dict[str, object]:
    """Share of labels within one predicted standard deviation (.683 for honest Gaussian errors), for targets that have one."""
    result: dict[str, object] = {}
    for k, target in enumerate(settings.targets):
        sigma = rows.predictions.get(f"{target}_std")
        if sigma is None:
            continue
        sigma = np.asarray(sigma, float)[chosen]
        known = np.isfinite(sigma) & (sigma > 0)
        if known.any():
            residual = np.abs(rows.predicted[chosen, k] - rows.observed[chosen, k])
            result[target] = {"within_one_std": float(np.mean(residual[known] <= sigma[known])), "n": int(known.sum())}
    return result
