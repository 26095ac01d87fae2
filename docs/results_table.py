"""Print what single networks of a model reach on its test rows, and what turned views, averaging and shifted views add, as a table.

``python docs/results_table.py MODEL...`` in the working directory of a run, or ``--results FOLDER``. The networks are the model and the further
seeds of its ensemble; nothing is trained. Several networks one by one are "each": the mean of their numbers. All intervals are 95 % of a bootstrap
that draws the galaxies of the test split anew and, for "each", the networks too; differences are paired, to the first line. Out of fold are the
rows that the folds predict, where a model has them.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuningfork import tables
from tuningfork.analysis import metrics
from tuningfork.analysis.baseline_set import fit_baselines
from tuningfork.analysis.bootstrap import at_rows, group_counts
from tuningfork.analysis.rows import Rows, join
from tuningfork.analysis.section import headline, headline_name
from tuningfork.files import read_json
from tuningfork.inference.load import load_model
from tuningfork.inference.predict import predict
from tuningfork.stamps.store import StampSet

RESAMPLES, LEVEL, SHIFT = 1000, 95, 2
Metric = Callable[[np.ndarray, np.ndarray], metrics.Statistic]


@dataclass(frozen=True)
class Line:
    """One line of the table: predictions (S, N, K) of S networks for the N judged rows; S = 1 after averaging."""

    name: str
    predicted: np.ndarray


def metrics_of(task: str) -> dict[str, Metric]:
    """The columns of the table."""
    columns: dict[str, Metric] = {headline_name(task): lambda p, y: headline(task, p, y)}
    if task == "classes":
        columns["AUC"] = lambda p, y: metrics.Generic(len(p), lambda rows: np.mean(metrics.auc_per_class(p[rows], y[rows]).value()))
        columns["calibration error"] = metrics.calibration_error
    return columns


def draws_of(statistics: Sequence[metrics.Statistic], counts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The mean over networks for every resample of rows, `counts` (B, N); each takes as many networks, drawn with replacement."""
    rows = np.arange(counts.shape[1])
    values = np.array([[at_rows(s, np.repeat(rows, count)) for s in statistics] for count in counts.astype(int)], float)
    chosen = generator.integers(0, len(statistics), size=values.shape)
    return np.take_along_axis(values, chosen, axis=1).mean(axis=1)


