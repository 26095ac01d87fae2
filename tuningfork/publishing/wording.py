"""Numbers of a report as text, and the rows of its main table; shared by the model card and the HTML tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tuningfork.shares import wilson

LABELS = {
    "per_sample_rmse": "RMSE per sample, mean",
    "global_rmse": "RMSE over all rows and classes",
    "per_class_rmse": "RMSE per class",
    "kl_divergence": "Kullback-Leibler divergence (nats)",
    "calibration_error": "expected calibration error",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC, one class against the rest",
    "rmse": "RMSE",
    "standardised_rmse": "RMSE in units of the targets' scatter",
    "nmad": "NMAD",
    "bias": "bias (predicted - observed)",
    "outlier_fraction": "outliers beyond 3 NMAD",
    "r2": "R squared",
}
QUANTITIES = {
    "oh_p50": ("12 + log(O/H)", "dex"),
    "lgm_tot_p50": ("log stellar mass", "dex(M☉)"),
    "sfr_tot_p50": ("log star formation rate", "dex(M☉/yr)"),
}
"""How papers write regressed columns of the SDSS value-added catalogues, and their unit (reference/science.md); other columns go by their own names."""
CLASS_HEADER = ("class", "true rows", "completeness", "rows called so", "purity")
CLASS_NOTE = "Completeness: share of the true rows that were found. Purity: share of the rows called so that are of the class. Wilson intervals."
LOSSES = {
    "elbo": "negative ELBO",
    "per_sample_rmse": "per-sample RMSE",
    "mse": "mean squared error",
    "rmse": "RMSE",
    "standardised_rmse": "RMSE / scatter of the targets",
    "quantile": "pinball loss",
    "gaussian": "negative log likelihood (nats)",
    "dirichlet_multinomial": "negative log likelihood of the votes (nats)",
}
"""Names of losses and of headlines for axes."""
_DISTRIBUTION = {"pinball": "pinball loss, mean over the quantiles", "nll": "negative log likelihood (nats)"}
SECTIONS = {"test": "Test rows", "out_of_fold": "Out of fold (each fold's network never saw these rows or their groups)"}


def number(value: float | None, digits: int = 4) -> str:
    """Four decimals, or a dash where there is no number."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(entry: Mapping[str, Any]) -> str:
    """``0.0991 [0.0950, 0.1032]``; without brackets where there was no interval."""
    if entry.get("lo") is None or isinstance(entry.get("value"), list):
        return number(entry.get("value")) if not isinstance(entry.get("value"), list) else ", ".join(number(v) for v in entry["value"])
    return f"{number(entry['value'])} [{number(entry['lo'])}, {number(entry['hi'])}]"


def domain_rows(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(model, AUC of telling the samples apart, change by the adaptation): the adapted model first, as `metrics.json` has them under ``domains``."""
    changes = found["change"]
    return [(name, interval(entry), interval(changes[name]) if name in changes else "") for name, entry in found["auc"].items()]


DOMAIN_HEADER = ("model", "AUC of telling the samples apart (0.5: nothing does)", "adapted model minus this")


def domain_note(found: Mapping[str, Any]) -> str:
    """What the rows of `domain_rows` rest on."""
    first, second = found["samples"]
    rows = " and ".join(f"{count} of {name}" for count, name in zip(found["n"], (first, second), strict=True))
    return f"{found['classifier'].capitalize()}; test rows: {rows}, labelled or not. Intervals from resampled galaxies."


def comparison_rows(section: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(who, headline, difference of the network from it): floor first, then the network, then the baselines from best to worst."""
    rows = [(f"noise floor of the labels ({_floor_words(name, entry)})", interval(entry), "") for name, entry in section.get("floor", {}).items()]
    rows.append(("network", interval(section["headline"]), ""))
    for name, entry in section.get("baselines", {}).items():
        rows.append((name, interval(entry["headline"]), interval(entry["difference"])))
    return rows


def _floor_words(name: str, entry: Mapping[str, Any]) -> str:
    source = entry.get("source", name)
    return f"{source}, {entry['model']}, probabilities from {entry['probabilities']}" if "probabilities" in entry else str(source)


def quantity(target: str) -> tuple[str, str]:
    """Name and unit of a regressed quantity for axes; the column's own name without unit where papers have no other."""
    return QUANTITIES.get(target, (target.replace("_", " "), ""))


def loss(name: str) -> str:
    """Name of a loss for an axis."""
    return LOSSES.get(name, name.replace("_", " "))


def class_rows(confusion: Mapping[str, Any] | None, level: float = 0.95) -> list[tuple[str, str, str, str, str]]:
    """(class, rows of it, completeness, rows called so, purity) from a section's confusion of counts; Wilson intervals of the shares.

    Completeness is the share of the true rows of a class that were found (recall), purity the share of the rows called so that are of it (precision).
    The intervals take rows as independent (Wilson 1927); the bootstrap over groups is in the other tables.
    """
    counts = np.asarray((confusion or {}).get("counts") or np.zeros((0, 0)), dtype=float)
    if not counts.size or not confusion:
        return []
    right, true, called = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    return [
        (str(name), f"{true[k]:.0f}", interval(wilson(right[k], true[k], level)), f"{called[k]:.0f}", interval(wilson(right[k], called[k], level)))
        for k, name in enumerate(confusion["classes"])
    ]


def coverage_rows(section: Mapping[str, Any], task: str) -> list[tuple[str, str]]:
    """(what, share) of a regression: labels within one predicted standard deviation, .683 for honest Gaussian errors."""
    if task != "regression":
        return []
    return [
        (f"labels within one standard deviation of the views, {target} (0.683 if it were the whole error)", number(entry["within_one_std"]))
        for target, entry in section.get("calibration", {}).items()
    ]


def distribution_rows(section: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, value with interval) of the distributions that a model predicts: pinball loss, likelihood, and the labels within what was stated."""
    rows = []
    for target, found in section.get("distribution", {}).items():
        of = "all classes" if target == "all" else target
        rows += [(f"{label}, {of}", interval(found[name])) for name, label in _DISTRIBUTION.items() if name in found]
        rows += [(f"labels within {name}, {of} ({entry['nominal']:.3f} if honest)", interval(entry)) for name, entry in found.get("coverage", {}).items()]
    return rows


def metric_rows(section: Mapping[str, Any], targets: list[str], task: str) -> list[tuple[str, str]]:
    """(metric, value with interval), one row a class where the metric has one value a class and one a target in a regression."""
    rows: list[tuple[str, str]] = []
    blocks = section["metrics"].items() if task == "regression" else [("", section["metrics"])]
    for target, metrics in blocks:
        for name, entry in metrics.items():
            label = LABELS.get(name, name) + (f", {target}" if target else "")
            if isinstance(entry["value"], list):
                for k, value in enumerate(entry["value"]):
                    low, high = ((entry[side][k] if isinstance(entry[side], list) else None) for side in ("lo", "hi"))
                    rows.append((f"{label}: {targets[k]}", interval({"value": value, "lo": low, "hi": high})))
            else:
                rows.append((label, interval(entry)))
    return rows + coverage_rows(section, task) + distribution_rows(section)
