"""Figures with galaxies in them: a gallery of stamps, examples of predictions, and where a sample lies in magnitude and size."""

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from tuningfork.publishing.figures_base import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, blank, new_figure, plain, pretty, styled

__all__ = ["displayed", "example_predictions", "magnitude_size", "stamp_gallery"]

Stretch = Literal["asinh", "linear"]

STATUSES = {
    # status: colour, marker; drawn in this order, so that the rare lie over the many
    "ok": (BLUE, "o"),
    "partial": (SKY, "s"),
    "outside_footprint": (GREY, "x"),
    "absent": ("#000000", "+"),
    "blank": (PURPLE, "v"),
    "too_small": (ORANGE, "^"),
    "nonfinite": (GREEN, "D"),
    "failed": (VERMILION, "X"),
}


def displayed(stamp: ArrayLike, stretch: Stretch = "asinh") -> NDArray[np.float64]:
    """One stamp as an image for the eye.

    Parameters
    ----------
    stamp : array_like, shape (H, W), (C, H, W) or, for 8-bit pictures, (C, H, W) of 0 to 255
        Pixels. One plane, or two, or more than three, are shown as the mean of the planes. Three are red, green and blue in that order in 8-bit
        pictures; three planes of numbers are bands from short to long wavelengths, so the last is red.
    stretch : {"asinh", "linear"}
        asinh of the signal above the median in units of three robust sigmas, or straight; both cut at the 99.8th percentile.
        8-bit pictures are shown as they are.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, 3)
        0 to 1; NaN where a one-plane stamp has no finite pixel. A stamp without any finite pixel is all NaN.
    """
    array = np.asarray(stamp)
    eight_bit = array.dtype == np.uint8
    image = array.astype(float)
    if image.ndim == 3:
        image = np.moveaxis(image if eight_bit else image[::-1], 0, -1) if image.shape[0] == 3 else image.mean(axis=0)
    if eight_bit:
        return image / 255
    good = np.isfinite(image)
    if not good.any():
        return np.full(image.shape, np.nan)
    image = np.where(good, image, np.nan)
    sky = np.nanmedian(image, axis=(0, 1))
    if stretch == "asinh":
        sigma = 1.4826 * np.nanmedian(np.abs(image - sky)) or np.nanstd(image) or 1.0
        image = np.arcsinh((image - sky) / (3 * sigma))
    low, high = np.nanpercentile(image, [1.0, 99.8])
    if high <= low:
        low, high = float(np.nanmin(image)), float(np.nanmax(image))
    image = np.clip((image - low) / ((high - low) or 1.0), 0, 1)
    return np.nan_to_num(image) if image.ndim == 3 else image


def _show(axes: Axes, stamp: ArrayLike, stretch: Stretch) -> None:
    image = displayed(stamp, stretch)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    if np.isnan(image).all() or not np.any(np.asarray(stamp)):
        axes.set_facecolor("#EEEEEE")
        axes.set_box_aspect(1)
        axes.text(0.5, 0.5, "no pixels", transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=8)
        return
    palette = matplotlib.colormaps["gray"].with_extremes(bad="#8C5A2B")
    # Imported pictures count rows from the top, images of the sky from the bottom.
    axes.imshow(image, cmap=palette, vmin=0, vmax=1, origin="upper" if np.asarray(stamp).dtype == np.uint8 else "lower")