def shown(value: float, draws: np.ndarray, sign: str = "") -> str:
    """``value [low, high]``."""
    low, high = np.nanpercentile(draws, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def table(lines: Sequence[Line], observed: np.ndarray, task: str) -> list[str]:
    """The lines with their metrics, and the difference to the first."""
    columns = metrics_of(task)
    out = [f"| | {' | '.join(f'{name} | minus first' for name in columns)} | seeds: lowest, highest |", "| --- |" + " --- |" * (2 * len(columns) + 1)]
    counts = group_counts(len(observed), RESAMPLES, np.random.default_rng(1))
    first: dict[str, tuple[float, np.ndarray]] = {}
    for line in lines:
        cells = []
        for name, metric in columns.items():
            statistics = [metric(p, observed) for p in line.predicted]
            value = float(np.mean([s.value() for s in statistics]))
            draws = draws_of(statistics, counts, np.random.default_rng(2))
            base, base_draws = first.setdefault(name, (value, draws))
            cells += [shown(value, draws), "" if line is lines[0] else shown(value - base, draws - base_draws, "+")]
        each = [float(headline(task, p, observed).value()) for p in line.predicted]
        out.append(f"| {line.name} | {' | '.join(cells)} | {f'{min(each):.3f}, {max(each):.3f}' if len(each) > 1 else ''} |")
    return out


def stamps_of(results: Path, sample: str) -> StampSet:
    """All stamps of a sample."""
    return StampSet(sorted((results / "samples" / sample / "stamps").glob("*.arrow")))


def networks_of(folder: Path) -> list[Path]:
    """The folders of the model and of the further seeds of its ensemble."""
    return [folder, *sorted(folder.parent.glob(f"{folder.name}.seed[0-9]*"))]


def lines_of(networks: Sequence[Path], stamps: StampSet, ids: np.ndarray, threads: int) -> list[Line]:
    """Every network by itself without and with the views; their average without, with, and with shifted ones too."""
    models = [load_model(folder, "cpu") for folder in networks]

    def seen(**options: Any) -> np.ndarray:
        return np.stack([predict(model, stamps, ids, threads=threads, progress=False, **options)["mean"] for model in models])

    ways = {"turned views": seen(), "one view": seen(tta=False), f"shifts of {SHIFT} px too": seen(shifts_px=SHIFT)}
    if len(models) == 1:
        return [Line(f"the network, {how}", predicted) for how, predicted in ways.items()]
    each = [Line(f"each of {len(models)} networks, {how}", predicted) for how, predicted in ways.items()]
    return each + [Line(f"mean of the {len(models)}, {how}", predicted.mean(axis=0, keepdims=True)) for how, predicted in ways.items()]


def baselines_of(rows: Rows, test: np.ndarray, task: str, stamps: StampSet) -> list[Line]:
    """The baselines of the reports, fitted on the training rows."""
    found = fit_baselines(rows, rows.usable & rows.labelled & rows.split("train"), test, task, 1, stamps)
    names = {"mean": "mean of the training rows", "picture features": "ridge on hand-made colours and sizes", "border pixels": "ridge on the border pixels"}
    return [Line(names.get(name, name), values[None]) for name, values in found.items()]


def report(results: Path, name: str, others: Sequence[str], threads: int) -> list[str]:
    """The table of one model, with the means of `others` (same sample) below its own lines."""
    file = results / "models" / name / "metrics.json"
    if not file.exists():
        raise SystemExit(f"{file}: no such file; run snakemake first, or give the folder of its results with --results")
    about = read_json(file)
    task, targets = about["task"], about["targets"]
    sample = next(iter(read_json(file.with_name("model.json"))["data"]))  # the first is the one that it was trained on
    objects = tables.read_columns(results / "samples" / sample / "objects.parquet")
    rows = join(objects, tables.read_columns(results / "models" / name / "predictions" / f"{sample}.parquet"), targets, task)
    test, stamps = rows.comparable & rows.split("test"), stamps_of(results, sample)
    ids, observed = np.asarray(objects["object_id"])[test], rows.observed[test]
    lines = lines_of(networks_of(results / "models" / name), stamps, ids, threads)
    for other in others:
        own = lines_of(networks_of(results / "models" / other), stamps, ids, threads)
        lines += [Line(f"{other}: {line.name}", line.predicted) for line in own[::3]]
    lines += baselines_of(rows, test, task, stamps)
    return [f"{name} ({sample}): {test.sum()} test rows", "", *table(lines, observed, task), *calibration(about), *out_of_fold(about)]


def entry(found: dict[str, Any]) -> str:
    """A number of metrics.json with its interval."""
    return f"{found['value']:.3f} [{found['lo']:.3f}, {found['hi']:.3f}]" if found["lo"] is not None else f"{found['value']:.3f}"


def calibration(about: dict[str, Any]) -> list[str]:
    """Coverage of sets and intervals on the test rows; calibration error before and after the temperature."""
    found = about.get("uncertainty")
    if not found:
        return []
    lines = ["", f"asked for {found['asked']:.0%}, found {entry(found['coverage'])} (calibrated on {found['calibrated_on']['n']} rows)"]
    if "size" in found:
        lines.append(f"classes in a set: {entry(found['size'])}")
    lines += [f"width of the interval of {target}: {entry(part['width'])}" for target, part in found["targets"].items() if part["width"]]
    if found["temperature"]:
        lines.append(f"temperature {found['temperature']['value']:.3f}")
        for what in ("calibration_error", "kl_divergence"):
            part = found["temperature"][what]
            lines.append(f"{what}: before {entry(part['before'])}, after {entry(part['after'])}, difference {entry(part['difference'])}")
    return lines


def out_of_fold(about: dict[str, Any]) -> list[str]:
    """The network and its baselines on rows that the folds predict."""
    found = about["sections"]["out_of_fold"]
    if not found:
        return []
    lines = ["", f"out of fold, {found['n']} rows: {about['headline']} {entry(found['headline'])}"]
    for name, part in found["baselines"].items():
        lines.append(f"{name}: {entry(part['headline'])}, network minus this {entry(part['difference'])}")
    if about["task"] == "classes" and len(about["targets"]) == 2:
        for name, part in (("network", found), *found["baselines"].items()):
            auc = part["metrics"]["auc"]
            lines.append(f"AUC of {name}: {auc['value'][0]:.3f} [{auc['lo'][0]:.3f}, {auc['hi'][0]:.3f}]")
    return lines


def main() -> None:
    """Print the tables of the models that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="a model, or MODEL,OTHER,... to have others of the same sample beside it")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    for named in given.models:
        name, *others = named.split(",")
        sys.stdout.write("\n".join(report(given.results, name, others, given.threads)) + "\n\n")


if __name__ == "__main__":
    main()
