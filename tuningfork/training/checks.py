"""Single values of a recipe, checked: each function reads one key of a section and says what is wrong with it. No torch here."""

import difflib
import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from tuningfork.errors import ModelError

__all__ = ["check_keys", "choice", "flag", "fraction", "is_number", "levels", "number", "parts", "section", "whole"]


def check_keys(values: Any, valid: Iterable[str], where: str) -> None:
    """Refuse what is no section, and a key that the section `where` does not have; the nearest valid one is named."""
    if not isinstance(values, Mapping):
        raise ModelError(f"{where}: {values!r} is not a section with keys")
    valid = list(valid)
    for key in values:
        if key not in valid:
            near = difflib.get_close_matches(str(key), valid, n=1, cutoff=0.5)
            raise ModelError(f"{where}.{key}: unknown key; " + (f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(valid)}"))


def section(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A section of the recipe; empty where it is absent."""
    found = values.get(key)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ModelError(f"recipe.{key}: {found!r} is not a section with keys")
    return found


def choice(values: Mapping[str, Any], key: str, valid: tuple[str, ...], default: str) -> str:
    """One of the `valid` words."""
    value = values.get(key, default)
    if value not in valid:
        near = difflib.get_close_matches(str(value), valid, n=1, cutoff=0.4)
        raise ModelError(f"recipe: {key}: {value!r} is not one of {', '.join(valid)}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return value


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number (a truth value is none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(values: Mapping[str, Any], key: str, default: float, low: float, high: float = math.inf, *, exclusive: bool = False) -> float:
    """A number from `low` to `high`; `exclusive`: above `low`."""
    value = values.get(key, default)
    if isinstance(value, str):  # YAML 1.1 reads 5e-5, without a point, as text
        try:
            value = float(value)
        except ValueError:
            pass
    if not is_number(value) or not low <= value <= high or (exclusive and value == low):
        span = f"{'above' if exclusive else 'at least'} {low:g}" + (f" and at most {high:g}" if math.isfinite(high) else "")
        raise ModelError(f"recipe: {key}: {value!r} is not a number {span}")
    return float(value)


def whole(values: Mapping[str, Any], key: str, default: int, low: int) -> int:
    """A whole number of at least `low`."""
    value = values.get(key, default)
    if not is_number(value) or value != int(value) or value < low:
        raise ModelError(f"recipe: {key}: {value!r} is not a whole number of at least {low}")
    return int(value)


def flag(values: Mapping[str, Any], key: str, default: bool) -> bool:
    """True or false."""
    value = values.get(key, default)
    if not isinstance(value, bool):
        raise ModelError(f"recipe: {key}: {value!r} is not true or false")
    return value


def fraction(values: Mapping[str, Any], key: str, default: float) -> float:
    """A number of at least 0 and below 1."""
    value = number(values, key, default, 0, 1)
    if value == 1:
        raise ModelError(f"recipe: {key}: {values[key]!r} is not a number of at least 0 and below 1")
    return value


def levels(values: Mapping[str, Any], key: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """Levels of quantiles: ascending, between 0 and 1, at least 1e-6 apart, with 0.5."""
    value = values.get(key, default)
    if not isinstance(value, list | tuple) or not all(is_number(level) and 1e-6 <= level <= 1 - 1e-6 for level in value):
        raise ModelError(f"recipe: {key}: {value!r} is not a list of numbers between 0 and 1")
    if any(high - low < 1e-6 for low, high in pairwise(value)):
        raise ModelError(f"recipe: {key}: {value!r} does not rise from each level to the next")
    if 0.5 not in value:
        raise ModelError(f"recipe: {key}: {value!r} lacks 0.5: the median is the prediction itself")
    return tuple(float(level) for level in value)


def parts(values: Mapping[str, Any], key: str) -> tuple[str, ...] | int:
    """A list of names of parts or parameters, or how many groups of layers; empty where it is absent."""
    value = values.get(key)
    if value is None:
        return ()
    if is_number(value):
        return whole(values, key, 0, 0)
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise ModelError(f"recipe: {key}: {value!r} is not a list of names of parts (or parameters), nor a number of groups of layers")
    return tuple(value)
