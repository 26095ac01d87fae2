"""Sersic profiles made of Gaussians, against the analytic profile."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammainc, gammaincinv

from tuningfork.sky.wide.profiles import mixture, widths


def growth(index: float, radius: np.ndarray) -> np.ndarray:
    share, width = mixture(np.array([index]))[0], widths(np.array([index]))[0]
    return (share * -np.expm1(-0.5 * (radius[:, None] / width) ** 2)).sum(axis=1)


@given(st.floats(0.5, 5.0))
def test_shares_sum_to_one_and_half_of_the_light_lies_within_the_half_light_radius(index: float) -> None:
    assert mixture(np.array([index])).sum() == pytest.approx(1)
    assert (mixture(np.array([index])) >= 0).all()
    assert growth(index, np.array([1.0]))[0] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("index", [0.5, 1.0, 2.0, 4.0])
def test_light_grows_as_in_the_analytic_profile(index: float) -> None:
    radius = np.array([0.3, 0.6, 1.0, 1.5, 2.0])
    b = gammaincinv(2 * index, 0.5)
    analytic = gammainc(2 * index, b * radius ** (1 / index))
    # profiles of high index lose their endless wings, which are scaled up again within the half-light radius
    assert growth(index, radius) == pytest.approx(analytic, abs=0.012 if index < 2 else 0.08)
