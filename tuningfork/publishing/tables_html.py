"""The key numbers as one small HTML file: no script, no link, styles inside, so that a report can embed it."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from astropy.table import Table

from tuningfork.publishing import uncertainty, wording
from tuningfork.publishing.flags import MEANINGS, Flag

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:60rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.35rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;margin:.6rem 0 1.2rem;width:100%}
th,td{text-align:left;padding:.3rem .7rem;border-bottom:1px solid #d8dee4;vertical-align:top}
th{border-bottom:2px solid #57606a}td{font-variant-numeric:tabular-nums}td.n{white-space:nowrap}
tr.network td{font-weight:600;background:#eef4fb}p.note{color:#57606a}
.scroll{overflow-x:auto}.scroll table{width:auto}
p.simulated{border:2px solid #b35900;background:#fff4e5;padding:.5rem .8rem;font-weight:600}
"""
SHORT = 32
"""Characters of a cell that is kept on one line."""


def metrics_page(report: Mapping[str, Any], title: str | None = None) -> str:
    """The page of one model: paired comparisons with other models first, then the network beside the floor and its baselines.

    Parameters
    ----------
    report : mapping
        What `analysis.evaluate.evaluate` gave; its ``comparisons`` (name of the other model -> what `analysis.evaluate.compare` gave) are shown too.
    title : str, optional
        Of the page; the report's ``model`` otherwise.
    """
    body = [_simulated_banner(report)]
    for found in report.get("comparisons", {}).values():
        body.append(_comparison(found))
    if domains := report.get("domains"):
        body.append("<h2>What is left of the difference of the samples</h2>")
        body.append(_table(wording.DOMAIN_HEADER, wording.domain_rows(domains)) + f'<p class="note">{escape(wording.domain_note(domains))}</p>')
    sections = {key: s for key, s in report["sections"].items() if s}
    if not sections:
        body.append("<p>No labelled rows that the network had not seen.</p>")
    for key, section in sections.items():
        body.append(_section(report, key, section))
    if found := report.get("uncertainty"):
        body.append("<h2>Sets and intervals, probabilities</h2>" + _table(("", "test rows"), uncertainty.report_rows(found)))
        body.append(f'<p class="note">{escape(uncertainty.report_note(found))}</p>')
    return _page(title or str(report.get("model", "Metrics")), body)


def preview_page(table: Table, title: str, rows: int = 12) -> str:
    """The columns of a catalogue with their units and meaning, the number of rows by flag, and the first `rows` rows that have a prediction."""
    body = [_simulated_banner(table.meta), f'<p class="note">{len(table)} rows, {len(table.colnames)} columns.</p>']
    lines = [(name, str(table[name].unit or ""), (table[name].info.meta or {}).get("ucd", ""), table[name].info.description or "") for name in table.colnames]
    flags = np.asarray(table["flag"]) if "flag" in table.colnames else np.zeros(len(table), int)
    counts = [(str(bit.value), bit.name.lower().replace("_", " "), str(int(((flags & bit.value) > 0).sum())), MEANINGS[bit]) for bit in Flag if bit.name]
    first = next(iter(table.meta.get("targets", [])), None)
    known = np.flatnonzero(~np.ma.getmaskarray(np.ma.asarray(table[first]))) if first in table.colnames else np.arange(len(table))
    cells = [[_shown(table[name][i]) for name in table.colnames] for i in known[:rows].tolist()]
    body.append("<h2>First rows with a prediction</h2>" + f'<div class="scroll">{_table(table.colnames, cells)}</div>')
    body.append("<h2>Flag</h2>" + _table(("bit", "name", "rows", "meaning"), counts))
    body.append("<h2>Columns</h2>" + _table(("column", "unit", "UCD", "meaning"), lines))
    return _page(title, body)


def _shown(value: Any) -> str:
    if np.ma.is_masked(value):
        return ""
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _simulated_banner(facts: Mapping[str, Any]) -> str:
    if not facts.get("simulated"):
        return ""
    return '<p class="simulated">SIMULATED sky: these numbers test the machinery and say nothing about galaxies.</p>'


def _page(title: str, body: Sequence[str]) -> str:
    head = f'<head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head>'
    return f'<!doctype html>\n<html lang="en">{head}\n<body>\n<h1>{escape(title)}</h1>\n' + "\n".join(filter(None, body)) + "\n</body></html>\n"


def _section(report: Mapping[str, Any], key: str, section: Mapping[str, Any]) -> str:
    headline = wording.LABELS.get(report["headline"], report["headline"])
    note = (
        f"{section['n']} rows; {100 * report['level']:g} % intervals in brackets, from {report['resamples']} resamples of {section['n_groups']} groups "
        f"({section['groups']}); {report['better']} is better."
    )
    parts = [f"<h3>{escape(wording.SECTIONS.get(key, key))}</h3>", f'<p class="note">{escape(note)}</p>']
    parts.append(_table((headline, "value", "network minus this"), wording.comparison_rows(section), mark="network"))
    for name in ("filter_group", "band"):
        lines = section["by"].get(name, {})
        if len(lines) > 1:  # one group says what the table above says
            header = (name.replace("_", " "), "rows", "network", *section["baselines"])
            rows = [
                (value, str(line["headline"]["n"]), wording.interval(line["headline"]), *(wording.interval(line["baselines"][b]) for b in section["baselines"]))
                for value, line in lines.items()
            ]
            parts.append(f'<div class="scroll">{_table(header, rows)}</div>')
            break
    if report["task"] == "classes" and (classes := wording.class_rows(section.get("confusion"), report["level"])):
        parts.append(_table(wording.CLASS_HEADER, classes))
        parts.append(f'<p class="note">{escape(wording.CLASS_NOTE)}</p>')
    parts.append(_table(("metric", "network"), wording.metric_rows(section, report["targets"], report["task"])))
    return "\n".join(parts)


def _comparison(found: Mapping[str, Any]) -> str:
    first, second = found["names"]
    rows = [(name, wording.interval(found[name])) for name in (first, second)]
    rows.append((f"paired difference, {first} minus {second}", wording.interval(found["difference"])))
    verdict = "The interval of the difference excludes zero." if found["significant"] else "The interval of the difference includes zero: no difference shown."
    headline = wording.LABELS.get(found["headline"], found["headline"])
    change = found["difference"]
    note = f"{change['n']} {found['split']} rows of {change['n_groups']} groups, the same for both; {found['better']} is better. {verdict}"
    return f"<h2>{escape(first)} against {escape(second)}</h2>" + _table((headline, "value"), rows) + f'<p class="note">{escape(note)}</p>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], mark: str = "") -> str:
    head = "".join(f"<th>{escape(str(h))}</th>" for h in header)
    lines = []
    for row in rows:
        style = ' class="network"' if mark and row[0] == mark else ""
        lines.append(f"<tr{style}>" + "".join(_cell(str(cell)) for cell in row) + "</tr>\n")
    body = "".join(lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def _cell(text: str) -> str:
    """A table cell; a number with its interval, or an id, is not broken over two lines."""
    return f'<td class="n">{escape(text)}</td>' if len(text) <= SHORT else f"<td>{escape(text)}</td>"
