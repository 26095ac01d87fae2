"""Figures of predictions against truth: calibration of fractions, confusion of classes, scatter of a regression."""

from collections.abc import Sequence
from math import erf

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FormatStrFormatter
from numpy.typing import ArrayLike, NDArray

from tuningfork.publishing.figures_base import BLUE, GREY, VERMILION, blank, new_figure, plain, pretty, styled

__all__ = ["calibration", "confusion", "regression_calibration", "regression_scatter"]

CROWDED = 5
"""With more classes than this, empty cells of a confusion stay empty."""
FEW = 5
"""A bin of fewer objects is drawn hollow, without error bar and line: its mean says little, its scatter nothing."""

BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
Floats = NDArray[np.float64]


@styled
def calibration(
    predicted: ArrayLike, target: ArrayLike, class_names: Sequence[str], *, bins: int = 10, classes: bool = False, simulated: bool = False
) -> Figure:
    """Mean vote fraction against mean predicted fraction in bins of the prediction, class by class, with the counts below.

    Parameters
    ----------
    predicted, target : array_like, shape (N, K)
        Fractions between 0 and 1; rows with a NaN are left out.
    class_names : sequence of str
        Names of the K columns.
    bins : int
        Equal bins between 0 and 1.
    classes : bool
        Each object has one true class, and `target` is 1 there: the axes then speak of probabilities instead of votes.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    p, t = _pair(predicted, target)
    if p.ndim != 2 or p.shape[1] != len(class_names):
        raise ValueError(f"predictions of shape {p.shape} for {len(class_names)} classes")
    good = np.isfinite(p).all(axis=1) & np.isfinite(t).all(axis=1)
    p, t = p[good], t[good]
    columns = min(5, max(1, len(class_names)))
    rows = -(-len(class_names) // columns)
    figure = new_figure(max(4.0, 2.25 * columns + 0.3), 3.5 * rows)
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[3, 1] * rows)
    # One scale of counts for all classes, so that the panels of a row can be compared.
    counts = [np.histogram(np.clip(p[:, k], 0, 1), bins, (0, 1))[0] for k in range(p.shape[1])]
    top = 2.2 * max((int(c.max()) for c in counts), default=1) if len(p) else 2
    for k, name in enumerate(class_names):
        row, column = divmod(k, columns)
        upper = figure.add_subplot(grid[2 * row, column])
        lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
        _reliability(upper, p[:, k], t[:, k], bins)
        edges = np.linspace(0, 1, bins + 1)
        lower.bar(edges[:-1], counts[k], width=1 / bins, align="edge", color=BLUE, alpha=0.55, edgecolor="white", lw=0.6)
        if counts[k].any():
            lower.set_yscale("log")
        lower.set_ylim(0.7, top)
        lower.set_xlabel("predicted probability" if classes else "predicted fraction")
        upper.set_title(pretty(name))
        upper.tick_params(labelbottom=False)
        for axes in (upper, lower):
            axes.tick_params(labelleft=column == 0)
        if column == 0:
            upper.set_ylabel("share that is of the class" if classes else "mean vote fraction")
            lower.set_ylabel("objects")
    return figure


def _reliability(axes: Axes, p: Floats, t: Floats, bins: int) -> None:
    index = np.minimum((np.clip(p, 0, 1) * bins).astype(int), bins - 1)
    n = np.bincount(index, minlength=bins)
    some = n > 0
    count = n[some]
    mean_p, mean_t, square = (np.bincount(index, weights=w, minlength=bins)[some] / count for w in (p, t, t * t))
    error = np.sqrt(np.maximum(square - mean_t**2, 0) / np.maximum(count - 1, 1))
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
    enough = count >= FEW
    axes.errorbar(mean_p[enough], mean_t[enough], yerr=error[enough], fmt="o-", ms=4, lw=1.1, color=BLUE)
    axes.plot(mean_p[~enough], mean_t[~enough], "o", ms=4, mfc="white", mec=BLUE, mew=1, zorder=3)
    gap = float((count * np.abs(mean_p - mean_t)).sum() / max(1, count.sum())) if len(p) else float("nan")
    axes.text(0.04, 0.96, f"mean gap {gap:.3f}\nN = {len(p):,}", transform=axes.transAxes, va="top", fontsize=8, color="#333333", bbox=BOX, zorder=4)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])


@styled
def confusion(matrix: ArrayLike, class_names: Sequence[str], *, truth_label: str = "most votes", simulated: bool = False) -> Figure:
    """Counts of true (rows) against predicted classes (columns), coloured by the fraction of each row.

    Parameters
    ----------
    matrix : array_like of int, shape (K, K)
        Objects of true class i that were predicted as class j.
    class_names : sequence of str
        Names of the K classes.
    truth_label : str
        What "true" means, for the axis.

    Raises
    ------
    ValueError
        A matrix that is not square or does not fit the names.
    """
    counts = np.asarray(matrix, dtype=float)
    k = len(class_names)
    if counts.shape != (k, k):
        raise ValueError(f"a confusion matrix of shape {counts.shape} for {k} classes")
    total = counts.sum(axis=1, keepdims=True)
    fraction = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    size = max(3.4, 0.95 * k + 1.4)
    figure = new_figure(size + 1.0, size)
    axes = figure.add_subplot()
    picture = axes.imshow(fraction, cmap="cividis", vmin=0, vmax=1, origin="upper", aspect="equal")
    for i in range(k):
        for j in range(k):
            share = f"{100 * fraction[i, j]:.0f} %" if total[i, 0] else "-"
            if k > CROWDED and total[i, 0] and not counts[i, j]:
                continue  # a field of zeros hides the numbers
            ink = "black" if fraction[i, j] > 0.55 else "white"
            axes.text(j, i, f"{counts[i, j]:,.0f}\n{share}", ha="center", va="center", color=ink, fontsize=9)
    names = [pretty(name) for name in class_names]
    axes.set_xticks(range(k), names, rotation=35 if k > 2 else 0, ha="right" if k > 2 else "center", rotation_mode="anchor")
    axes.set_yticks(range(k), [f"{name}\n({int(n):,})" for name, n in zip(names, total[:, 0], strict=True)])
    axes.set_xlabel("predicted class")
    axes.set_ylabel(f"{plain(truth_label)} (objects)")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, label="fraction of the row", shrink=0.8)
    return figure


@styled
def regression_scatter(true: ArrayLike, predicted: ArrayLike, *, label: str, unit: str = "", error: ArrayLike | None = None, simulated: bool = False) -> Figure:
    """Predicted against true values with the residuals below; RMSE, NMAD and bias are written in.

    NMAD is 1.4826 times the median of |d - median(d)|. Above 3,000 objects a density map replaces the points.

    Parameters
    ----------
    true, predicted : array_like, shape (N,)
        In the same unit; pairs with a NaN are left out.
    label : str
        Name of the quantity, such as ``12 + log(O/H)``.
    unit : str
        Its unit, such as ``dex``.
    error : array_like, shape (N,), optional
        One standard deviation of the predictions, drawn up to 3,000 objects.
    """
    t, p = _pair(true, predicted)
    good = np.isfinite(t) & np.isfinite(p)
    t, p = t[good], p[good]
    figure = new_figure(5.6, 6.8)
    if not len(t):
        blank(figure.add_subplot(), "no objects with a true and a predicted value")
        return figure
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.15])
    d = p - t
    low, high = np.percentile(np.concatenate([t, p]), [0.05, 99.95])
    pad = 0.05 * (high - low) or 1.0
    low, high = low - pad, high + pad
    # of few objects every one is shown; of many, a few far ones may lie outside
    reach = max(float(np.percentile(np.abs(d), 100 if len(t) < 600 else 99.5)) * 1.2, 1e-12)
    if len(t) > 3000:
        for axes, y, limits in ((upper, p, (low, high)), (lower, d, (-reach, reach))):
            counts, xe, ye = np.histogram2d(t, y, bins=(90, 90 if axes is upper else 45), range=((low, high), limits))
            image = axes.pcolormesh(xe, ye, np.where(counts > 0, counts, np.nan).T, cmap="viridis", norm=LogNorm(1, max(2, counts.max())), rasterized=True)
            if axes is upper:
                figure.colorbar(image, ax=axes, label="objects", shrink=0.8, format=FormatStrFormatter("%d"))
    else:
        bars = None if error is None else np.asarray(error, dtype=float)[good]
        if bars is not None:
            upper.errorbar(t, p, yerr=np.nan_to_num(bars), fmt="none", ecolor=BLUE, elinewidth=0.7, alpha=0.25, capsize=0)
        for axes, y in ((upper, p), (lower, d)):
            axes.plot(t, y, "o", ms=3.5, color=BLUE, alpha=0.55 if len(t) < 600 else 0.3, mec="none")
    _running(upper, lower, t, d)
    upper.plot([low, high], [low, high], color=GREY, ls="--", lw=1.1)
    lower.axhline(0, color=GREY, ls="--", lw=1.1)
    upper.set_xlim(low, high)
    upper.set_ylim(low, high)
    lower.set_ylim(-reach, reach)
    suffix = f" ({plain(unit)})" if unit else ""
    upper.set_ylabel(f"predicted {plain(label)}{suffix}")
    lower.set_xlabel(f"true {plain(label)}{suffix}")
    lower.set_ylabel(f"predicted - true{suffix}")
    nmad = 1.4826 * np.median(np.abs(d - np.median(d)))
    space = f" {plain(unit)}" if unit else ""
    text = f"N = {len(d):,}\nRMSE {np.sqrt(np.mean(d**2)):.4g}{space}\nNMAD {nmad:.4g}{space}\nbias {np.mean(d):+.3g}{space}"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 2.5}
    upper.text(0.035, 0.965, text, transform=upper.transAxes, va="top", bbox=box)
    return figure


@styled
def regression_calibration(
    true: ArrayLike,
    predicted: ArrayLike,
    *,
    label: str,
    unit: str = "",
    error: ArrayLike | None = None,
    stated: bool = False,
    simulated: bool = False,
) -> Figure:
    """Whether predicted values can be taken at their word: mean true value at each predicted one, and how often the given errors hold.

    Parameters
    ----------
    true, predicted : array_like, shape (N,)
        In the same unit; pairs with a NaN are left out.
    label, unit : str
        Name and unit of the quantity.
    error : array_like, shape (N,), optional
        One standard deviation of each prediction; adds the share of true values within a multiple of it, beside that of a Gaussian.
    stated : bool
        The error is the whole that the network predicts, not the scatter of its views alone.
    """
    t, p = _pair(true, predicted)
    good = np.isfinite(t) & np.isfinite(p)
    sigma = np.full(len(t), np.nan) if error is None else np.asarray(error, dtype=float)
    t, p, sigma = t[good], p[good], sigma[good]
    known = np.isfinite(sigma) & (sigma > 0)
    figure = new_figure(9.4 if known.any() else 5.2, 4.5)
    if not len(t):
        blank(figure.add_subplot(), "no objects with a true and a predicted value")
        return figure
    panels = figure.subplots(1, 2 if known.any() else 1, squeeze=False)[0]
    left = panels[0]
    left.plot(p, t, "o", ms=2.5, color=BLUE, alpha=0.3 if len(t) < 600 else 0.12, mec="none", rasterized=len(t) > 3000)
    groups = np.array_split(np.argsort(p, kind="stable"), max(1, min(10, len(t) // 15)))
    mean_p, mean_t, spread = np.array([(p[i].mean(), t[i].mean(), t[i].std() / np.sqrt(max(1, len(i) - 1))) for i in groups]).T
    edges = np.array([p.min(), p.max()])
    left.plot(edges, edges, color=GREY, lw=1.1, ls="--", label="on average right")
    left.errorbar(mean_p, mean_t, yerr=spread, fmt="o-", ms=4.5, color=VERMILION, label="mean, with its error")
    suffix = f" ({plain(unit)})" if unit else ""
    left.set_xlabel(f"predicted {plain(label)}{suffix}")
    left.set_ylabel(f"true {plain(label)}{suffix}")
    left.legend(loc="lower right")
    if known.any():
        right, ratio = panels[1], np.sort(np.abs(p - t)[known] / sigma[known])
        multiple = np.linspace(0, 5, 201)
        right.plot(multiple, [erf(x / np.sqrt(2)) for x in multiple], color=GREY, lw=1.1, ls="--", label="Gaussian errors")
        right.plot(multiple, np.searchsorted(ratio, multiple, side="right") / len(ratio), color=BLUE, label="found")
        right.set_xlabel("multiple of the predicted standard deviation" if stated else "multiple of the standard deviation of the views")
        right.set_ylabel("share of true values within it")
        right.set_xlim(0, 5)
        right.set_ylim(0, 1.02)
        typical = float(np.quantile(ratio, 0.683))
        text = f"68.3 % lie within {typical:.1f} standard deviations" + (
            "\nthe scatter of the views is only a part of the error" if typical > 1.5 and not stated else ""
        )
        right.set_title(text, fontsize=9, loc="left")
        right.legend(loc="lower right")
    return figure


def _running(upper: Axes, axes: Axes, x: Floats, y: Floats) -> None:
    """Draw the median and the 16 to 84 per cent range of y in bins of x that hold equal numbers; the legend goes where there is room."""
    bins = min(10, len(x) // 15)
    if bins < 2:
        return
    parts = np.array_split(np.argsort(x, kind="stable"), bins)
    middle = [np.median(x[i]) for i in parts]
    low, median, high = np.array([np.percentile(y[i], [16, 50, 84]) for i in parts]).T
    axes.fill_between(middle, low, high, color=VERMILION, alpha=0.18, lw=0)
    axes.plot(middle, median, color=VERMILION, marker=".")
    handles = [Line2D([], [], color=VERMILION, marker=".", label="running median below"), Patch(color=VERMILION, alpha=0.18, lw=0, label="16 to 84 %")]
    upper.legend(handles=handles, loc="lower right", borderpad=0.1)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    one, two = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if one.shape != two.shape:
        raise ValueError(f"two arrays that do not fit: shapes {one.shape} and {two.shape}")
    return one, two
