"""Numbers of a report as text, and the rows of its main table; shared by the model card and the HTML tables."""

from collections.abc import Mapping
from typing import Any

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
SECTIONS = {"test": "Test rows", "out_of_fold": "Out of fold (each fold's network never saw these rows or their groups)"}


def number(value: float | None, digits: int = 4) -> str:
    """Four decimals, or a dash where there is no number."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(entry: Mapping[str, Any]) -> str:
    """``0.0991 [0.0950, 0.1032]``; without brackets where there was no interval."""
    if entry.get("lo") is None or isinstance(entry.get("value"), list):
        return number(entry.get("value")) if not isinstance(entry.get("value"), list) else ", ".join(number(v) for v in entry["value"])
    return f"{number(entry['value'])} [{number(entry['lo'])}, {number(entry['hi'])}]"


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


def metric_rows(section: Mapping[str, Any], targets: list[str], task: str) -> list[tuple[str, str]]:
    """(metric, value with interval), one row a class where the metric has one value a class and one a target in a regression."""
    rows = []
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
    return rows
