"""A model card in Markdown, from model.json, metrics.json and provenance: what the network is for, what it saw, how good it is beside what."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tuningfork.publishing import uncertainty, wording

_TASKS = {
    "fractions": "predicts fractions of votes that sum to 1",
    "classes": "predicts the probability of each class",
    "regression": "predicts numbers",
}


def model_card(
    model: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    intended_use: str = "",
    limitations: Sequence[str] = (),
) -> str:
    """The card.

    Parameters
    ----------
    model : mapping
        model.json.
    metrics : mapping, optional
        What `analysis.evaluate.evaluate` gave, with ``comparisons`` (other model -> what `analysis.evaluate.compare` gave) where there are any;
        without it the card says that the model was not evaluated.
    provenance : mapping, optional
        What `provenance.build` gave.
    intended_use : str
        A sentence of the configuration; a general one otherwise.
    limitations : sequence of str
        Further ones than those that follow from the facts.
    """
    simulated = bool(model.get("simulated") or (metrics or {}).get("simulated") or (provenance or {}).get("simulated"))
    training, network = model.get("training", {}), model["network"]
    lines = [f"# {model['name']}", ""]
    if simulated:
        lines += ["> **SIMULATED.** Trained or tested on a simulated sky. Its numbers say that the machinery works; they say nothing about galaxies.", ""]
    targets = ", ".join(f"`{t}`" for t in model["targets"])
    lines += [
        f"A `{network['name']}` network that {_TASKS.get(model['task'], model['task'])}: {targets}.",
        "",
        "## Intended use",
        "",
        intended_use
        or "Stamps made as this model's were: the same survey, filters, stamp rule and normalisation. Catalogues of many objects, not verdicts on single ones.",
        "",
        "## Data",
        "",
    ]
    lines += [f"- sample `{name}`, content `{str(digest)[:12]}`" for name, digest in model.get("data", {}).items()]
    lines += [f"- {training[key]} rows {words}" for key, words in (("n_train", "trained on"), ("n_validation", "for validation")) if key in training]
    for origin in (provenance or {}).get("inputs", []):
        name = origin.get("catalogue") or origin.get("url") or origin.get("archive") or "input"
        known = [f"{key} {origin[key]}" for key in ("doi", "bibcode", "retrieved") if origin.get(key)]
        lines.append(f"- {name}" + (f" ({', '.join(known)})" if known else ""))
    lines += ["", "## Training", ""]
    lines += _start(model.get("parent"))
    if adapted := training.get("adapt_to"):
        how = f"{adapted.get('method', '')}, weight {adapted.get('weight', '')}".strip(", ")
        lines.append(f"- adapted to the sample `{adapted['sample']}` ({how}): {adapted.get('n_train', '?')} of its rows were seen, without their labels")
    facts = {"seed": "seed", "epochs_run": "epochs", "best_epoch": "best epoch", "best_validation_loss": "best validation loss"}
    lines += [f"- {words}: {training[key]}" for key, words in facts.items() if key in training]
    options = json.dumps(network.get("options", {}), sort_keys=True)
    lines.append(f"- input: {model.get('in_channels')} x {model.get('image_size')} x {model.get('image_size')} pixels, options {options}")
    normalisation = json.dumps(model.get("normalisation"), sort_keys=True)
    recipe = json.dumps({k: v for k, v in training.items() if k not in (*facts, "n_train", "n_validation")}, sort_keys=True)
    lines += [f"- normalisation: `{normalisation}`", f"- recipe: `{recipe}`", ""]
    lines += ["## Results", "", *_results(metrics), *_comparisons((metrics or {}).get("comparisons", {})), *_uncertainty(metrics), *_domains(metrics)]
    lines += ["## Limitations", ""]
    lines += [f"- {text}" for text in [*_limits(model, metrics, simulated), *limitations]]
    if provenance:
        software = ", ".join(f"{name} {version}" for name, version in provenance.get("software", {}).items())
        lines += [
            "",
            "## Provenance",
            "",
            f"- {provenance['statement']}",
            f"- configuration `{provenance['configuration']['digest'][:12]}`, code `{str(provenance['code'])[:12]}`",
        ]
        lines += [f"- weights of `{name}`: SHA-256 `{entry['sha256']}`" for name, entry in provenance.get("weights", {}).items()]
        lines += [f"- {software}", f"- created {provenance['created']}"]
    return "\n".join(lines) + "\n"


def _start(parent: Mapping[str, Any] | None) -> list[str]:
    """Where the first weights came from: a file from elsewhere, a model, or nowhere."""
    if not parent:
        return ["- started from random weights"]
    if "file" not in parent:
        return [f"- started from `{parent['name']}` (weights `{parent['weights_sha256'][:12]}`)"]
    prefix = f", names below `{parent['prefix']}`" if parent.get("prefix") else ""
    return [f"- started from the file `{parent['file']}` (SHA-256 `{parent['sha256']}`{prefix})", *(f"  - {note}" for note in parent.get("notes", ()))]


def _results(metrics: Mapping[str, Any] | None) -> list[str]:
    sections = {name: s for name, s in (metrics or {}).get("sections", {}).items() if s}
    if not metrics or not sections:
        return ["Not evaluated: there were no labelled rows that the network had not seen.", ""]
    lines = []
    for name, section in sections.items():
        level = f"{100 * metrics['level']:g} %"
        lines += [f"### {wording.SECTIONS.get(name, name)}", ""]
        lines += [f"{section['n']} rows; {level} intervals from {metrics['resamples']} resamples of {section['n_groups']} groups (`{section['groups']}`).", ""]
        headline = wording.LABELS.get(metrics["headline"], metrics["headline"])
        lines += _table((headline + f" ({metrics['better']} is better)", "value", "network minus this"), wording.comparison_rows(section))
        if metrics["task"] == "classes" and (classes := wording.class_rows(section.get("confusion"), metrics["level"])):
            lines += [*_table(wording.CLASS_HEADER, classes), wording.CLASS_NOTE, ""]
        lines += _table(("metric", "network"), wording.metric_rows(section, metrics["targets"], metrics["task"]))
    return lines


def _comparisons(comparisons: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for found in comparisons.values():
        first, second = found["names"]
        verdict = "the interval excludes zero" if found["significant"] else "the interval includes zero: no difference shown"
        headline = wording.LABELS.get(found["headline"], found["headline"])
        values = ", ".join(f"`{name}` {wording.interval(found[name])}" for name in (first, second))
        lines += [
            f"Against `{second}` on the same {found['difference']['n']} {found['split']} rows ({headline}): {values}, "
            f"paired difference {wording.interval(found['difference'])}; {verdict}.",
            "",
        ]
    return lines


def _uncertainty(metrics: Mapping[str, Any] | None) -> list[str]:
    found = (metrics or {}).get("uncertainty")
    if not found:
        return []
    return ["### Sets and intervals, probabilities", "", uncertainty.report_note(found), "", *_table(("", "test rows"), uncertainty.report_rows(found))]


def _domains(metrics: Mapping[str, Any] | None) -> list[str]:
    found = (metrics or {}).get("domains")
    return [*_table(wording.DOMAIN_HEADER, wording.domain_rows(found)), wording.domain_note(found), ""] if found else []


def _limits(model: Mapping[str, Any], metrics: Mapping[str, Any] | None, simulated: bool) -> list[str]:
    if model["task"] == "regression":
        limits = ["The labels are measurements with errors and a selection of their own: the network learned these too, and knows no other galaxies."]
    elif model["task"] == "classes":
        limits = ["The labels carry the depth, resolution and filter of their survey, and the rules or eyes that made them."]
    else:
        limits = ["The labels are what people saw in these images; they carry the depth, resolution and filter of their survey."]
    if "file" in (model.get("parent") or {}):
        limits.append("What the network of its first weights was trained on is not known here: objects of its test set may be among it.")
    if simulated:
        limits.append("Simulated: not for science.")
    section = ((metrics or {}).get("sections") or {}).get("test")
    if section and section["n_groups"] < 20:
        limits.append(f"Tested on {section['n_groups']} groups only: its intervals are too narrow.")
    if section and any("assumed" in str(entry.get("source")) for entry in section.get("floor", {}).values()):
        limits.append("The number of votes of each label is not known; the noise floor assumes one.")
    if (model.get("head") or {}).get("name") in ("quantile", "gaussian", "dirichlet_multinomial"):
        limits.append(
            "The quantiles and standard deviations that the network gives were learned from its training rows; how far they hold on rows that it has "
            "not seen is in the table above."
        )
    elif model["task"] == "regression":
        limits.append("The standard deviation of a prediction is the scatter of its views and networks: a part of its error, not all of it.")
    else:
        limits.append("Probabilities are calibrated only as far as the calibration error and the report's figure say.")
    return limits


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cell = lambda text: str(text).replace("|", "\\|")  # noqa: E731
    return ["| " + " | ".join(map(cell, header)) + " |", "|" + " --- |" * len(header), *("| " + " | ".join(map(cell, row)) + " |" for row in rows), ""]
