"""A temperature is the one that a grid finds, and changes how sure a prediction is, never what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.analysis.metrics import calibration_error, kl_divergence
from tuningfork.analysis.temperature import COLDEST, HOTTEST, fit_temperature, negative_log_likelihood, scale
from tuningfork.errors import TuningforkError


def drawn(seed, n, classes, sharpness, spread=1.5):
    """Probabilities of a network that is `sharpness` times too sure, and labels drawn from the true ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (n, classes))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.eye(classes)[[rng.choice(classes, p=row) for row in true]]
    told = np.exp(sharpness * logits)
    return told / told.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize(("seed", "classes", "sharpness"), [(0, 2, 3.0), (1, 4, 0.5), (2, 10, 1.0), (3, 3, 8.0)])
def test_the_best_temperature_is_that_of_a_grid(seed, classes, sharpness):
    p, y = drawn(seed, 400, classes, sharpness)
    grid = np.geomspace(COLDEST, HOTTEST, 4001)
    losses = [negative_log_likelihood(scale(p, t), y).mean() for t in grid]
    found = fit_temperature(p, y)
    assert found.value == pytest.approx(grid[int(np.argmin(losses))], rel=2e-3)
    assert found.after <= min(losses) + 1e-12 and found.after <= found.before
    assert found.value == pytest.approx(sharpness, rel=0.35)  # what the network was too sure by


def test_soft_labels_count_by_their_fractions():
    """A row of votes 3 : 1 weighs as three rows of one class and one of the other."""
    p, _ = drawn(5, 60, 2, 2.0)
    votes = np.random.default_rng(5).integers(0, 5, 60)
    soft = np.column_stack([votes, 4 - votes]) / 4
    rows = np.repeat(np.arange(60), 4)
    hard = np.eye(2)[[0 if k < votes[i] else 1 for i in range(60) for k in range(4)]]
    assert fit_temperature(p, soft).value == pytest.approx(fit_temperature(p[rows], hard).value, rel=1e-6)


def test_scaling_is_the_division_of_logits():
    logits = np.random.default_rng(1).normal(0, 2, (50, 5))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    divided = np.exp(logits / 2.5)
    np.testing.assert_allclose(scale(p, 2.5), divided / divided.sum(axis=1, keepdims=True), rtol=1e-12)
    assert scale(p, 1.0) is p


@given(st.integers(0, 2**32 - 1), st.floats(0.06, 15))
def test_the_order_of_the_classes_stays(seed, temperature):
    p = np.random.default_rng(seed).dirichlet([0.5, 0.7, 1.0, 2.0], 30)
    hot = scale(p, temperature)
    np.testing.assert_allclose(hot.sum(axis=1), 1)
    assert (np.argmax(hot, axis=1) == np.argmax(p, axis=1)).all()
    sure = p.max(axis=1) >= hot.max(axis=1) - 1e-12 if temperature > 1 else p.max(axis=1) <= hot.max(axis=1) + 1e-12
    assert sure.all()


def test_calibration_improves_on_rows_that_were_not_fitted():
    p, y = drawn(7, 3000, 4, 3.0)
    t = fit_temperature(p[:1000], y[:1000]).value
    rest = slice(1000, None)
    assert calibration_error(scale(p[rest], t), y[rest]).value() < 0.5 * calibration_error(p[rest], y[rest]).value()
    assert kl_divergence(scale(p[rest], t), y[rest]).mean() < kl_divergence(p[rest], y[rest]).mean()


def test_what_rows_cannot_determine_is_left_alone():
    p, y = drawn(0, 19, 3, 2.0)
    few = fit_temperature(p, y)
    assert few.value == 1 and "19 labelled validation rows" in few.reason and few.before == few.after
    right = np.eye(3)[np.argmax(drawn(0, 60, 3, 2.0)[0], axis=1)]  # every row classified rightly: the surer the better, without end
    assert fit_temperature(drawn(0, 60, 3, 2.0)[0], right).value == 1
    nothing = fit_temperature(np.zeros((0, 3)), np.zeros((0, 3)))
    assert nothing.value == 1 and nothing.n == 0
    with pytest.raises(TuningforkError, match=r"one shape"):
        fit_temperature(p, y[:, :2])


def test_a_forest_that_says_never_is_not_believed_to_the_end():
    """Probabilities of exactly 0 and 1 stay finite after scaling, and NaN rows stay NaN."""
    p = np.array([[0.0, 1.0], [1.0, 0.0], [np.nan, np.nan]])
    hot = scale(p, 3.0)
    assert np.isfinite(hot[:2]).all() and (hot[:2].max(axis=1) < 1).all() and np.isnan(hot[2]).all()
