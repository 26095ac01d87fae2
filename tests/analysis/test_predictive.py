"""What a report says of predicted distributions: values against scipy and loops, shares against what was drawn."""

import json

import numpy as np
import pytest
import scipy.stats

from tuningfork.analysis.evaluate import evaluate
from tuningfork.analysis.predictive import gaussian_nll, label_variance, pinball, votes_nll
from tuningfork.publishing import wording

LEVELS = np.array([0.025, 0.16, 0.5, 0.84, 0.975])
NAMES = ["q025", "q16", "q50", "q84", "q975"]
N = 2000


def test_losses_of_rows_are_those_of_scipy_and_of_loops():
    rng = np.random.default_rng(0)
    predicted, observed, variance = rng.normal(size=(20, 5)), rng.normal(size=20), rng.uniform(0.1, 3, 20)
    loop = [np.mean([max(q * (y - f), (q - 1) * (y - f)) for q, f in zip(LEVELS, fs, strict=True)]) for fs, y in zip(predicted, observed, strict=True)]
    np.testing.assert_allclose(pinball(predicted, observed, LEVELS), loop)
    np.testing.assert_allclose(gaussian_nll(predicted[:, 0], variance, observed), -scipy.stats.norm.logpdf(observed, predicted[:, 0], np.sqrt(variance)))


def test_likelihood_and_scatter_of_votes():
    alpha, counts = np.array([[2.0, 5.0, 0.5], [20.0, 1.0, 3.0]]), np.array([[3, 4, 0], [10, 1, 1]])
    own = [scipy.stats.dirichlet(a) for a in alpha]
    mean, sigma = np.array([d.mean() for d in own]), np.sqrt([d.var() for d in own])
    expected = [-scipy.stats.dirichlet_multinomial.logpmf(x, a, x.sum()) for x, a in zip(counts, alpha, strict=True)]
    np.testing.assert_allclose(votes_nll(mean, sigma, counts), expected, rtol=1e-9)
    votes = counts.sum(axis=1)
    scatter = [np.diag(scipy.stats.dirichlet_multinomial.cov(a, n)) / n**2 for a, n in zip(alpha, votes, strict=True)]
    np.testing.assert_allclose(label_variance(mean, sigma, votes), scatter, rtol=1e-9)


def regression(honest=1.0, label_error=0.0):
    """Labels that scatter around the prediction by a sigma of their own; the model states `honest` times as much."""
    rng = np.random.default_rng(1)
    ids, sigma = np.array([f"o{i:05d}" for i in range(N)]), rng.uniform(0.05, 0.4, N)
    value = rng.normal(8.8, 0.2, N)
    label = value + sigma * rng.normal(size=N) + label_error * rng.normal(size=N)
    objects = {"object_id": ids, "galaxy_id": ids, "group_id": ids, "split": np.where(np.arange(N) < 100, "train", "test"), "oh": label}
    objects["oh_err"] = np.array([f"{label_error:.3f}"] * (N - 1) + [""])
    stated = {f"oh_{name}": value + honest * sigma * scipy.stats.norm.ppf(q) for name, q in zip(NAMES, LEVELS, strict=True)}
    return objects, {"object_id": ids, "oh": value}, stated, honest * sigma


def report(objects, predictions, **options):
    found = evaluate(objects, predictions, **{"targets": ["oh"], "task": "regression", "seed": 0, "resamples": 100, **options})
    json.dumps(found, allow_nan=False)
    return found["sections"]["test"]


def holds(entry):
    return entry["lo"] - 0.005 <= entry["nominal"] <= entry["hi"] + 0.005


@pytest.mark.parametrize("honest", [1.0, 0.5])
def test_shares_of_labels_within_quantiles_are_those_that_were_drawn(honest):
    objects, predictions, stated, _ = regression(honest)
    found = report(objects, {**predictions, **stated})["distribution"]["oh"]
    assert list(found["coverage"]) == ["q025 to q975", "q16 to q84"] and found["coverage"]["q16 to q84"]["nominal"] == pytest.approx(0.68)
    assert all(holds(entry) == (honest == 1) for entry in found["coverage"].values())
    test = objects["split"] == "test"
    expected = pinball(np.column_stack(list(stated.values()))[test], objects["oh"][test], LEVELS).mean()
    assert found["pinball"]["value"] == pytest.approx(expected) and "nll" not in found


@pytest.mark.parametrize("label_error", [0.0, 0.3])
def test_a_gaussian_is_judged_with_the_errors_of_its_labels(label_error):
    objects, predictions, _, sigma = regression(label_error=label_error)
    section = report(objects, {**predictions, "oh_sigma": sigma}, label_errors={"oh": "oh_err"})
    found = section["distribution"]["oh"]
    assert all(holds(entry) for entry in found["coverage"].values()) and list(found["coverage"]) == ["1 sigma", "2 sigma"]
    without = report(objects, {**predictions, "oh_sigma": sigma})["distribution"]["oh"]
    assert holds(without["coverage"]["1 sigma"]) == (label_error == 0) and without["nll"]["value"] >= found["nll"]["value"]
    assert section["floor"]["errors"]["value"] == pytest.approx(label_error, abs=1e-3)
    rows = dict(wording.metric_rows(section, ["oh"], "regression"))
    assert any("labels within 2 sigma, oh (0.954 if honest)" in name for name in rows)


def test_votes_of_a_dirichlet_multinomial():
    rng = np.random.default_rng(2)
    n_rows = 900
    targets, alpha = ["a", "b", "c"], rng.uniform(2, 12, size=(n_rows, 3))
    votes = rng.integers(30, 60, n_rows)
    fractions = np.array([rng.multinomial(n, rng.dirichlet(a)) for n, a in zip(votes, alpha, strict=True)]) / votes[:, None]
    mean = alpha / alpha.sum(axis=1, keepdims=True)
    sigma = np.sqrt(mean * (1 - mean) / (alpha.sum(axis=1, keepdims=True) + 1))
    ids = np.array([f"o{i:05d}" for i in range(n_rows)])
    objects = {"object_id": ids, "galaxy_id": ids, "group_id": ids, "split": np.full(n_rows, "test"), "n_votes": votes.astype(float)}
    objects |= {name: fractions[:, k] for k, name in enumerate(targets)}
    predictions = {"object_id": ids, **{name: mean[:, k] for k, name in enumerate(targets)}, **{f"{name}_sigma": sigma[:, k] for k, name in enumerate(targets)}}
    found = report(objects, predictions, targets=targets, task="fractions")["distribution"]
    for name in targets:
        assert abs(found[name]["coverage"]["2 sigma"]["value"] - 0.954) < 0.025 and abs(found[name]["coverage"]["1 sigma"]["value"] - 0.683) < 0.045
    counts = np.round(fractions * votes[:, None]).astype(int)
    expected = -np.mean([scipy.stats.dirichlet_multinomial.logpmf(x, a, n) for x, a, n in zip(counts, alpha, votes, strict=True)])
    assert found["all"]["nll"]["value"] == pytest.approx(expected, rel=1e-6)
    del objects["n_votes"]
    assert "distribution" not in report(objects, predictions, targets=targets, task="fractions")


def test_a_model_of_values_says_nothing_of_distributions():
    objects, predictions, _, _ = regression()
    assert "distribution" not in report(objects, predictions)
