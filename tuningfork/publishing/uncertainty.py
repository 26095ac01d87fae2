"""What a catalogue and a model card say of calibrated probabilities, intervals and sets: columns, notes, and rows of tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from tuningfork.publishing.columns import Spec
from tuningfork.publishing.wording import LABELS, interval, number

__all__ = ["columns_of", "notes", "record", "report_note", "report_rows", "specs"]

METHODS = {
    "quantiles": "from the quantiles that the network predicts, widened or narrowed (conformalised quantile regression)",
    "sigma": "in units of the standard deviation that the network predicts",
    "spread": "in units of the spread over views and networks, with its median as the floor",
    "absolute": "of the same width for every row",
}


def columns_of(targets: Sequence[str], task: str) -> list[str]:
    """Names of the columns that a calibration adds: ``set``, or ``<target>_lo`` and ``<target>_hi``."""
    return ["set"] if task == "classes" else [f"{target}_{end}" for target in targets for end in ("lo", "hi")]


def specs(targets: Sequence[str], task: str, base: Mapping[str, Spec], calibration: Mapping[str, Any], sample: str) -> dict[str, Spec]:
    """Unit, UCD and description of these columns.

    Parameters
    ----------
    base
        Specs of the targets.
    calibration
        calibration.json.
    sample : str
        The sample that is published: for another one than that of the calibration nothing is promised.
    """
    share = f"{100 * calibration['coverage']:g} %"
    if sample == calibration["sample"]:
        promise = f"made to hold it for {share} of objects like the validation rows (split conformal)"
    else:
        promise = f"made to hold it for {share} of the objects of {calibration['sample']} (split conformal), not promised here"
    if task == "classes":
        text = f"Classes that the object may be of, likeliest first, joined by '|': the set is {promise}"
        return {"set": Spec(None, "src.class", text)}
    found = {}
    for target in targets:
        for end, word, ucd in (("lo", "Lower", "stat.min"), ("hi", "Upper", "stat.max")):
            text = f"{word} end of the interval for the label of {target}, {promise}"
            found[f"{target}_{end}"] = Spec(base[target].unit, f"{base[target].ucd};{ucd}", text, base[target].decimals)
    return found


def notes(calibration: Mapping[str, Any], sample: str) -> list[str]:
    """Paragraphs of a ReadMe: how the probabilities, intervals and sets were made, from how many rows, and what they do not promise."""
    rows, task, asked = calibration["rows"], calibration["task"], calibration["coverage"]
    lines = []
    temperature = calibration["temperature"]
    if temperature and temperature["value"] != 1:
        lines.append(
            f"Probabilities are calibrated by temperature scaling: proportional to p^(1/T), p the mean over networks and views, T = {temperature['value']:.4g} "
            f"from {temperature['n']} validation rows. The columns ending in _std are the spread of p before that."
        )
    elif temperature:
        lines.append(f"Probabilities are as the networks gave them; no temperature was used: {temperature['reason']}.")
    elif task != "regression":
        lines.append("Probabilities are as the networks gave them, without temperature scaling.")
    origin = f"{rows['n']} labelled validation rows of the sample {calibration['sample']}"
    if rows["out_of_fold"]:
        origin += f", {rows['out_of_fold']} of them predicted by fold networks that had not seen them (others are predicted by all that had not)"
    own, promised = _own(calibration, asked)
    least, most = (f"{calibration['realised'][end]:.3f}" for end in ("lo", "hi"))
    what = "The column set" if task == "classes" else "The intervals _lo to _hi"
    lines.append(
        f"{what}: split-conformal prediction for a coverage of {asked:g}, fitted to {origin}; {own} On average over such fits at least that share of "
        f"objects like these rows is covered; a single fit of this size covers between {least} and {most} of them (90 % of fits, rows taken as "
        "independent). Covered is the label, with its own errors, not the truth behind it."
    )
    if promised:
        lines.append(promised)
    lines.append(
        "The validation rows also chose the epoch of the network, so they are not exactly like new objects, and the promise is one for all objects "
        "together, not for each kind: the model's metrics.json has the coverage that was found on test rows, overall and by group."
    )
    if sample != calibration["sample"]:
        lines.append(
            f"The calibration is that of the sample {calibration['sample']}; this catalogue is of {sample}. Under such a shift neither the probabilities nor "
            "the coverage are guaranteed."
        )
    return lines


def _own(calibration: Mapping[str, Any], asked: float) -> tuple[str, str]:
    """How this task's sets or intervals are made, and a warning where they promise nothing."""
    level = f"{asked:g}"
    if calibration["task"] == "classes":
        found = calibration["set"]
        each = "a threshold for each class." if found["class_conditional"] else "one threshold for all classes."
        empty = [name for name, value in found["levels"][level].items() if value is None]
        text = f"Too few validation rows for {', '.join(empty)}: in every set." if empty else ""
        return "least ambiguous sets: every class whose probability reaches a threshold, or the likeliest one; " + each, text
    by_method: dict[str, list[str]] = {}
    for target, how in calibration["intervals"].items():
        by_method.setdefault(how["method"], []).append(target)
    text = "; ".join(f"{METHODS[method]} ({', '.join(names)})" for method, names in by_method.items())
    empty = [name for name, how in calibration["intervals"].items() if how["levels"][level] is None]
    whole = "0 to 1" if calibration["task"] == "fractions" else "without ends (blank)"
    return f"{text}.", f"Too few validation rows to promise anything for {', '.join(empty)}: the interval is {whole}." if empty else ""


