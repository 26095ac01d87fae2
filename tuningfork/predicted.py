"""Names of the columns that a network's own uncertainty adds to a prediction: quantiles and a standard deviation beside each target.

A quantile is named by the digits of its level after the point, at least two of them, so that no two levels share a name: 0.025 is ``<target>_q025``
(2.5 per cent), 0.05 ``_q05``, 0.5 ``_q50``, 0.975 ``_q975``. The standard deviation is ``<target>_sigma``.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["SIGMA", "Further", "described", "further_columns", "level_of", "quantile_suffix"]

SIGMA = "sigma"
_QUANTILE = re.compile(r"q\d{2,}")


class Further(NamedTuple):
    """A column beside the prediction of `target`; `suffix` is ``q16``, say, or ``sigma``."""

    name: str
    target: str
    suffix: str


def quantile_suffix(level: float) -> str:
    """Name of a quantile, ``q`` and the digits of its level (0 < level < 1) after the point."""
    return "q" + f"{level:.12f}"[2:].rstrip("0").ljust(2, "0")


def level_of(suffix: str) -> float:
    """The level of a quantile from its name: ``q025`` is 0.025."""
    return float(f"0.{suffix[1:]}")


def further_columns(names: Iterable[str], targets: Sequence[str]) -> list[Further]:
    """Those of `names` that stand beside one of `targets`, by target: quantiles from low to high, then the standard deviation."""
    found = []
    for name in set(names) - set(targets):
        for target in targets:
            suffix = name.removeprefix(f"{target}_")
            if suffix != name and (suffix == SIGMA or _QUANTILE.fullmatch(suffix)):
                found.append(Further(name, target, suffix))
    place = {target: number for number, target in enumerate(targets)}
    return sorted(found, key=lambda c: (place[c.target], 1.0 if c.suffix == SIGMA else level_of(c.suffix)))


def described(column: Further, task: str) -> tuple[str, str]:
    """UCD (its first word) and description of a column."""
    if column.suffix == SIGMA:
        of = "the fraction that any number of votes would give" if task == "fractions" else "the value"
        return "stat.error", f"Standard deviation of {of} of {column.target}, as the network predicts it: root mean square over the views averaged"
    percent = f"{100 * level_of(column.suffix):.10g}"
    return "stat.percentile", f"Predicted {percent} per cent quantile of {column.target}, mean over the views averaged"
