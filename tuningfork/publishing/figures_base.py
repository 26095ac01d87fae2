"""What all figures share: one style, colours that the colour-blind can tell apart, the watermark, and saving without traces of the clock."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from tuningfork.files import atomic_path

__all__ = ["COLOURS", "GREY", "blank", "colours", "new_figure", "nondecreasing", "plain", "pretty", "save", "spread", "styled"]

P = ParamSpec("P")

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
"""Okabe & Ito 2008 (Color Universal Design), without the yellow, which is too pale for lines on white."""

GREY = "#6E6E6E"
DPI = 150
SIMULATED = "simulated"

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "lines.linewidth": 1.6,
    "errorbar.capsize": 2.5,
    "image.interpolation": "nearest",
    "image.origin": "lower",
    "svg.hashsalt": "tuningfork",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Our settings instead of matplotlib's global ones and the user's, for as long as the block runs."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a figure's function in our style, and draw the watermark where its argument `simulated` is true."""

    @functools.wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            figure = function(*args, **kwargs)
            if kwargs.get("simulated"):
                watermark(figure)
        return figure

    return drawn


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches that lays itself out, on the Agg canvas (no display, no global state)."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def watermark(figure: Figure) -> None:
    """Write SIMULATED aslant across the figure, over everything, as large as it fits."""
    word = SIMULATED.upper()
    width, height = figure.get_size_inches() * 72
    box = TextPath((0, 0), word, size=100, prop=FontProperties(family="DejaVu Sans", weight="bold")).get_extents()
    # A box l x t at an angle spans l cos + t sin by l sin + t cos; of all angles, take the one at which the largest letters stay on the page.
    angles = np.radians(np.arange(5, 86))
    across = (box.width * np.cos(angles) + box.height * np.sin(angles)) / 100
    upward = (box.width * np.sin(angles) + box.height * np.cos(angles)) / 100
    sizes = 0.86 * np.minimum(width / across, height / upward)
    angle, size = angles[sizes.argmax()], float(sizes.max())
    text = figure.text(0.5, 0.5, word, fontsize=size, fontweight="bold", color=VERMILION, alpha=0.16, ha="center", va="center", zorder=1000)
    text.set_rotation(float(np.degrees(angle)))
    text.set_rotation_mode("default")
    text.set_in_layout(False)
    figure.set_label(SIMULATED)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG (150 dots an inch) or SVG, by the suffix, atomically; the same figure gives the same bytes.

    Raises
    ------
    ValueError
        Another suffix than ``.png`` or ``.svg``.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    metadata: dict[str, str | None]
    if kind == "png":
        metadata = {"Software": None}
    elif kind == "svg":
        metadata = {"Date": None, "Creator": None}
    else:
        raise ValueError(f"figures are saved as .png or .svg, not as {path.name}")
    if figure.get_label() == SIMULATED:
        metadata["Description"] = "SIMULATED: drawn from a simulated sky, no observation"
    # Ticks are made only now: they must meet the same style.
    with style(), atomic_path(path) as part:
        figure.savefig(part, format=kind, dpi=DPI, metadata=metadata)


def plain(text: object) -> str:
    """Text from outside as it is: a dollar sign starts no formula."""
    return str(text).replace("$", r"\$")


def pretty(name: str) -> str:
    """A column's name for people: ``p_point_source`` is `point source`."""
    return plain(name.removeprefix("p_").replace("_", " ").strip() or name)


def colours(n: int) -> list[Any]:
    """`n` colours that stay apart: the fixed six, or steps along viridis when there are more."""
    if n <= len(COLOURS):
        return list(COLOURS[:n])
    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.92, n)))


def spread(positions: Sequence[float], gap: float) -> np.ndarray:
    """Move label positions apart so that neighbours are at least `gap` away, in the same order, with the least squares of moves."""
    wanted = np.asarray(positions, dtype=float)
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    moved = np.empty_like(wanted)
    moved[order] = nondecreasing(wanted[order] - steps) + steps
    return moved


def nondecreasing(values: Sequence[float] | np.ndarray, weights: Sequence[float] | np.ndarray | None = None) -> np.ndarray:
    """The sequence nearest to `values` (weighted least squares) that never falls: isotonic regression by pooling neighbours that violate it."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, np.ones(len(values)) if weights is None else weights, strict=True):
        blocks.append((float(value), float(weight), 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n, i), (b, m, j) = blocks[-2:]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m, i + j)]
    return np.concatenate([np.full(count, value) for value, _, count in blocks]) if blocks else np.empty(0)


def blank(axes: Axes, message: str = "") -> None:
    """Axes without ticks, grid and frame, with a message in their middle."""
    axes.set_axis_off()
    if message:
        axes.text(0.5, 0.5, message, transform=axes.transAxes, ha="center", va="center", color=GREY)
