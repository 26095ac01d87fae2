"""Figures of where things lie: objects on the sky by what became of them, and galaxies in the space that an autoencoder made for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from tuningfork.publishing.figures_base import GREY, blank, colours, new_figure, plain, pretty, styled
from tuningfork.publishing.figures_stamps import STATUSES

__all__ = ["latent_map", "sky_map"]

MANY = 3000


@styled
def sky_map(
    ra: ArrayLike,
    dec: ArrayLike,
    status: Sequence[str] | NDArray[Any],
    *,
    magnitude: ArrayLike | None = None,
    magnitude_label: str = "magnitude",
    size_label: str = "",
    simulated: bool = False,
) -> Figure:
    """Where a sample lies on the sky, coloured by what became of each object's stamp, east to the left; and its magnitudes where there are any.

    Parameters
    ----------
    ra, dec : array_like, shape (N,)
        ICRS, deg; objects without a position are only counted in the legend.
    status : sequence of str, shape (N,)
        Status of each stamp, as in the ledger.
    magnitude : array_like, shape (N,), optional
        Drawn as a histogram below the map, if any is known.
    size_label : str
        What all stamps have in common (such as their side), as a line above the map.
    """
    a, d = _filled(ra), _filled(dec)
    states = np.asarray(status).astype(str)
    shown = np.isfinite(a) & np.isfinite(d)
    m = np.full(len(a), np.nan) if magnitude is None else _filled(magnitude)
    with_magnitude = bool(np.isfinite(m).any())
    figure = new_figure(8.2, 6.0 if with_magnitude else 4.6)
    if not len(a):
        blank(figure.add_subplot(), "no objects")
        return figure
    parts = figure.subplots(2 if with_magnitude else 1, 1, height_ratios=[2.6, 1] if with_magnitude else [1], squeeze=False)[:, 0]
    axes: Axes = parts[0]
    start = _widest_gap(a[shown])
    turned = np.mod(a - start, 360) + start
    handles = []
    for name in [*(s for s in STATUSES if s in states), *sorted(set(states) - set(STATUSES))]:
        colour, marker = STATUSES.get(name, (GREY, "."))
        mine = states == name
        here, many = mine & shown, mine.sum() > MANY
        axes.plot(turned[here], d[here], marker, ms=1.6 if many else 3.2, color=colour, alpha=0.3 if many else 0.65, mew=1 if marker in "x+" else 0, ls="")
        absent = int((mine & ~shown).sum())
        text = f"{name.replace('_', ' ')}: {int(mine.sum()):,}" + (f"\n({absent:,} without position)" if absent else "")
        handles.append(Line2D([], [], ls="", marker=marker, color=colour, mew=1.4 if marker in "x+" else 0, label=plain(text)))
    axes.invert_xaxis()
    axes.margins(0.04)
    axes.xaxis.set_major_locator(MaxNLocator(8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{np.mod(value, 360):g}"))
    axes.set_xlabel("right ascension (deg, ICRS)")
    axes.set_ylabel("declination (deg, ICRS)")
    if size_label:
        axes.set_title(plain(size_label), loc="left", fontsize=9)
    if with_magnitude:
        parts[1].hist(m[np.isfinite(m)], bins=40, color=GREY, alpha=0.7)
        unknown = int((~np.isfinite(m)).sum())
        parts[1].set_xlabel(plain(magnitude_label) + (f"; unknown for {unknown:,} objects" if unknown else ""))
        parts[1].set_ylabel("objects")
    figure.legend(handles=handles, loc="outside right upper", labelspacing=0.9)
    return figure


def _filled(values: ArrayLike) -> NDArray[np.float64]:
    """Numbers (N,) with NaN where they are masked or infinite."""
    return np.asarray(np.ma.filled(np.ma.masked_invalid(np.ma.asarray(values, dtype=float)), np.nan))


def _widest_gap(ra: np.ndarray) -> float:
    """Right ascension (deg) from which the objects stand together: the end of the widest empty arc, so that none is torn apart at 0."""
    known = np.sort(np.mod(ra, 360))
    if not len(known):
        return 0.0
    gaps = np.diff(np.append(known, known[0] + 360))
    return float(known[(int(gaps.argmax()) + 1) % len(known)])


def principal(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """First two principal components (N, 2) of each block of features (N, D), each block by axes of its own."""
    result = {}
    for name, block in features.items():
        centred = block - block.mean(axis=0)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        # The sign of a singular vector is free: the largest weight is made positive, so that a figure does not flip from machine to machine.
        axes = axes[:2] * np.sign(axes[:2][np.arange(len(axes[:2])), np.abs(axes[:2]).argmax(axis=1)])[:, None]
        result[name] = centred @ axes.T
    return result


@styled
def latent_map(latents: Mapping[str, ArrayLike], label: Sequence[str] | NDArray[Any], class_names: Sequence[str], *, simulated: bool = False) -> Figure:
    """The latent space of autoencoders seen along its first two principal components, coloured by the class of the label.

    Parameters
    ----------
    latents : mapping of model name to array_like, shape (N, D), D >= 2
        Latent means of the same N objects, one panel a model; rows with a NaN in any are left out.
    label : sequence of str, shape (N,)
        Class of each object; others than `class_names` are drawn grey.
    class_names : sequence of str
        Classes in the order of the legend.
    """
    figure = new_figure(max(5.2, 4.1 * len(latents) + 1.4), 4.3)
    draw_latents(figure, latents, label, class_names)
    return figure


def draw_latents(figure: FigureBase, latents: Mapping[str, ArrayLike], label: Sequence[str] | NDArray[Any], class_names: Sequence[str]) -> None:
    """The panels of `latent_map` in a figure or a part of one."""
    blocks = {name: np.asarray(values, dtype=float) for name, values in latents.items()}
    classes = np.asarray(label).astype(str)
    good = np.all([np.isfinite(block).all(axis=1) for block in blocks.values()], axis=0) if blocks else np.zeros(0, bool)
    if good.sum() < 3:
        blank(figure.add_subplot(), "no latents")
        return
    tint = dict(zip(class_names, colours(len(class_names)), strict=True))
    places = principal({name: block[good] for name, block in blocks.items()})
    for axes, (name, place) in zip(np.atleast_1d(figure.subplots(1, len(blocks))), places.items(), strict=True):
        variance = np.var(blocks[name][good], axis=0).sum()
        share = 100 * np.var(place, axis=0) / variance if variance else np.zeros(2)
        other = ~np.isin(classes[good], list(tint))
        axes.plot(*place[other].T, ".", color=GREY, ms=3, alpha=0.3)
        for kind, colour in tint.items():
            axes.plot(*place[classes[good] == kind].T, ".", color=colour, ms=4.5, alpha=0.6)
        axes.set_title(plain(name))
        axes.set_xlabel(f"first component ({share[0]:.0f} % of the variance)")
        axes.set_ylabel(f"second component ({share[1]:.0f} %)")
    handles = [Line2D([], [], ls="", marker="o", color=colour, label=f"{pretty(kind)}: {(classes[good] == kind).sum():,}") for kind, colour in tint.items()]
    figure.legend(handles=handles, loc="outside right upper")
