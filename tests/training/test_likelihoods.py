"""Losses of whole distributions, against scipy, double loops and numbers worked out by hand; heads, and what they refuse."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork.errors import ModelError
from tuningfork.predicted import further_columns, level_of, quantile_suffix
from tuningfork.training.heads import POINT, VARIANCE_FLOOR, Head, concentrations, cumulative_quantiles, head_of, head_of_record, mean_and_variance
from tuningfork.training.labels import label_sigmas, vote_counts
from tuningfork.training.losses import dirichlet_multinomial_nll, gaussian_nll, make_loss, pinball
from tuningfork.training.recipe import make_recipe

LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)
RNG = np.random.default_rng(5)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float32)


def test_pinball_is_a_double_loop():
    predicted, targets = RNG.normal(size=(7, 2, 5)), RNG.normal(size=(7, 2))
    terms = [
        max(q * (y - f), (q - 1) * (y - f)) for i in range(7) for k in range(2) for q, f, y in zip(LEVELS, predicted[i, k], [targets[i, k]] * 5, strict=True)
    ]
    found = pinball(torch.tensor(predicted), torch.tensor(targets), LEVELS)
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-12)
    # by hand: the median of 1 and 3 against 2 costs 0.5 each, and the loss is half the absolute error
    assert float(pinball(tensor([[1.0]], [[3.0]]), tensor([2.0], [2.0]), (0.5,))) == 0.5


def test_pinball_is_least_at_the_quantiles_of_the_sample():
    sample = torch.tensor(RNG.gamma(2.0, size=(4001, 1)))
    best = np.quantile(sample.numpy(), LEVELS)
    at = lambda values: float(pinball(torch.tensor(values).expand(len(sample), 1, 5), sample, LEVELS))  # noqa: E731
    for number in range(5):
        for step in (-0.05, 0.05):
            assert at(best + step * np.eye(5)[number]) > at(best)


@given(st.lists(st.floats(-1e4, 1e4), min_size=10, max_size=10), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_quantiles_never_cross(raw, outputs_at):
    levels = (LEVELS, LEVELS[2:], LEVELS[:3], (0.1, 0.5, 0.9), (0.5,))[outputs_at]
    outputs = torch.tensor(raw[: 2 * len(levels)], dtype=torch.float32)[None]
    found = cumulative_quantiles(outputs, levels)
    assert found.shape == (1, 2, len(levels)) and (found.diff(dim=-1) >= 0).all()
    middle = levels.index(0.5)
    assert found[0, :, middle].tolist() == outputs.reshape(2, -1)[:, middle].tolist()


def test_quantiles_by_hand():
    raw = tensor([1.0, 2.0, 10.0, -1.0, 0.0])
    step = [math.log1p(math.exp(x)) for x in (1.0, 2.0, -1.0, 0.0)]
    expected = [10 - step[1] - step[0], 10 - step[1], 10, 10 + step[2], 10 + step[2] + step[3]]
    np.testing.assert_allclose(cumulative_quantiles(raw, LEVELS)[0, 0].numpy(), expected, rtol=1e-6)
    # outputs of a target stand side by side
    two = torch.cat([raw, raw - 3], dim=1)
    np.testing.assert_allclose(cumulative_quantiles(two, LEVELS)[0, 0].numpy(), expected, rtol=1e-6)


def test_gaussian_is_scipys_logpdf():
    mean, sigma, targets = RNG.normal(size=(6, 3)), RNG.uniform(0.1, 2, size=(6, 3)), RNG.normal(size=(6, 3))
    found = gaussian_nll(*(torch.tensor(a) for a in (mean, sigma**2, targets)))
    assert float(found) == pytest.approx(-scipy.stats.norm.logpdf(targets, mean, sigma).mean(), rel=1e-12)
    errors = RNG.uniform(0, 1, size=(6, 3))
    with_errors = gaussian_nll(*(torch.tensor(a) for a in (mean, sigma**2, np.hstack([targets, errors]))))
    assert float(with_errors) == pytest.approx(-scipy.stats.norm.logpdf(targets, mean, np.hypot(sigma, errors)).mean(), rel=1e-12)


def test_the_variance_is_a_logarithm_below_the_scatter_of_the_labels_and_a_line_above_it():
    mean, variance = mean_and_variance(tensor([7.0, -2.0, 8.0, 3.0, 9.0, 0.0, 1.0, -200.0]))
    assert mean.tolist() == [[7.0, 8.0, 9.0, 1.0]]
    np.testing.assert_allclose(variance[0].numpy() - VARIANCE_FLOOR, [math.exp(-2), 4, 1, 0], atol=2e-7)
    head = Head("gaussian", 4)
    assert head.n_outputs == 8
    np.testing.assert_allclose(head.columns(tensor([7.0, -2.0, 8.0, 3.0, 9.0, 0.0, 1.0, -200.0]))["sigma"].numpy(), variance.sqrt().numpy())


def test_dirichlet_multinomial_is_scipys():
    alpha, counts = RNG.uniform(0.05, 30, size=(9, 4)), RNG.multinomial(40, [0.1, 0.2, 0.3, 0.4], size=9)
    expected = -np.mean([scipy.stats.dirichlet_multinomial.logpmf(x, a, x.sum()) for a, x in zip(alpha, counts, strict=True)])
    assert float(dirichlet_multinomial_nll(torch.tensor(alpha), torch.tensor(counts))) == pytest.approx(expected, rel=1e-6)


def test_dirichlet_multinomial_keeps_its_digits_at_large_concentrations_and_becomes_a_multinomial():
    p, counts = np.array([0.2, 0.3, 0.5]), np.array([[3, 0, 4], [0, 1, 0]])
    expected = -np.mean([scipy.stats.multinomial.logpmf(x, x.sum(), p) for x in counts])
    found = dirichlet_multinomial_nll(torch.tensor(np.tile(1e7 * p, (2, 1)), dtype=torch.float32), torch.tensor(counts))
    assert float(found) == pytest.approx(expected, abs=1e-5)


@given(st.permutations(range(4)), st.integers(0, 10))
@settings(max_examples=20, deadline=None)
def test_the_order_of_classes_does_not_matter(order, seed):
    rng = np.random.default_rng(seed)
    outputs, counts = torch.tensor(rng.normal(size=(3, 4))), torch.tensor(rng.integers(0, 9, size=(3, 4)))
    loss = make_loss("dirichlet_multinomial", "fractions")
    torch.testing.assert_close(loss(outputs[:, order], counts[:, order]), loss(outputs, counts))


def test_votes_of_a_dirichlet_multinomial_scatter_as_its_head_says():
    head, outputs = Head("dirichlet_multinomial", 3), tensor([2.0, 0.5, -1.0])
    alpha = concentrations(outputs).numpy()[0]
    found = {name: values[0].numpy() for name, values in head.columns(outputs).items()}
    own = scipy.stats.dirichlet(alpha)
    np.testing.assert_allclose(found[POINT], own.mean(), rtol=1e-6)
    np.testing.assert_allclose(found["sigma"], np.sqrt(own.var()), rtol=1e-5)


@pytest.mark.parametrize(("loss", "task"), [("quantile", "regression"), ("gaussian", "regression"), ("dirichlet_multinomial", "fractions")])
@pytest.mark.parametrize("scale", [0.0, 60.0, 1e4])
def test_gradients_stay_finite_at_extremes(loss, task, scale):
    head = head_of(loss, task, 3, LEVELS)
    outputs = (scale * torch.randn(8, head.n_outputs, generator=torch.Generator().manual_seed(1))).requires_grad_()
    targets = torch.full((8, 3), 500.0) if task == "fractions" else torch.full((8, 3), 30.0)
    value = make_loss(loss, task, LEVELS)(outputs, targets)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(outputs.grad).all()


def test_losses_of_points_keep_the_heads_they_had():
    assert head_of("rmse", "regression", 2) == Head("identity", 2) and head_of("per_sample_rmse", "fractions", 3) == Head("softmax", 3)
    assert head_of_record(None, "classes", 4) == Head("softmax", 4)
    for head in (head_of("quantile", "regression", 2, LEVELS), head_of("gaussian", "regression", 1), Head("identity", 1)):
        assert head_of_record(head.record(), "regression", head.n_targets) == head
    assert head_of("quantile", "regression", 3, LEVELS).n_outputs == 15
    with pytest.raises(ModelError, match="'mixture' is none that this version knows"):
        head_of_record({"name": "mixture"}, "regression", 1)


@pytest.mark.parametrize("loss", ["quantile", "gaussian", "dirichlet_multinomial"])
def test_every_head_names_the_columns_that_it_gives(loss):
    head = head_of(loss, "regression", 2, LEVELS)
    columns = head.columns(torch.zeros(4, head.n_outputs))
    assert set(columns) == {POINT, *head.suffixes} and {tuple(values.shape) for values in columns.values()} == {(4, 2)}


@given(st.lists(st.integers(1, 10**6 - 1), min_size=2, max_size=6, unique=True))
def test_every_level_has_a_name_of_its_own(millionths):
    names = [quantile_suffix(number / 1e6) for number in millionths]
    assert len(set(names)) == len(names) and [level_of(name) for name in names] == [number / 1e6 for number in millionths]
    assert [quantile_suffix(level) for level in (*LEVELS, 0.05, 0.001)] == ["q025", "q16", "q50", "q84", "q975", "q05", "q001"]


def test_columns_beside_a_target_are_told_from_other_targets_and_from_its_own_percentiles():
    names = ["oh", "oh_q16", "oh_p50", "oh_p50_q84", "oh_p50_q025", "oh_p50_sigma", "oh_p50_std", "oh_q1", "z_00", "oh_sigma"]
    found = [column.name for column in further_columns(names, ["oh_p50", "oh", "oh_sigma"])]
    assert found == ["oh_p50_q025", "oh_p50_q84", "oh_p50_sigma", "oh_q16"]


@pytest.mark.parametrize(
    ("raw", "task", "votes", "expected"),
    [
        ({"loss": "quantile"}, "fractions", "exclusive", "quantile learns numbers and how sure they are: it needs task regression, not fractions"),
        ({"loss": "gaussian"}, "classes", "exclusive", "it needs task regression, not classes"),
        ({"loss": "dirichlet_multinomial"}, "regression", "exclusive", "counts of votes: it needs task fractions, not regression"),
        ({"loss": "dirichlet_multinomial"}, "fractions", "independent", "the sample says votes: independent"),
        ({"loss": "quantile", "quantiles": [0.16, 0.84]}, "regression", "exclusive", "lacks 0.5"),
        ({"quantiles": [0.5, 0.16]}, None, "exclusive", "does not rise"),
        ({"quantiles": [16, 50, 84]}, None, "exclusive", "not a list of numbers between 0 and 1"),
        ({"quantiles": 0.5}, None, "exclusive", "not a list of numbers between 0 and 1"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(raw, task, votes, expected):
    with pytest.raises(ModelError, match=expected):
        make_recipe(raw, task, votes)


def test_a_likelihood_of_another_task_is_refused():
    with pytest.raises(ModelError, match="gaussian is a loss for task regression, not for fractions"):
        make_loss("gaussian", "fractions")


@given(st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3).filter(any), min_size=1, max_size=5), st.integers(2, 4))
@settings(deadline=None)
def test_counts_come_back_from_rounded_fractions(counts, digits):
    counts = np.array(counts, float)
    votes = counts.sum(axis=1)
    fractions = np.round(counts / votes[:, None], digits)
    fractions /= fractions.sum(axis=1, keepdims=True)
    ids = np.array([f"o{i}" for i in range(len(votes))])
    found = vote_counts({"n_votes": votes}, ids, fractions)
    assert (found.sum(axis=1) == votes).all() and (found >= 0).all()
    if digits > 2:
        np.testing.assert_array_equal(found, counts)


def test_votes_that_are_no_counts_are_refused():
    ids, halves = np.array(["a", "b"]), np.array([[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(ModelError, match="no column n_votes"):
        vote_counts({}, ids, halves)
    with pytest.raises(ModelError, match="no whole number of votes in n_votes: 'b'"):
        vote_counts({"n_votes": np.ma.MaskedArray([2, 0], mask=[False, True])}, ids, halves)
    with pytest.raises(ModelError, match=r"no whole numbers of their n_votes: 'b'.*several boxes"):
        vote_counts({"n_votes": np.array(["2", "3"])}, ids, halves)


def test_errors_of_labels_are_read_by_target():
    ids = np.array(["a", "b"])
    found = label_sigmas({"e": np.array(["0.1", "0.2"])}, ids, ["x", "y"], {"y": "e"})
    np.testing.assert_allclose(found, [[0, 0.1], [0, 0.2]])
    with pytest.raises(ModelError, match="no error of y in e: 'b'"):
        label_sigmas({"e": np.array([0.1, np.nan])}, ids, ["x", "y"], {"y": "e"})
    with pytest.raises(ModelError, match="'z' is no target"):
        label_sigmas({"e": np.zeros(2)}, ids, ["x", "y"], {"z": "e"})
    with pytest.raises(ModelError, match="no column 'f'"):
        label_sigmas({"e": np.zeros(2)}, ids, ["x", "y"], {"y": "f"})
