"""The noise floor of votes: against exact enumeration, against real repeats, and its honesty about its source."""

import csv
from itertools import product
from math import comb

import numpy as np
import pytest

from tuningfork.analysis import floor, metrics
from tuningfork.errors import TuningforkError


def exact_two_classes(p, n):
    """E|k/n - p| for one binomial: the per-sample RMSE of two complementary classes."""
    return sum(comb(n, k) * p**k * (1 - p) ** (n - k) * abs(k / n - p) for k in range(n + 1))


@pytest.mark.parametrize(("p", "n"), [(0.5, 3), (0.2, 5), (0.9, 40)])
def test_multinomial_floor_is_the_exact_expectation(p, n):
    fractions = np.tile([p, 1 - p], (50, 1))
    found = floor.expected_rmse(fractions, np.full(50, n), model="multinomial", generator=np.random.default_rng(0), draws=400)
    assert found.mean() == pytest.approx(exact_two_classes(p, n), rel=0.03)


def test_binomial_floor_is_that_of_normalised_ticks():
    p, n = np.array([0.7, 0.4]), 3
    labels, weights = [], []
    for counts in product(range(n + 1), repeat=2):
        if sum(counts):
            labels.append(np.array(counts) / sum(counts))
            weights.append(np.prod([comb(n, k) * q**k * (1 - q) ** (n - k) for k, q in zip(counts, p, strict=True)]))
    labels, weights = np.array(labels), np.array(weights) / sum(weights)
    centre = weights @ labels
    exact = weights @ np.sqrt(((labels - centre) ** 2).mean(axis=1))
    found = floor.expected_rmse(np.tile(p, (50, 1)), np.full(50, n), model="binomial", generator=np.random.default_rng(0), draws=400)
    assert found.mean() == pytest.approx(exact, rel=0.03)


def test_certain_labels_have_no_floor():
    found = floor.expected_rmse(np.array([[1.0, 0.0, 0.0]]), np.array([5]), model="multinomial", generator=np.random.default_rng(0))
    assert found.tolist() == [0.0]


def test_a_perfect_predictor_scores_the_floor():
    generator = np.random.default_rng(8)
    truth = generator.dirichlet(np.ones(5), 1500)
    votes = generator.integers(3, 8, 1500)
    labels = generator.multinomial(votes, truth) / votes[:, None]
    measured = metrics.per_sample_rmse(truth, labels).mean()
    found = floor.floor_from_votes(truth, votes, np.arange(1500), model="multinomial", probabilities="predictions", seed=1)
    assert found["lo"] - 0.003 <= measured <= found["hi"] + 0.003
    assert found["source"] == "number of votes of each row"


def test_labels_as_probabilities_are_a_lower_bound():
    generator = np.random.default_rng(8)
    truth = generator.dirichlet(np.ones(5), 800)
    labels = generator.multinomial(4, truth) / 4
    common = {"model": "multinomial", "seed": 1, "resamples": 50}
    true = floor.floor_from_votes(truth, 4, np.arange(800), probabilities="predictions", **common)
    low = floor.floor_from_votes(labels, 4, np.arange(800), probabilities="labels", **common)
    assert low["value"] < true["value"]
    assert low["source"] == "assumed 4 votes a row" and low["probabilities"] == "labels"


def test_rows_with_unknown_votes_do_not_count():
    found = floor.floor_from_votes(np.full((4, 2), 0.5), np.array([3, np.nan, 0, 3]), np.arange(4), model="multinomial", probabilities="labels", seed=0)
    assert found["n"] == 2


def test_repeats_give_the_floor_of_a_known_noise():
    generator = np.random.default_rng(2)
    truth = np.repeat(generator.dirichlet(np.ones(5) * 3, 800), 2, axis=0)
    labels = truth + generator.normal(0, 0.05, truth.shape)
    keys = np.repeat([f"g{i}" for i in range(800)], 2)
    found = floor.floor_from_repeats(labels, keys, seed=0)
    assert found["n"] == 800
    assert found["value"] == pytest.approx(metrics.per_sample_rmse(truth, labels).mean(), rel=0.03)
    assert floor.floor_from_repeats(labels[::2], keys[::2], seed=0) is None


def test_three_labels_of_one_galaxy_are_two_pairs():
    assert floor.repeat_pairs(np.array(["b", "a", "b", "b"])).tolist() == [[0, 2], [2, 3]]


def test_real_candels_repeats_differ_as_measured(shared_data):
    with open(shared_data / "candels_clash_hst" / "CANDELS_labels.csv") as file:
        rows = list(csv.DictReader(file))
    keys = np.array(["GDS_" + r["ID"].split("_")[2] for r in rows])
    labels = np.array([[float(v) for k, v in r.items() if k != "ID"] for r in rows])
    found = floor.floor_from_repeats(labels, keys, seed=0)
    assert found["n"] == 201
    assert found["between"] == pytest.approx(0.163, abs=0.002)
    assert found["value"] == pytest.approx(0.115, abs=0.002)


def test_floor_of_error_bars():
    assert floor.floor_from_sigma(np.array([0.03, 0.04, np.nan]), np.arange(3), seed=0)["value"] == pytest.approx(np.sqrt(12.5e-4))
    assert floor.floor_from_sigma(np.array([np.nan]), np.arange(1), seed=0) is None


def test_bad_arguments_are_named():
    with pytest.raises(TuningforkError, match="poisson"):
        floor.expected_rmse(np.ones((1, 2)) / 2, np.array([3]), model="poisson", generator=np.random.default_rng(0))
    with pytest.raises(TuningforkError, match="at least 1"):
        floor.expected_rmse(np.ones((1, 2)) / 2, np.array([0]), model="multinomial", generator=np.random.default_rng(0))
