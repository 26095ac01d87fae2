"""Telling two samples apart: a known shift and none, galaxies that are in both samples, and what cannot be judged."""

import numpy as np
import pytest
from scipy.stats import norm

from tuningfork.analysis.domains import judge_domains, scores_out_of_fold, within_folds
from tuningfork.errors import SampleError
from tuningfork.reporting import judge_domains as of_tables

GALAXIES = np.array([f"g{k:04d}" for k in range(400)])


def sides(shift, n=400, features=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (n, features)), rng.normal(0, 1, (n, features)) + np.eye(features)[0] * shift


def test_two_gaussians_have_the_auc_of_theory_and_equal_ones_have_none():
    found = judge_domains({"adapted": sides(0.0), "before": sides(1.5, seed=1)}, (GALAXIES, GALAXIES), seed=3, resamples=300)
    truth = norm.cdf(1.5 / np.sqrt(2))
    before, after, change = found["auc"]["before"], found["auc"]["adapted"], found["change"]["before"]
    assert before["lo"] < truth < before["hi"] and before["hi"] - before["lo"] < 0.1
    assert after["lo"] < 0.5 < after["hi"]
    assert change["value"] == pytest.approx(after["value"] - before["value"]) and change["hi"] < 0 and change["significant"]
    assert found["n"] == [400, 400] and before["n_groups"] == 400, "the same galaxies in both samples are resampled as one"


def test_it_is_not_biased_below_a_half_where_nothing_differs():
    """Unlike the AUC over the pooled scores: a sample that has more of a fold has less of what its classifier was fitted to."""
    values = []
    for seed in range(40):
        first, second = sides(0.0, 30, 2, seed)
        galaxies = (GALAXIES[:30], GALAXIES[30:60])
        values.append(judge_domains({"m": (first, second)}, galaxies, seed=seed, resamples=2)["auc"]["m"]["value"])
    assert abs(np.mean(values) - 0.5) < 3 * np.std(values) / np.sqrt(40) < 0.06


def test_a_galaxy_is_judged_by_a_classifier_that_has_not_seen_it():
    """Features that name the galaxy and nothing else tell no new galaxy's sample."""
    first, second = np.eye(120)[:60], np.eye(120)[60:]
    found = judge_domains({"m": (first, second)}, (GALAXIES[:60], GALAXIES[60:120]), seed=0, resamples=10)
    assert found["auc"]["m"]["value"] == pytest.approx(0.5, abs=0.05)


def test_the_auc_counts_pairs_of_one_fold_alone():
    score, positive, fold = np.array([0.0, 1, 10, 9, 5]), np.array([False, True, False, True, True]), np.array([0, 0, 1, 1, 2])
    assert float(within_folds(score, positive, fold).value()) == 0.5
    weighted = within_folds(np.array([0.0, 1, 2, 10, 9]), np.array([False, True, True, False, True]), np.array([0, 0, 0, 1, 1]))
    assert float(weighted.value()) == pytest.approx(2 / 3)


def test_rows_without_features_in_one_model_are_left_out_of_all():
    one, other = sides(0.5), sides(0.5, seed=1)
    one[0][:100] = np.nan
    found = judge_domains({"a": one, "b": other}, (GALAXIES, GALAXIES), seed=0, resamples=10)
    assert found["n"] == [300, 400]
    one[1][4:] = np.nan
    assert judge_domains({"a": one, "b": other}, (GALAXIES, GALAXIES), seed=0, resamples=10) is None


def test_a_classifier_needs_both_samples():
    with pytest.raises(SampleError, match="one of the two samples alone"):
        scores_out_of_fold(np.zeros((4, 2)), np.array([True, True, False, False]), np.array([0, 0, 1, 1]))


def test_tables_are_joined_by_object_and_unlabelled_test_rows_count():
    rng = np.random.default_rng(5)
    galaxy = np.array([f"g{k:03d}" for k in range(60)])
    split = np.array(["train", "test", "unlabelled"])[np.arange(60) % 3]
    side = np.where(split == "unlabelled", "test", split)
    objects, tables = [], []
    for number, name in enumerate("ab"):
        ids = np.char.add(galaxy, name)
        objects.append({"object_id": ids, "galaxy_id": galaxy, "split": split, "side": side})
        mark = np.where(split == "train", 1 - number, number) + 0.01 * rng.normal(size=60)
        order = rng.permutation(60)
        tables.append({"object_id": ids[order], "status": np.full(60, "ok"), "f_000": mark[order], "f_001": rng.normal(size=60)})
    found = of_tables(objects, {"adapted": tables}, {"domains": ["a", "b"], "seed": 1})
    assert found["samples"] == ["a", "b"] and found["n"] == [40, 40] and found["auc"]["adapted"]["value"] == 1.0
