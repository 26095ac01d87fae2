"""The maximum mean discrepancy against a double loop over pairs, and what it says of equal and of shifted sets."""

import numpy as np
import pytest
import torch

from tuningfork.training.discrepancy import mmd


def by_pairs(first, second, *, unbiased=False):
    """The definition, pair by pair: five Gaussian kernels about the mean squared distance of different rows."""
    both = [*first, *second]
    distances = [((a - b) ** 2).sum() for i, a in enumerate(both) for j, b in enumerate(both) if i != j]
    width = sum(distances) / len(distances) / 4

    def kernel(a, b):
        return sum(np.exp(-((a - b) ** 2).sum() / (width * 2**i)) for i in range(5))

    def mean(xs, ys, same):
        values = [kernel(a, b) for i, a in enumerate(xs) for j, b in enumerate(ys) if not (same and unbiased and i == j)]
        return sum(values) / len(values)

    return mean(first, first, True) + mean(second, second, True) - mean(first, second, False) - mean(second, first, False)


def draws(count, shift=0.0, seed=0, features=3):
    return np.random.default_rng(seed).normal(shift, 1, (count, features))


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(("n", "m", "shift"), [(7, 7, 0.5), (5, 9, 2.0), (2, 2, 0.0)])
def test_against_a_double_loop(n, m, shift, unbiased):
    first, second = draws(n), draws(m, shift, 1)
    got = mmd(torch.from_numpy(first), torch.from_numpy(second), unbiased=unbiased)
    assert float(got) == pytest.approx(by_pairs(first, second, unbiased=unbiased), abs=2e-5)


def test_equal_sets_have_none_and_a_shift_has_more_and_more():
    same = torch.from_numpy(draws(40))
    assert float(mmd(same, same.flip(0))) == pytest.approx(0, abs=1e-5)
    values = [float(mmd(same, same + shift)) for shift in (0.0, 0.3, 1.0, 3.0)]
    assert values == sorted(values) and values[-1] > 10 * values[1] > 0


def test_the_unbiased_one_is_about_zero_for_two_draws_of_one_distribution():
    pairs = [(torch.from_numpy(draws(20, seed=2 * k)), torch.from_numpy(draws(20, seed=2 * k + 1))) for k in range(60)]
    unbiased, biased = ([float(mmd(a, b, unbiased=kind)) for a, b in pairs] for kind in (True, False))
    assert abs(np.mean(unbiased)) < 3 * np.std(unbiased) / np.sqrt(60) < 0.05
    assert min(biased) > 0 > min(unbiased)


def test_units_and_an_offset_of_all_features_change_nothing():
    first, second = torch.from_numpy(draws(15)), torch.from_numpy(draws(15, 1.0, 1))
    assert float(mmd(1000 * first + 500, 1000 * second + 500)) == pytest.approx(float(mmd(first, second)), rel=1e-3)


def test_its_gradient_pulls_the_sets_together_and_stays_finite():
    first, second = torch.from_numpy(draws(30)).float(), torch.from_numpy(draws(30, 2.0, 1)).float().requires_grad_(True)
    mmd(first, second).backward()
    assert float(second.grad.mean()) > 0, "a step against the gradient lowers the shift"
    collapsed = torch.zeros(6, 2, requires_grad=True)
    mmd(collapsed, collapsed * 1).backward()
    assert torch.isfinite(collapsed.grad).all()