@styled
def stamp_gallery(
    pixels: ArrayLike,
    titles: Sequence[str] | None = None,
    *,
    ncols: int = 6,
    stretch: Stretch = "asinh",
    heading: str = "",
    simulated: bool = False,
) -> Figure:
    """Stamps side by side.

    Parameters
    ----------
    pixels : array_like, shape (N, H, W) or (N, C, H, W)
        Stamps; see `displayed`. Pixels that are not finite are brown; a stamp of zeros is shown as absent.
    titles : sequence of str, optional
        A line or two above each.
    ncols : int
        Stamps in a row.
    stretch : {"asinh", "linear"}
        How brightness is shown; each stamp by its own sky and peak.
    heading : str
        A line above all.

    Raises
    ------
    ValueError
        As many titles as stamps are needed.
    """
    stamps = np.asarray(pixels)
    if titles is not None and len(titles) != len(stamps):
        raise ValueError(f"{len(titles)} titles for {len(stamps)} stamps")
    columns = max(1, min(ncols, len(stamps)))
    rows = max(1, -(-len(stamps) // columns))
    lines = max((str(title).count("\n") + 1 for title in titles), default=0) if titles is not None else 0
    figure = new_figure(max(3.0, 1.65 * columns), rows * (1.58 + 0.13 * lines) + (0.35 if heading else 0))
    if not len(stamps):
        blank(figure.add_subplot(), "no stamps to show")
        return figure
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(stamps) :]:
        blank(axes)
    for i, (axes, stamp) in enumerate(zip(panels, stamps, strict=False)):
        _show(axes, stamp, stretch)
        if titles is not None:
            axes.set_title(_fitted(titles[i], 24), fontsize=7, pad=2.5)
    if heading:
        figure.suptitle(plain(heading), fontsize=10.5)
    return figure


@styled
def example_predictions(
    pixels: ArrayLike,
    predicted: ArrayLike,
    target: ArrayLike | None,
    class_names: Sequence[str],
    *,
    titles: Sequence[str] | None = None,
    error: ArrayLike | None = None,
    ncols: int = 3,
    stretch: Stretch = "asinh",
    classes: bool = False,
    simulated: bool = False,
) -> Figure:
    """Stamps, each beside the predicted fractions (bars) and those of the votes (diamonds).

    Parameters
    ----------
    pixels : array_like, shape (N, H, W) or (N, C, H, W)
        Stamps; see `displayed`.
    predicted, target : array_like, shape (N, K)
        Fractions; `target` may be None, and its rows NaN, where there are no votes.
    class_names : sequence of str
        Names of the K columns.
    titles : sequence of str, optional
        A line above each stamp.
    error : array_like, shape (N, K), optional
        One standard deviation of the predictions.
    classes : bool
        Each object has one true class, and `target` is 1 there: it alone is marked.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    stamps, p = np.asarray(pixels), np.asarray(predicted, dtype=float)
    t = np.full_like(p, np.nan) if target is None else np.asarray(target, dtype=float)
    t = np.where(t > 0, t, np.nan) if classes else t
    if p.shape != (len(stamps), len(class_names)) or t.shape != p.shape:
        raise ValueError(f"{len(stamps)} stamps, predictions {p.shape} and votes {t.shape} for {len(class_names)} classes do not fit")
    columns = max(1, min(ncols, len(stamps)))
    rows = max(1, -(-len(stamps) // columns))
    figure = new_figure(max(4.0, 3.9 * columns), 0.5 + rows * max(1.75, 0.3 * len(class_names) + 0.35))
    if not len(stamps):
        blank(figure.add_subplot(), "no examples to show")
        return figure
    names = [pretty(name) for name in class_names]
    y = np.arange(len(names))
    grid = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1.15, 1] * columns)
    for i in range(rows * columns):
        row, column = divmod(i, columns)
        left, right = grid[row, 2 * column], grid[row, 2 * column + 1]
        if i >= len(stamps):
            blank(left)
            blank(right)
            continue
        _show(left, stamps[i], stretch)
        if titles is not None:
            left.set_title(_fitted(titles[i], 27), fontsize=7.5, pad=3)
        bars = None if error is None else np.nan_to_num(np.asarray(error, dtype=float)[i])
        right.barh(y, p[i], height=0.62, color=BLUE, alpha=0.75, xerr=bars, error_kw={"lw": 1, "capsize": 1.5})
        right.plot(t[i], y, "D", ms=5.5, mfc=ORANGE, mec="black", mew=0.6, ls="", clip_on=False, zorder=4)
        right.set_yticks(y, names, fontsize=8)
        right.set_ylim(len(names) - 0.5, -0.5)
        right.set_xlim(0, 1)
        right.grid(axis="y", visible=False)
        last = i + columns >= len(stamps)
        right.set_xticks([0, 0.5, 1], ["0", ".5", "1"] if last else [])
        right.set_xlabel(("probability" if classes else "fraction") if last else "")
    handles = [
        Line2D([], [], color=BLUE, alpha=0.75, lw=7, label="predicted"),
        Line2D([], [], marker="D", mfc=ORANGE, mec="black", mew=0.6, ls="", ms=6, label="true class" if classes else "votes"),
    ]
    figure.legend(handles=handles if np.isfinite(t).any() else handles[:1], loc="outside upper center", ncols=2)
    return figure


def _fitted(title: str, width: int) -> str:
    """A title whose lines are not longer than `width` characters: the middle of a long one gives way."""
    lines = []
    for line in str(title).splitlines():
        keep = (width - 1) // 2
        lines.append(line if len(line) <= width else f"{line[:keep]}…{line[-keep:]}")
    return plain("\n".join(lines))


@styled
def magnitude_size(
    magnitude: ArrayLike,
    size: ArrayLike,
    status: Sequence[str] | NDArray[Any],
    *,
    magnitude_label: str = "magnitude (AB)",
    size_label: str = "Petrosian radius (arcsec)",
    limit: float | None = None,
    simulated: bool = False,
) -> Figure:
    """Where a sample lies in magnitude and size, coloured by what became of each object's stamp, with histograms at the sides.

    Parameters
    ----------
    magnitude, size : array_like, shape (N,)
        AB magnitudes and sizes in arcsec; objects without either, or with a size that is not positive, are only counted in the legend.
    status : sequence of str, shape (N,)
        Status of each stamp, as in the ledger.
    limit : float, optional
        The magnitude cut of the sample, drawn as a line.
    """
    m: NDArray[np.float64] = np.ma.filled(np.ma.masked_invalid(np.ma.asarray(magnitude, dtype=float)), np.nan)
    r: NDArray[np.float64] = np.ma.filled(np.ma.masked_invalid(np.ma.asarray(size, dtype=float)), np.nan)
    states = np.asarray(status).astype(str)
    with np.errstate(invalid="ignore"):
        shown = np.isfinite(m) & (r > 0)
    figure = new_figure(8.2, 5.4)
    if not len(m):
        blank(figure.add_subplot(), "no objects")
        return figure
    grid = figure.add_gridspec(2, 2, width_ratios=[4, 1], height_ratios=[1, 3.4])
    axes = figure.add_subplot(grid[1, 0])
    above, beside = figure.add_subplot(grid[0, 0], sharex=axes), figure.add_subplot(grid[1, 1], sharey=axes)
    known = [name for name in STATUSES if name in states] + sorted(set(states) - set(STATUSES))
    handles = []
    for name in known:
        colour, marker = STATUSES.get(name, (GREY, "."))
        mine = states == name
        many = mine.sum() > 3000
        here = mine & shown
        axes.plot(
            m[here], r[here], marker, ms=2.2 if many else 4, color=colour, alpha=0.25 if many else 0.65, mew=1 if marker in "x+" else 0, rasterized=bool(many)
        )
        absent = int((mine & ~shown).sum())
        text = f"{name.replace('_', ' ')}: {int(mine.sum()):,}" + (f"\n({absent:,} not drawn)" if absent else "")
        handles.append(Line2D([], [], ls="", marker=marker, color=colour, mew=1.4 if marker in "x+" else 0, label=plain(text)))
    if shown.any():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        above.hist(m[shown], bins=40, color=GREY, alpha=0.7)
        steps = np.geomspace(r[shown].min(), r[shown].max() * 1.0001, 36)
        beside.hist(r[shown], bins=list(steps), orientation="horizontal", color=GREY, alpha=0.7)
    if limit is not None:
        axes.axvline(limit, color="black", lw=1, ls=":")
        axes.annotate(f"cut {limit:g} ", (limit, 1), xycoords=("data", "axes fraction"), ha="right", va="top", fontsize=8.5)
    above.tick_params(labelbottom=False)
    beside.tick_params(labelleft=False)
    above.set_ylabel("objects")
    beside.set_xlabel("objects")
    axes.set_xlabel(magnitude_label)
    axes.set_ylabel(size_label)
    figure.legend(handles=handles, loc="outside right upper", labelspacing=0.9)
    return figure
