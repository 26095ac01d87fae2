"""A claim is judged by the interval of the paired difference."""

import pytest

from tuningfork.analysis.claims import broken, check_claims
from tuningfork.errors import ModelError

NONE = {"better_than": [], "no_better_than": [], "above_floor": False}


def _metrics(better: str = "lower") -> dict:
    def baseline(value: float, low: float, high: float) -> dict:
        return {"difference": {"value": value, "lo": low, "hi": high}}

    section = {
        "headline": {"value": 0.16},
        "baselines": {"mean": baseline(-0.1, -0.12, -0.08), "filter mean": baseline(-0.01, -0.03, 0.01)},
        "floor": {"votes": {"value": 0.08}, "repeats": {"value": 0.10}},
    }
    other = {"difference": {"value": 0.02, "lo": 0.01, "hi": 0.03}}
    return {"model": "m", "better": better, "sections": {"test": section, "out_of_fold": None}, "comparisons": {"other": other}}


@pytest.mark.parametrize(
    ("claims", "better", "holds"),
    [
        ({"better_than": ["mean"]}, "lower", True),
        ({"better_than": ["filter mean"]}, "lower", False),  # the interval includes zero
        ({"better_than": ["other"]}, "lower", False),
        ({"better_than": ["other"]}, "higher", True),
        ({"no_better_than": ["filter mean"]}, "lower", True),
        ({"no_better_than": ["mean"]}, "lower", False),
        ({"above_floor": True}, "lower", True),
    ],
)
def test_claims(claims: dict, better: str, holds: bool) -> None:
    (check,) = check_claims(_metrics(better), {**NONE, **claims})
    assert check["holds"] is holds
    assert bool(broken([check])) is not holds


def test_below_the_floor_something_leaks() -> None:
    metrics = _metrics()
    metrics["sections"]["test"]["headline"]["value"] = 0.05
    assert "not above the noise floor" in broken(check_claims(metrics, {**NONE, "above_floor": True}))[0]


def test_a_claim_about_nobody_names_who_there_is() -> None:
    with pytest.raises(ModelError, match="'medium': neither a baseline nor a compared model; there are mean, filter mean, other"):
        check_claims(_metrics(), {**NONE, "better_than": ["medium"]})


def test_a_floor_that_nobody_can_say() -> None:
    metrics = _metrics()
    metrics["sections"]["test"]["floor"] = {}
    with pytest.raises(ModelError, match="give votes or assumed_votes"):
        check_claims(metrics, {**NONE, "above_floor": True})
