"""The figure of a calibration: coverage found against coverage asked for, by group, and how sure the network is against how often it is right."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tuningfork.publishing.figures_base import BLUE, GREY, VERMILION, blank, new_figure, plain, styled

__all__ = ["coverage"]

MOST_GROUPS = 16
FEW = 5
Entry = Mapping[str, Any]


@styled
def coverage(
    levels: Sequence[Entry],
    groups: Sequence[tuple[str, Entry]],
    *,
    asked: float,
    confidence: Mapping[str, Mapping[str, Any]] | None = None,
    errors: tuple[float, float] | None = None,
    what: str = "intervals",
    simulated: bool = False,
) -> Figure:
    """Coverage on test rows.

    Parameters
    ----------
    levels : sequence of mapping
        ``level``, and ``value``, ``lo``, ``hi`` of the share that was found.
    groups : sequence of (name, mapping)
        Groups of rows, with ``value``, ``lo``, ``hi`` and ``n`` of their coverage; the first sixteen are drawn.
    asked : float
        The coverage of the catalogue.
    confidence : mapping, optional
        ``before`` and ``after`` temperature scaling: ``count``, ``predicted`` and ``observed`` in bins of the largest probability.
    errors : (float, float), optional
        Expected calibration error before and after, for the legend.
    what : str
        ``intervals`` or ``sets``.
    """
    if not levels:
        figure = new_figure(5, 4)
        blank(figure.add_subplot(), "no labelled rows that neither network nor calibration had seen")
        return figure
    panels = 1 + bool(groups) + (confidence is not None)
    figure = new_figure(4.6 * panels + 0.4, 4.4)
    first, *rest = figure.subplots(1, panels, squeeze=False)[0]
    _levels(first, levels, asked, what)
    if groups:
        _groups(rest.pop(0), groups[:MOST_GROUPS], asked)
    if confidence is not None:
        _confidence(rest.pop(0), confidence, errors)
    return figure


def _bars(entries: Sequence[Entry]) -> np.ndarray:
    """Lengths of the error bars, (2, N); 0 where there is no interval."""
    ends = [(e["value"] - e["lo"], e["hi"] - e["value"]) if e["lo"] is not None else (0.0, 0.0) for e in entries]
    return np.maximum(np.array(ends, dtype=float).reshape(-1, 2).T, 0)


def _levels(axes: Axes, levels: Sequence[Entry], asked: float, what: str) -> None:
    x, y = np.array([e["level"] for e in levels]), np.array([e["value"] for e in levels])
    axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1.1, label="as asked")
    axes.axvline(asked, color=VERMILION, lw=1, ls=":", label=f"in the catalogue: {asked:g}")
    axes.errorbar(x, y, yerr=_bars(levels), fmt="o-", ms=4.5, color=BLUE, label="found")
    low = max(0.0, min(x.min(), float((y - _bars(levels)[0]).min())) - 0.05)
    axes.set_xlim(min(low, x.min() - 0.05), 1.01)
    axes.set_ylim(low, 1.01)
    axes.set_xlabel("coverage asked for")
    axes.set_ylabel(f"share of labels in their {what}")
    axes.legend(loc="upper left")


def _groups(axes: Axes, groups: Sequence[tuple[str, Entry]], asked: float) -> None:
    entries = [entry for _, entry in groups]
    y = np.arange(len(groups))
    values = np.array([e["value"] for e in entries])
    axes.axvline(asked, color=VERMILION, lw=1, ls=":")
    axes.errorbar(values, y, xerr=_bars(entries), fmt="o", ms=4.5, color=BLUE)
    axes.set_yticks(y, [f"{plain(name)} ({entry['n']:,})" for name, entry in groups])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlim(max(0.0, float((values - _bars(entries)[0]).min()) - 0.05), 1.01)
    axes.set_xlabel(f"coverage ({asked:g} asked for)")


def _confidence(axes: Axes, confidence: Mapping[str, Mapping[str, Any]], errors: tuple[float, float] | None) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1.1)
    for number, (side, colour, mark) in enumerate((("before", VERMILION, "s"), ("after", BLUE, "o"))):
        found = confidence[side]
        some = np.array(found["count"]) > 0
        count = np.array(found["count"])[some]
        p, right = (np.array(found[name], dtype=float)[some] for name in ("predicted", "observed"))
        error = np.sqrt(np.maximum(right * (1 - right), 0) / count)
        enough = count >= FEW
        label = f"{side} scaling" + (f", calibration error {errors[number]:.3f}" if errors else "")
        axes.errorbar(p[enough], right[enough], yerr=error[enough], fmt=f"{mark}-", ms=4.5, color=colour, label=label)
        axes.plot(p[~enough], right[~enough], mark, ms=4.5, mfc="white", mec=colour)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("probability of the likeliest class")
    axes.set_ylabel("share that is of it")
    axes.legend(loc="upper left")
