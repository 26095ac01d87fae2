"""Metrics against values computed by hand and by scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from tuningfork.analysis import metrics
from tuningfork.errors import TuningforkError


def fractions(generator, n, k=5):
    return generator.dirichlet(np.ones(k), n)


@pytest.fixture
def pair():
    generator = np.random.default_rng(3)
    return fractions(generator, 300), fractions(generator, 300)


def test_per_sample_rmse_by_hand():
    predicted = np.array([[0.5, 0.5], [1.0, 0.0]])
    observed = np.array([[0.5, 0.5], [0.0, 1.0]])
    assert metrics.per_sample_rmse(predicted, observed).tolist() == [0.0, 1.0]


def test_mean_of_per_sample_rmse_is_not_the_global_rmse():
    predicted, observed = np.array([[0.0, 0.0], [1.0, 1.0]]), np.zeros((2, 2))
    assert metrics.mean_of(metrics.per_sample_rmse(predicted, observed)).value() == pytest.approx(0.5)
    assert metrics.global_rmse(predicted, observed).value() == pytest.approx(np.sqrt(0.5))


def test_global_and_per_class_rmse_agree_with_sklearn(pair):
    predicted, observed = pair
    assert metrics.global_rmse(predicted, observed).value() == pytest.approx(np.sqrt(sk.mean_squared_error(observed, predicted)))
    expected = sk.root_mean_squared_error(observed, predicted, multioutput="raw_values")
    np.testing.assert_allclose(metrics.per_class_rmse(predicted, observed).value(), expected)


def test_kl_divergence_by_hand_and_for_one_hot_labels():
    observed = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    predicted = np.array([[0.25, 0.5, 0.25], [0.2, 0.4, 0.4]])
    np.testing.assert_allclose(metrics.kl_divergence(predicted, observed), [0.5 * np.log(2), -np.log(0.2)])
    assert np.mean(metrics.kl_divergence(predicted[1:], observed[1:])) == pytest.approx(sk.log_loss([0], predicted[1:], labels=[0, 1, 2]))


def test_kl_divergence_stays_finite_where_the_prediction_is_zero():
    assert np.isfinite(metrics.kl_divergence(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]))).all()


def test_classification_agrees_with_sklearn(pair):
    predicted, observed = pair
    truth, guess = observed.argmax(1), predicted.argmax(1)
    assert metrics.accuracy(predicted, observed).value() == pytest.approx(sk.accuracy_score(truth, guess))
    assert metrics.balanced_accuracy(predicted, observed).value() == pytest.approx(sk.balanced_accuracy_score(truth, guess))
    np.testing.assert_array_equal(metrics.confusion(predicted, observed).value().reshape(5, 5), sk.confusion_matrix(truth, guess, labels=range(5)))
    expected = [sk.roc_auc_score(truth == c, predicted[:, c]) for c in range(5)]
    np.testing.assert_allclose(metrics.auc_per_class(predicted, observed).value(), expected)


def test_balanced_accuracy_leaves_absent_classes_out():
    observed = np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    predicted = np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert metrics.balanced_accuracy(predicted, observed).value() == pytest.approx(0.75)


def test_majority_needs_more_than_half():
    assert metrics.has_majority(np.array([[0.5, 0.5], [0.6, 0.4]])).tolist() == [False, True]


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=2, max_size=40))
def test_auc_counts_ties_half_as_sklearn_does(rows):
    score, positive = np.array([s for s, _ in rows]), np.array([p for _, p in rows])
    if positive.all() or not positive.any():
        assert np.isnan(metrics.auc(score, positive))
    else:
        assert metrics.auc(score, positive) == pytest.approx(sk.roc_auc_score(positive, score))


def test_calibration_error_by_hand():
    # bin [.2, .3): mean .25 against 0.5, two rows; bin [.9, 1]: .95 against 1, two rows; the same for the complement class.
    p = np.array([0.25, 0.25, 0.95, 0.95])
    y = np.array([0.0, 1.0, 1.0, 1.0])
    one = 0.5 * 0.25 + 0.5 * 0.05
    value = metrics.calibration_error(np.column_stack([p, 1 - p]), np.column_stack([y, 1 - y])).value()
    assert value == pytest.approx(one)


def test_calibration_error_is_the_weighted_gap_of_the_reliability_curve(pair):
    predicted, observed = pair
    total = 0.0
    for k in range(5):
        curve = metrics.reliability(predicted[:, k], observed[:, k])
        gap = np.nan_to_num(np.abs(curve["predicted"] - curve["observed"]))
        total += (curve["count"] * gap).sum() / curve["count"].sum() / 5
    assert metrics.calibration_error(predicted, observed).value() == pytest.approx(total)


def test_probability_of_one_belongs_to_the_last_bin():
    curve = metrics.reliability(np.array([0.0, 1.0]), np.array([0.0, 1.0]), bins=4)
    assert curve["count"].tolist() == [1, 0, 0, 1]
    assert np.isnan(curve["observed"][1])


def test_nmad_is_the_sigma_of_a_gaussian_and_deaf_to_outliers():
    residual = np.random.default_rng(0).normal(0.3, 0.07, 200_000)
    assert metrics.nmad(residual) == pytest.approx(0.07, rel=0.01)
    residual[:2000] = 50
    assert metrics.nmad(residual) == pytest.approx(0.07, rel=0.03)
    assert metrics.outlier_fraction(residual - 0.3) == pytest.approx(0.01 + 0.0027, abs=0.001)


def test_a_bias_makes_outliers():
    assert metrics.outlier_fraction(np.array([1.0, 1.0, 1.1])) == 1.0


def test_nmad_subtracts_the_median_by_hand():
    assert metrics.nmad(np.array([1.0, 2.0, 4.0])) == pytest.approx(1.4826 * 1.0)


@given(hnp.arrays(float, st.integers(3, 30), elements=st.floats(-5, 5)), st.integers(0, 2**31))
def test_regression_agrees_with_sklearn(observed, seed):
    if observed.std() < 1e-3:
        return
    predicted = observed + np.random.default_rng(seed).normal(0, 0.3, len(observed))
    statistics = metrics.regression_statistics(predicted, observed)
    assert statistics["rmse"].value() == pytest.approx(sk.root_mean_squared_error(observed, predicted))
    assert statistics["r2"].value() == pytest.approx(sk.r2_score(observed, predicted), rel=1e-6, abs=1e-6)
    assert statistics["bias"].value() == pytest.approx(np.mean(predicted - observed))


def test_r2_far_from_zero_keeps_its_digits():
    observed = 1e6 + np.arange(10.0)
    assert metrics.r_squared(observed + 0.5, observed).value() == pytest.approx(sk.r2_score(observed, observed + 0.5))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(TuningforkError, match=r"\(2, 3\)"):
        metrics.per_sample_rmse(np.zeros((2, 3)), np.zeros((3, 3)))