def record(calibration: Mapping[str, Any]) -> dict[str, Any]:
    """What the provenance keeps: all but the quantiles of other coverages."""
    level = f"{calibration['coverage']:g}"
    kept = {name: value for name, value in calibration.items() if name not in ("set", "intervals")}
    parts: Mapping[str, Mapping[str, Any]] = {"set": calibration["set"]} if "set" in calibration else calibration["intervals"]
    return kept | {"quantiles": {name: {key: v if key != "levels" else v[level] for key, v in part.items()} for name, part in parts.items()}}


def report_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, value with interval) of ``metrics["uncertainty"]``: coverage overall, by target and by group, sizes, and the temperature's effect."""
    rows = [(f"labels covered ({report['asked']:g} asked)", interval(report["coverage"]))]
    if "size" in report:
        rows.append(("classes in a set, mean", interval(report["size"])))
        rows += [(f"sets of {size}", str(count)) for size, count in report["sizes"].items()]
    for target, entry in report["targets"].items():
        width = interval(entry["width"]) if entry["width"] else "without ends"
        rows += [(f"covered: {target}", interval(entry["coverage"])), (f"width of the interval, mean: {target}", width)]
    for name, table in report["by"].items():
        if len(table) > 1:
            for group, entry in table.items():
                size = entry.get("size") or entry.get("width")
                rows.append((f"covered, {name.replace('_', ' ')} {group} ({entry['coverage']['n']} rows)", _with_size(entry["coverage"], size)))
    temperature = report["temperature"]
    if temperature:
        rows.append(("temperature" + (f" ({temperature['reason']})" if temperature["reason"] else ""), number(temperature["value"])))
        if temperature["value"] != 1:
            rows += [
                (f"{LABELS.get(name, name)}, {side} temperature scaling", interval(temperature[name][side]))
                for name in temperature
                if name not in ("value", "reason", "confidence")
                for side in ("before", "after")
            ]
    return rows


def _with_size(coverage: Mapping[str, Any], size: Mapping[str, Any] | None) -> str:
    return interval(coverage) + (f"; size {number(size['value'])}" if size else "")


def report_note(report: Mapping[str, Any]) -> str:
    """Where the calibration comes from and what the numbers are worth, in a few sentences."""
    fitted, judged, realised = report["calibrated_on"], report["judged_on"], report["realised"]
    folded = f", {fitted['out_of_fold']} of them out of fold" if fitted["out_of_fold"] else ""
    text = (
        f"Fitted to {fitted['n']} validation rows of {fitted['sample']}{folded}; judged on {judged['n']} {judged['split']} rows. With so many rows one fit "
        f"covers between {realised['lo']:.3f} and {realised['hi']:.3f} (90 % of fits). Intervals of shares are Wilson's on the effective number of rows "
        f"(groups: {judged['groups']})."
    )
    if judged["sample"] != fitted["sample"]:
        text += f" The rows are of another sample, {judged['sample']}: under a shift no coverage is promised."
    return text
