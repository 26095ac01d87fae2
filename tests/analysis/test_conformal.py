"""Sets and intervals hold what they promise where rows are exchangeable, and promise nothing where there are too few."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tuningfork.analysis import conformal
from tuningfork.analysis.conformal import band_of, choose_method, class_sets, conformal_quantile, interval, interval_scores, realised_coverage, set_scores

LEVELS = ["0.5", "0.6", "0.7", "0.8", "0.9", "0.95", "0.99"]


@given(st.lists(st.floats(-5, 5), max_size=60), st.sampled_from(LEVELS))
def test_the_quantile_is_the_plain_definition(scores, level):
    """The smallest score that at least (n + 1)(1 - alpha) of the scores do not exceed, counted with exact fractions."""
    need = (len(scores) + 1) * Fraction(level)
    plain = min((s for s in scores if sum(t <= s for t in scores) >= need), default=math.inf)
    assert conformal_quantile(np.array(scores), float(level)) == plain


@pytest.mark.parametrize(("n", "finite"), [(8, False), (9, True), (0, False)])
def test_nine_rows_are_the_fewest_for_nine_in_ten(n, finite):
    assert math.isfinite(conformal_quantile(np.arange(n, dtype=float), 0.9)) is finite
    low, high = interval(conformal.Band(*np.ones((3, 2))), math.inf, (0.0, 1.0))
    assert low.tolist() == [0, 0] and high.tolist() == [1, 1]


def _coverages(rng, trials, n, new, draw):
    """Coverage of `new` rows after calibration on `n`, for each of many draws of both."""
    found = []
    for _ in range(trials):
        scores = draw(rng, n + new)
        found.append(np.mean(scores[n:] <= conformal_quantile(scores[:n], 0.9)))
    return np.array(found)


@pytest.mark.parametrize("n", [9, 37, 200])
def test_coverage_of_exchangeable_rows_is_that_of_theory(n):
    """On average k / (n + 1), with the spread of Beta(k, n + 1 - k), for scores of any continuous distribution."""
    found = _coverages(np.random.default_rng(n), 1500, n, 400, lambda rng, size: rng.standard_t(2, size))
    k = math.ceil((n + 1) * 0.9)
    mean = k / (n + 1)
    sigma = math.sqrt(mean * (1 - mean) / (n + 2) + mean * (1 - mean) / 400)
    assert abs(found.mean() - mean) < 4 * sigma / math.sqrt(len(found)) and found.mean() > 0.9 - 4 * sigma / math.sqrt(len(found))
    low, high = realised_coverage(n, 0.9)
    sharp = _coverages(np.random.default_rng(n), 400, n, 20000, lambda rng, size: rng.uniform(size=size))
    inside = np.mean((sharp >= low) & (sharp <= high))
    assert binom.cdf(inside * 400, 400, 0.9) > 1e-3 and binom.sf(inside * 400, 400, 0.9) > 1e-3


def test_sets_cover_whatever_the_network_says():
    rng = np.random.default_rng(4)
    p = rng.dirichlet([1, 1, 1, 1], 6000)
    labels = np.eye(4)[[rng.choice(4, p=row) for row in p]]
    wrong = np.roll(p, 1, axis=1)  # a network that mixes the classes up still gets its coverage, with larger sets
    sizes = []
    for told in (p, wrong):
        inside = class_sets(told[2000:], conformal_quantile(set_scores(told[:2000], labels[:2000]), 0.9))
        covered = inside[np.arange(4000), labels[2000:].argmax(axis=1)]
        assert abs(covered.mean() - 0.9) < 0.025  # three times the scatter of 2000 calibration and 4000 other rows
        assert inside.any(axis=1).all()
        sizes.append(inside.sum(axis=1).mean())
    assert sizes[0] < sizes[1]


def test_a_quantile_a_class_covers_each_class():
    rng = np.random.default_rng(2)
    truth = (rng.uniform(size=8000) < 0.1).astype(int)  # a rare class that the network does not like
    p1 = 1 / (1 + np.exp(-(rng.normal(size=8000) + 1.5 * truth - 2.5)))
    p, labels = np.column_stack([1 - p1, p1]), np.eye(2)[truth]
    scores = set_scores(p, labels)
    first, rest = slice(0, 4000), slice(4000, None)

    def of_class(quantiles):
        inside = class_sets(p[rest], quantiles)
        covered = inside[np.arange(4000), truth[rest]]
        return [covered[truth[rest] == k].mean() for k in (0, 1)]

    assert of_class(conformal_quantile(scores[first], 0.9))[1] < 0.75
    each = np.array([conformal_quantile(scores[first][truth[first] == k], 0.9) for k in (0, 1)])
    assert min(of_class(each)) > 0.86  # more where a row whose set would be empty gets its likeliest class


def test_an_unlikely_row_gets_its_likeliest_class():
    assert class_sets(np.array([[0.4, 0.35, 0.25]]), 0.1).tolist() == [[True, False, False]]
    assert class_sets(np.array([[0.4, 0.35, 0.25]]), math.inf).all()


def sample(rng, n):
    """Errors that grow with x, and what three kinds of networks say of them."""
    x = rng.uniform(0.2, 2, n)
    y = rng.normal(0, x)
    columns = {"t": np.zeros(n), "t_std": 0.1 * x, "t_sigma": 0.5 * x, "t_q05": -x, "t_q95": 1.3 * x}
    return x, y, columns


@pytest.mark.parametrize("kept", [(), ("t_std",), ("t_sigma", "t_std"), ("t_q05", "t_q95", "t_sigma")])
def test_intervals_cover_by_every_method_and_follow_the_errors(kept):
    x, y, columns = sample(np.random.default_rng(8), 12000)
    columns = {name: columns[name] for name in ("t", *kept)}
    first = {name: values[:4000] for name, values in columns.items()}
    how = choose_method(first, "t", first["t"] - y[:4000], 0.9)
    assert how["method"] == {(): "absolute", "t_std": "spread", "t_sigma": "sigma", "t_q05": "quantiles"}[kept[0] if kept else ()]
    quantile = conformal_quantile(interval_scores(band_of(first, "t", how), y[:4000]), 0.9)
    low, high = interval(band_of({name: values[4000:] for name, values in columns.items()}, "t", how), quantile)
    covered = (low <= y[4000:]) & (y[4000:] <= high)
    assert abs(covered.mean() - 0.9) < 0.015
    wide = x[4000:] > 1.5
    if kept:  # a true scale covers large and small errors alike; a spread with its floor, or quantiles widened by a constant, do so in part
        assert abs(covered[wide].mean() - covered[~wide].mean()) < (0.03 if how["method"] == "sigma" else 0.13)
    else:
        assert covered[wide].mean() < 0.8 < covered[~wide].mean()


def test_the_method_follows_what_the_columns_can_say():
    rng = np.random.default_rng(0)
    x, y, columns = sample(rng, 300)
    many = {**columns, "t_q16": -x, "t_q84": x, "t_q50": 0 * x}
    assert choose_method(many, "t", -y, 0.9) == {"method": "quantiles", "low": "t_q05", "high": "t_q95"}
    assert choose_method(many, "t", -y, 0.68)["low"] == "t_q16"
    assert choose_method({"t": y, "t_q05": y}, "t", -y, 0.9)["method"] == "absolute"  # half a pair says nothing
    blind = {"t": columns["t"], "t_std": rng.uniform(size=300)}
    assert choose_method(blind, "t", -y, 0.9)["method"] == "absolute"
    seen = {"t": columns["t"], "t_std": columns["t_std"]}
    assert choose_method(seen, "t", -y, 0.9)["floor"] == np.median(columns["t_std"])
    assert choose_method(seen, "t", -y, 0.9, spread=False)["method"] == "absolute"
    assert choose_method({name: v[:10] for name, v in seen.items()}, "t", -y[:10], 0.9)["method"] == "absolute"


def test_what_the_network_left_open_stays_open():
    band = conformal.Band(np.array([1.0, np.nan, 1.0]), np.array([1.0, np.nan, 1.0]), np.array([0.5, 0.5, np.nan]))
    assert interval_scores(band, np.array([2.0, 2.0, 2.0])).tolist() == [2, math.inf, math.inf]
    low, high = interval(band, 2.0)
    assert low.tolist()[0] == 0 and np.isnan(low[1:]).all() and np.isnan(high[1:]).all()
    assert np.isnan(interval(band, math.inf)[0][1:]).all()
    crossed = interval(conformal.Band(np.array([0.0]), np.array([1.0]), np.ones(1)), -0.7)
    assert crossed[0] == crossed[1] == 0.5
    assert [end.tolist() for end in interval(conformal.Band(*np.array([[0.1], [0.1], [1.0]])), 0.3, (0.0, 1.0))] == [[0.0], [0.4]]
    both = band_of({"t": np.zeros(1), "t_q05": np.ones(1), "t_q95": -np.ones(1)}, "t", {"method": "quantiles", "low": "t_q05", "high": "t_q95"})
    assert both.low == -1 and both.high == 1
