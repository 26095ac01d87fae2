"""Claims about a model that a run must bear out: better than these, no better than those, above the noise of its own labels.

A claim is judged by the interval of a paired difference on the same rows, never by two intervals side by side.
"""

from collections.abc import Mapping
from typing import Any

from tuningfork.errors import ModelError


def check_claims(metrics: Mapping[str, Any], claims: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Judge every claim.

    Parameters
    ----------
    metrics
        What `evaluate.evaluate` gave, with ``comparisons`` (of `evaluate.compare`) by model.
    claims
        ``better_than`` and ``no_better_than`` (names of baselines or of compared models), ``above_floor``.

    Returns
    -------
    list of dict
        ``claim``, ``holds``, and the numbers that decided it.

    Raises
    ------
    ModelError
        A name is neither a baseline of this evaluation nor a compared model.
    """
    section = metrics["sections"]["test"] or metrics["sections"]["out_of_fold"]
    if section is None:
        raise ModelError(f"{metrics['model']}: no test rows, nothing can be claimed")
    sign = -1.0 if metrics["better"] == "higher" else 1.0
    found = []
    for other in claims["better_than"]:
        difference = _difference(metrics, section, other)
        limit = difference["hi"] if sign > 0 else difference["lo"]
        found.append({"claim": f"better than {other}", "holds": limit is not None and sign * limit < 0, "difference": difference})
    for other in claims["no_better_than"]:
        difference = _difference(metrics, section, other)
        limit = difference["hi"] if sign > 0 else difference["lo"]
        found.append({"claim": f"no better than {other}", "holds": limit is None or sign * limit >= 0, "difference": difference})
    if claims["above_floor"]:
        floors = {name: floor["value"] for name, floor in section["floor"].items()}
        if not floors:
            raise ModelError(f"{metrics['model']}: above_floor is claimed, but nothing says how noisy the labels are; give votes or assumed_votes")
        lowest = min(floors.values())
        found.append(
            {
                "claim": "above the noise floor of the labels",
                "holds": section["headline"]["value"] > lowest,
                "floor": floors,
                "value": section["headline"]["value"],
            }
        )
    return found


def broken(checked: list[dict[str, Any]]) -> list[str]:
    """One line for each claim that does not hold."""
    lines = []
    for check in checked:
        if not check["holds"]:
            numbers = check.get("difference")
            said = (
                f"difference {numbers['value']:+.4f} [{numbers['lo']:+.4f}, {numbers['hi']:+.4f}]"
                if numbers
                else f"{check['value']:.4f}, floor {check['floor']}"
            )
            lines.append(f"not {check['claim']}: {said}")
    return lines


def _difference(metrics: Mapping[str, Any], section: Mapping[str, Any], other: str) -> Mapping[str, Any]:
    if other in section["baselines"]:
        return section["baselines"][other]["difference"]
    if other in metrics["comparisons"]:
        return metrics["comparisons"][other]["difference"]
    known = [*section["baselines"], *metrics["comparisons"]]
    raise ModelError(f"claim about {other!r}: neither a baseline nor a compared model; there are {', '.join(known)}")
