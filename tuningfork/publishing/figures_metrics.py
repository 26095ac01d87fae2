"""Figures of numbers with intervals: learning curves, errors by group, and the comparison of networks with baselines and noise floor."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from tuningfork.publishing.figures_base import BLUE, GREEN, GREY, PURPLE, VERMILION, blank, colours, new_figure, plain, spread, styled
from tuningfork.publishing.figures_sky import draw_latents

__all__ = ["counts", "learning_curves", "metric_comparison", "rmse_by"]

KINDS = {
    # kind of row: colour, marker
    "network": (BLUE, "o"),
    "scratch": (VERMILION, "s"),
    "other": (PURPLE, "D"),
    "baseline": (GREY, "X"),
    "floor": (GREEN, "|"),
}

_COLUMNS = ("epoch", "train_loss", "validation_loss", "learning_rate", "seconds")
PARTS = {
    "reconstruction": "squared error of the reconstruction",
    "kl": "divergence of the latents (nats)",
    "discrepancy": "discrepancy of the samples",
    "domain_loss": "cross-entropy of the domains (nats)",
    "domain_accuracy": "accuracy of the domains",
}
"""Parts of a validation loss, as a history names them."""


@styled
def learning_curves(
    histories: Mapping[str, Mapping[str, ArrayLike]],
    *,
    best_epoch: Mapping[str, int] | int | None = None,
    baselines: Mapping[str, float] | None = None,
    loss_label: str = "loss",
    simulated: bool = False,
) -> Figure:
    """Loss on training and validation objects over the epochs.

    Parameters
    ----------
    histories : mapping of label to mapping
        For each network the columns ``epoch``, ``train_loss`` and ``validation_loss``, all of one length; gaps (NaN) stay gaps. Further columns
        (other than ``learning_rate`` and ``seconds``) are parts of the validation loss and get a small panel each.
    best_epoch : int or mapping of label to int, optional
        The epoch whose weights were kept, marked with a star.
    baselines : mapping of name to float, optional
        Losses of trivial predictors on the validation objects: horizontal lines.
    loss_label : str
        Name of the loss, with its unit, for the axis.
    """
    parts = list(dict.fromkeys(name for history in histories.values() for name in history if name not in _COLUMNS))
    figure = new_figure(8.6, 7.0 if parts else 4.4)
    grid = figure.add_gridspec(2 if parts else 1, max(1, len(parts)), height_ratios=[1.7, 1] if parts else [1])
    axes = figure.add_subplot(grid[0, :])
    best = {label: best_epoch for label in histories} if best_epoch is None or isinstance(best_epoch, int) else dict(best_epoch)
    drawn = []
    for colour, (label, history) in zip(colours(len(histories)), histories.items(), strict=True):
        epoch, train, validation = (np.asarray(history[key], dtype=float) for key in ("epoch", "train_loss", "validation_loss"))
        alone = "." if len(epoch) < 3 else ""
        axes.plot(epoch, train, color=colour, ls=(0, (3, 2)), lw=1.1, alpha=0.8, marker=alone)
        axes.plot(epoch, validation, color=colour, marker=alone)
        drawn += [train, validation]
        kept = epoch == (np.nan if best.get(label) is None else best[label])
        if kept.any():
            axes.plot(epoch[kept][:1], validation[kept][:1], "*", ms=13, mfc=colour, mec="white", mew=0.9, zorder=5)
    values = np.concatenate([*drawn, list((baselines or {}).values())]) if drawn else np.empty(0)
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 12 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    _baseline_lines(axes, baselines or {})
    axes.set_xlabel("epoch")
    axes.set_ylabel(loss_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    for place, part in enumerate(parts):
        small = figure.add_subplot(grid[1, place])
        for colour, history in zip(colours(len(histories)), histories.values(), strict=True):
            if part in history:
                epoch, values = np.asarray(history["epoch"], dtype=float), np.asarray(history[part], dtype=float)
                small.plot(epoch, values, color=colour, marker="." if len(epoch) < 3 else "")
        small.set_title(PARTS.get(part, plain(part.replace("_", " "))), fontsize=9)
        small.set_xlabel("epoch")
        small.set_ylim(bottom=0)
        small.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    handles = [Line2D([], [], color=colour, label=plain(label)) for colour, label in zip(colours(len(histories)), histories, strict=True)]
    handles += [
        Line2D([], [], color=GREY, label="validation"),
        Line2D([], [], color=GREY, ls=(0, (3, 2)), lw=1.1, label="training"),
        *([Line2D([], [], color=GREY, ls="", marker="*", ms=10, label="weights kept")] if any(v is not None for v in best.values()) else []),
    ]
    figure.legend(handles=handles, loc="outside right upper")
    return figure


def _baseline_lines(axes: Any, baselines: Mapping[str, float]) -> None:
    shown = {name: value for name, value in baselines.items() if np.isfinite(value)}
    if not shown:
        return
    for value in shown.values():
        axes.axhline(value, color=GREY, lw=1, ls=":")
    # Labels stand right of the axes, pushed apart in axes coordinates so that near baselines stay readable.
    low, high = axes.get_ylim()
    log = axes.get_yscale() == "log"
    scale = np.log if log else np.asarray
    heights = [float((scale(value) - scale(low)) / (scale(high) - scale(low))) for value in shown.values()]
    axes.set_ylim(low, high)
    for (name, value), height, at in zip(shown.items(), heights, spread(heights, 0.065), strict=True):
        axes.annotate(
            f"{plain(name)} {value:.3f}",
            xy=(1.0, height),
            xytext=(1.03, float(at)),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=GREY,
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.7, "shrinkA": 0, "shrinkB": 0},
        )


@styled
def rmse_by(panels: Mapping[str, Sequence[Mapping[str, Any]]], *, metric_label: str = "per-sample RMSE", simulated: bool = False) -> Figure:
    """Error in each group (filter, magnitude, ...), with confidence intervals, beside the trivial baselines.

    Parameters
    ----------
    panels : mapping of title to rows
        One panel a title (such as ``filter``); a row is ``{"group": str, "n": int, "estimates": {label: (value, low, high)},
        "baselines": {label: value}}``. An interval that is not known is NaN.
    metric_label : str
        Name of the error, with its unit, for the axis.
    """
    widest = max((len(rows) for rows in panels.values()), default=1)
    figure = new_figure(min(12.0, max(6.5, 2.6 + 0.52 * widest)), 0.7 + 2.9 * max(1, len(panels)))
    if not panels:
        blank(figure.add_subplot(), "no groups")
        return figure
    estimates = list(dict.fromkeys(label for rows in panels.values() for row in rows for label in row.get("estimates", {})))
    baselines = list(dict.fromkeys(label for rows in panels.values() for row in rows for label in row.get("baselines", {})))
    tint = dict(zip(estimates, colours(len(estimates)), strict=True))
    marks = dict(zip(baselines, ("_", "x", "+", "1", "2", "3", "4") * (1 + len(baselines) // 7), strict=False))
    step = min(0.22, 0.7 / max(1, len(estimates)))
    for axes, (title, rows) in zip(np.atleast_1d(figure.subplots(len(panels), 1, sharey=True)), panels.items(), strict=True):
        x = np.arange(len(rows))
        for label in baselines:
            values = [row.get("baselines", {}).get(label, np.nan) for row in rows]
            axes.plot(x, values, ls="", marker=marks[label], ms=11 if marks[label] == "_" else 7, mew=1.8, color=GREY, zorder=2)
        for i, label in enumerate(estimates):
            triples = np.array([row.get("estimates", {}).get(label, (np.nan,) * 3) for row in rows], dtype=float).reshape(-1, 3)
            value, bars = triples[:, 0], _bars(triples)
            axes.errorbar(x + step * (i - (len(estimates) - 1) / 2), value, yerr=bars, fmt="o", ms=5, color=tint[label], elinewidth=1.4, zorder=3)
        counted = [plain(row["group"]) + (f"\n{row['n']:,}" if row.get("n") is not None else "") for row in rows]
        # Names that would run into one another are set aslant: some 11 characters fit an inch.
        room = 11 * (figure.get_figwidth() - 1) / max(1, len(rows))
        upright = len(rows) <= 10 and max((len(line) for text in counted for line in text.split("\n")), default=0) < room
        if not upright:
            counted = [text.replace("\n", ", ") for text in counted]
        axes.set_xticks(x, counted, rotation=0 if upright else 35, ha="center" if upright else "right", rotation_mode="anchor")
        if upright:
            axes.tick_params(axis="x", pad=4)
        axes.set_xlim(-0.6, max(len(rows), 1) - 0.4)
        axes.grid(axis="x", visible=False)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(metric_label)
        axes.set_xlabel(
            f"{plain(title)}; {'below' if upright else 'beside'} it the number of objects" if any(row.get("n") is not None for row in rows) else plain(title)
        )
    handles = [Line2D([], [], color=tint[label], marker="o", ls="-", label=plain(label)) for label in estimates]
    handles += [Line2D([], [], color=GREY, marker=marks[label], mew=1.8, ls="", ms=8, label=plain(label)) for label in baselines]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(max(1, len(handles)), int(figure.get_figwidth() / 1.7)))
    return figure


def _bars(triples: np.ndarray) -> np.ndarray:
    """Lengths of error bars (2, N) from values, lows and highs; unknown ends have no bar."""
    value, low, high = triples.T
    return np.nan_to_num(np.clip(np.stack([value - low, high - value]), 0, None))


@styled
def metric_comparison(
    rows: Sequence[Mapping[str, Any]],
    *,
    metric_label: str = "per-sample RMSE",
    latents: Mapping[str, ArrayLike] | None = None,
    label: Sequence[str] | np.ndarray = (),
    class_names: Sequence[str] = (),
    simulated: bool = False,
) -> Figure:
    """One number for each predictor, with its confidence interval: networks, baselines and the noise floor of the labels under one another.

    Parameters
    ----------
    rows : sequence of mappings
        ``{"label": str, "value": float, "low": float, "high": float, "kind": "network" | "scratch" | "other" | "baseline" | "floor"}``, from top
        to bottom; `low` and `high` may be absent. The floor is drawn as a line (and band) over the whole height as well.
    metric_label : str
        Name of the metric, with its unit, for the axis.
    latents, label, class_names
        Latent spaces of autoencoders, as in `figures_sky.latent_map`: drawn below the numbers, model beside model.

    Raises
    ------
    ValueError
        A kind that is none of these.
    """
    height = 1.1 + 0.42 * max(2, len(rows))
    if latents:
        figure = new_figure(max(8.6, 4.1 * len(latents) + 1.4), height + 4.3)
        above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[height, 4.3])[:, 0]
        axes = above.add_subplot()
        draw_latents(below, latents, label, class_names)
    else:
        figure = new_figure(8.0, height)
        axes = figure.add_subplot()
    if not rows:
        blank(axes, "nothing to compare")
        return figure
    for y, row in enumerate(rows):
        if row.get("kind", "network") not in KINDS:
            raise ValueError(f"{row['label']}: kind must be one of {', '.join(KINDS)}, not {row.get('kind')!r}")
        colour, marker = KINDS[row.get("kind", "network")]
        low, high = (float(v) if v is not None else np.nan for v in (row.get("low"), row.get("high")))
        bars = _bars(np.array([[row["value"], low, high]], dtype=float))
        axes.errorbar(
            row["value"],
            y,
            xerr=bars,
            fmt=marker,
            ms=9 if marker == "|" else 6,
            mew=2 if marker == "|" else 0.5,
            color=colour,
            elinewidth=2,
            capsize=4,
            capthick=1.6,
            zorder=3,
        )
        if row.get("kind") == "floor":
            axes.axvline(row["value"], color=colour, lw=1, ls=":", zorder=1)
            if np.isfinite(low) and np.isfinite(high):
                axes.axvspan(low, high, color=colour, alpha=0.10, lw=0, zorder=0)
        interval = f"  [{low:.4f}, {high:.4f}]" if np.isfinite(low) and np.isfinite(high) else ""
        axes.text(1.02, y, f"{row['value']:.4f}{interval}", transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
    axes.set_yticks(range(len(rows)), [plain(row["label"]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.08)
    if axes.get_xlim()[0] > 0 or all(row["value"] >= 0 for row in rows):
        axes.set_xlim(left=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(metric_label)
    axes.text(1.02, -0.75, "value  [confidence interval]", transform=axes.get_yaxis_transform(), fontsize=8.5, color=GREY)
    return figure


@styled
def counts(numbers: Mapping[str, int], *, label: str = "objects", simulated: bool = False) -> Figure:
    """Numbers of objects under one another, from top to bottom as given.

    Parameters
    ----------
    numbers : mapping of name to int
        One bar each.
    label : str
        What is counted, for the axis.
    """
    figure = new_figure(7.0, 0.9 + 0.36 * max(1, len(numbers)))
    axes = figure.add_subplot()
    if not numbers:
        blank(axes, "nothing to count")
        return figure
    y = np.arange(len(numbers))
    axes.barh(y, list(numbers.values()), height=0.6, color=BLUE, alpha=0.85)
    for at, number in zip(y, numbers.values(), strict=True):
        axes.annotate(f"{number:,}", (number, at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set_yticks(y, [plain(name.replace("_", " ")) for name in numbers])
    axes.set_ylim(len(numbers) - 0.5, -0.5)
    axes.set_xlim(0, 1.1 * max(1, *numbers.values()))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(label)
    return figure
