"""The key numbers as one small HTML file: no script, no link, styles inside, so that a report can embed it."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tuningfork.publishing import numbers

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:60rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.35rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;margin:.6rem 0 1.2rem;width:100%}
th,td{text-align:left;padding:.3rem .7rem;border-bottom:1px solid #d8dee4;vertical-align:top}
th{border-bottom:2px solid #57606a}td+td,th+th{font-variant-numeric:tabular-nums;white-space:nowrap}
tr.network td{font-weight:600;background:#eef4fb}p.note{color:#57606a}
p.simulated{border:2px solid #b35900;background:#fff4e5;padding:.5rem .8rem;font-weight:600}
"""


def metrics_page(reports: Mapping[str, Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]] = (), title: str = "Metrics") -> str:
    """A page with, for each model of `reports` (name -> what `analysis.evaluate.evaluate` gave), the network beside floor and baselines, the other
    metrics, and the headline by filter group; then the paired `comparisons` of models.
    """  # noqa: D205
    body = [f"<h1>{escape(title)}</h1>"]
    if any(report.get("simulated") for report in reports.values()):
        body.append('<p class="simulated">SIMULATED sky: these numbers test the machinery and say nothing about galaxies.</p>')
    for found in comparisons:
        body.append(_comparison(found))
    for name, report in reports.items():
        body.append(f"<h2>{escape(name)}</h2>")
        sections = {key: s for key, s in report["sections"].items() if s}
        if not sections:
            body.append("<p>No labelled rows that the network had not seen.</p>")
        for key, section in sections.items():
            body.append(_section(report, key, section))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _section(report: Mapping[str, Any], key: str, section: Mapping[str, Any]) -> str:
    headline = numbers.LABELS.get(report["headline"], report["headline"])
    note = (
        f"{section['n']} rows; {100 * report['level']:g} % intervals in brackets, from {report['resamples']} resamples of {section['n_groups']} groups "
        f"({section['groups']}); {report['better']} is better."
    )
    parts = [f"<h3>{escape(numbers.SECTIONS.get(key, key))}</h3>", f'<p class="note">{escape(note)}</p>']
    parts.append(_table((headline, "value", "network minus this"), numbers.comparison_rows(section), mark="network"))
    for name in ("filter_group", "band"):
        lines = section["by"].get(name, {})
        if lines:
            header = (name.replace("_", " "), "rows", "network", *section["baselines"])
            rows = [
                (value, str(line["headline"]["n"]), numbers.interval(line["headline"]), *(numbers.interval(line["baselines"][b]) for b in section["baselines"]))
                for value, line in lines.items()
            ]
            parts.append(_table(header, rows))
            break
    parts.append(_table(("metric", "network"), numbers.metric_rows(section, report["targets"], report["task"])))
    return "\n".join(parts)


def _comparison(found: Mapping[str, Any]) -> str:
    first, second = found["names"]
    rows = [(name, numbers.interval(found[name])) for name in (first, second)]
    rows.append((f"paired difference, {first} minus {second}", numbers.interval(found["difference"])))
    verdict = "The interval of the difference excludes zero." if found["significant"] else "The interval of the difference includes zero: no difference shown."
    headline = numbers.LABELS.get(found["headline"], found["headline"])
    note = f"{found['difference']['n']} {found['split']} rows of {found['difference']['n_groups']} groups, the same for both; {found['better']} is better. {verdict}"
    return f"<h2>{escape(first)} against {escape(second)}</h2>" + _table((headline, "value"), rows) + f'<p class="note">{escape(note)}</p>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], mark: str = "") -> str:
    head = "".join(f"<th>{escape(str(h))}</th>" for h in header)
    body = "".join(
        f"<tr{' class="network"' if mark and row[0] == mark else ''}>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"
