"""The group bootstrap: against its own definition by loops, and its coverage by simulation."""

import json

import numpy as np
import pytest

from tuningfork.analysis import metrics
from tuningfork.analysis.bootstrap import difference, group_counts, interval, jsonable, replicates
from tuningfork.errors import TuningforkError


@pytest.fixture
def rows():
    generator = np.random.default_rng(5)
    groups = generator.integers(0, 12, 80)
    return generator.dirichlet(np.ones(3), 80), generator.dirichlet(np.ones(3), 80), groups


@pytest.mark.parametrize("name", ["global_rmse", "per_class_rmse", "balanced_accuracy", "calibration_error", "confusion"])
def test_resampling_sums_equals_resampling_rows(rows, name):
    predicted, observed, groups = rows
    statistic = getattr(metrics, name)(predicted, observed)
    fast = replicates(statistic, groups, np.random.default_rng(1), 30)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    for counts, value in zip(group_counts(len(members), 30, np.random.default_rng(1)), fast, strict=True):
        picked = np.concatenate([np.tile(m, int(c)) for m, c in zip(members, counts, strict=True)])
        np.testing.assert_allclose(value, getattr(metrics, name)(predicted[picked], observed[picked]).value(), atol=1e-12)


def test_generic_statistics_see_the_same_resamples_as_additive_ones(rows):
    predicted, observed, groups = rows
    residual = (predicted - observed)[:, 0]
    additive = replicates(metrics.mean_of(residual), groups, np.random.default_rng(2), 40)
    generic = replicates(metrics.Generic(len(residual), lambda r: residual[r].mean()), groups, np.random.default_rng(2), 40)
    np.testing.assert_allclose(additive, generic)


def test_the_same_seed_gives_the_same_interval(rows):
    predicted, observed, groups = rows
    statistic = metrics.global_rmse(predicted, observed)
    assert interval(statistic, groups, 7) == interval(statistic, groups, 7)
    assert interval(statistic, groups, 7) != interval(statistic, groups, 8)


def test_names_of_groups_do_not_matter(rows):
    predicted, observed, groups = rows
    named = np.array([f"g{g:03d}" for g in groups])
    statistic = metrics.global_rmse(predicted, observed)
    assert interval(statistic, groups, 7).as_json() == interval(statistic, named, 7).as_json()


def simulate(generator, n_groups=40, size=5):
    """Rows that share most of their scatter within a group; the true mean is 1."""
    centre = generator.normal(1, 1, n_groups)
    values = np.repeat(centre, size) + generator.normal(0, 0.3, n_groups * size)
    return values, np.repeat(np.arange(n_groups), size)


def test_coverage_is_nominal_over_groups_and_far_too_small_over_rows():
    generator = np.random.default_rng(11)
    inside = {"groups": 0, "rows": 0}
    trials = 300
    for trial in range(trials):
        values, groups = simulate(generator)
        for name, unit in (("groups", groups), ("rows", np.arange(len(values)))):
            result = interval(metrics.mean_of(values), unit, trial, resamples=300, level=0.9)
            inside[name] += bool(result.low <= 1 <= result.high)
    assert 0.83 <= inside["groups"] / trials <= 0.95
    assert inside["rows"] / trials < 0.7


def test_paired_difference_is_narrower_than_the_two_intervals_suggest():
    generator = np.random.default_rng(4)
    hard, groups = simulate(generator)
    a, b = metrics.mean_of(np.abs(hard)), metrics.mean_of(np.abs(hard) + 0.05 + generator.normal(0, 0.01, len(hard)))
    change = interval(difference(b, a), groups, 1)
    assert change.low > 0
    assert change.value == pytest.approx(0.05, abs=0.01)
    alone = interval(a, groups, 1)
    assert change.high - change.low < 0.1 * (alone.high - alone.low)


def test_difference_of_generic_statistics():
    generator = np.random.default_rng(4)
    a, b = generator.normal(0, 1, 200), generator.normal(0, 2, 200)
    statistics = [metrics.Generic(200, lambda r, v=v: metrics.nmad(v[r])) for v in (a, b)]
    assert interval(difference(*statistics), np.arange(200), 0, resamples=100).high < 0


def test_one_group_has_a_value_and_no_interval():
    result = interval(metrics.mean_of(np.array([1.0, 3.0])), np.array(["a", "a"]), 0).as_json()
    assert result == {"value": 2.0, "lo": None, "hi": None, "n": 2, "n_groups": 1}


def test_no_rows_give_no_value():
    assert interval(metrics.mean_of(np.zeros(0)), np.zeros(0), 0).as_json() == {"value": None, "lo": None, "hi": None, "n": 0, "n_groups": 0}


def test_undefined_resamples_are_left_out():
    positive = np.zeros(30, bool)
    positive[0] = True
    score = np.linspace(0, 1, 30)
    result = interval(metrics.Generic(30, lambda r: metrics.auc(score[r], positive[r])), np.arange(30), 0, resamples=200)
    assert np.isfinite(result.low) and np.isfinite(result.high)


def test_groups_of_another_length_are_refused():
    with pytest.raises(TuningforkError, match="3 groups for a statistic of 2 rows"):
        replicates(metrics.mean_of(np.zeros(2)), np.zeros(3), np.random.default_rng(0))


def test_json_holds_no_nan():
    assert json.dumps(jsonable({"a": np.array([1.0, np.nan]), "b": np.float64("inf"), "c": [np.int64(3)], "d": np.bool_(True)}), allow_nan=False)
