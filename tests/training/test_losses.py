"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from tuningfork.errors import ModelError
from tuningfork.training.losses import activate, make_loss, smoothed

# raw outputs whose softmax is (1/2, 1/2) and (3/4, 1/4)
OUTPUTS = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
TARGETS = torch.tensor([[1.0, 0.0], [0.25, 0.75]])


def test_softmax_for_fractions_and_nothing_for_a_regression():
    torch.testing.assert_close(activate(OUTPUTS, "fractions"), torch.tensor([[0.5, 0.5], [0.75, 0.25]]))
    assert activate(OUTPUTS, "regression") is OUTPUTS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("per_sample_rmse", 0.5),  # every error is 1/2 in both samples
        ("mse", 0.25),
        ("rmse", 0.5),
        ("cross_entropy", (math.log(2) - 0.25 * math.log(0.75) - 0.75 * math.log(0.25)) / 2),
    ],
)
def test_values_worked_out_by_hand(name, expected):
    assert float(make_loss(name, "fractions")(OUTPUTS, TARGETS)) == pytest.approx(expected, abs=1e-5)


def test_per_sample_rmse_is_not_the_rmse_of_the_batch():
    outputs, targets = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.zeros(2, 2)
    assert float(make_loss("per_sample_rmse", "regression")(outputs, targets)) == pytest.approx(math.sqrt(12.5) / 2, abs=1e-5)
    assert float(make_loss("rmse", "regression")(outputs, targets)) == pytest.approx(2.5, abs=1e-5)


@pytest.mark.parametrize("name", ["per_sample_rmse", "rmse"])
def test_gradient_is_finite_where_the_prediction_is_perfect(name):
    outputs = torch.tensor([[0.0, 0.0]], requires_grad=True)
    make_loss(name, "fractions")(outputs, torch.tensor([[0.5, 0.5]])).backward()
    assert torch.isfinite(outputs.grad).all()


def test_cross_entropy_of_a_regression_is_refused():
    with pytest.raises(ModelError, match="rmse or mse"):
        make_loss("cross_entropy", "regression")


def test_smoothed_labels_give_torchs_smoothed_cross_entropy():
    outputs, classes = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 4, 2, 2, 1, 3, 0])
    labels = torch.nn.functional.one_hot(classes, 5).float()
    found = make_loss("cross_entropy", "classes")(outputs, smoothed(labels, 0.1))
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(outputs, classes, label_smoothing=0.1))
    torch.testing.assert_close(smoothed(labels, 0.1)[0], torch.tensor([0.92, 0.02, 0.02, 0.02, 0.02]))
    assert smoothed(labels, 0) is labels
