"""Noise of the votes: the 201 repeats of the real labels, and draws whose answer is known."""

import numpy as np
import pytest

from tuningfork.catalogues import kartaltepe2015
from tuningfork.catalogues.columns import TARGETS
from tuningfork.catalogues.image_labels import read_labels
from tuningfork.errors import SampleError
from tuningfork.samples import noise


def test_the_201_real_repeats(shared_data):
    table = read_labels(shared_data / "candels_clash_hst" / "CANDELS_labels.csv", TARGETS)
    _, galaxy_id = kartaltepe2015.catalogue_ids(np.asarray(table["ID"]))
    found = noise.repeat_noise(np.stack([table[t] for t in TARGETS], axis=1), galaxy_id, np.random.default_rng(0))
    assert found.pairs == 201
    assert found.mean_rmse == pytest.approx(0.163, abs=0.0005)
    assert found.random_mean_rmse == pytest.approx(0.296, abs=0.006)
    assert found.floor_rms == pytest.approx(found.rms / 2**0.5) and found.per_class.shape == (5,)


def test_repeats_need_pairs():
    with pytest.raises(SampleError, match="twice"):
        noise.repeat_noise(np.zeros((3, 2)), np.array(["a", "b", "c"]), np.random.default_rng(0))
    first, second = noise.repeat_pairs(np.array(["x", "y", "x", "z", "z", "z"]))
    assert first.tolist() == [0] and second.tolist() == [2]


@pytest.mark.parametrize("model", ["binomial", "multinomial"])
def test_drawn_votes_have_the_mean_and_variance_of_theory(model):
    f = np.tile([0.5, 0.3, 0.2], (40000, 1))
    drawn = noise.draw_votes(f, np.full(40000, 5), np.random.default_rng(1), model)
    np.testing.assert_allclose(drawn.mean(axis=0), f[0], atol=0.005)
    np.testing.assert_allclose(drawn.var(axis=0), f[0] * (1 - f[0]) / 5, rtol=0.03)
    assert np.allclose(drawn.sum(axis=1), 1) == (model == "multinomial")
    np.testing.assert_allclose(noise.expected_variance(drawn, np.full(40000, 5)).mean(axis=0), f[0] * (1 - f[0]) / 5, rtol=0.03)


def test_multinomial_floor_is_the_formula():
    f = np.tile([0.5, 0.3, 0.2], (500, 1))
    _, per_class = noise.voting_floor(f, np.full(500, 4), np.random.default_rng(2), "multinomial", 200)
    np.testing.assert_allclose(per_class, np.sqrt(f[0] * (1 - f[0]) / 4), rtol=0.02)


def test_certain_votes_have_no_noise_and_more_votes_less():
    certain = np.tile([1.0, 0.0, 0.0], (10, 1))
    assert noise.voting_floor(certain, np.full(10, 3), np.random.default_rng(3))[0].max() == 0
    f = np.tile([0.6, 0.3, 0.3], (300, 1))
    floors = [noise.voting_floor(f, np.full(300, n), np.random.default_rng(4), n_draws=50)[0].mean() for n in (3, 5, 40)]
    assert floors[0] > floors[1] > floors[2]


@pytest.mark.parametrize("model", ["binomial", "multinomial"])
def test_subsamples_of_many_votes_find_the_noise_of_few(model):
    rng = np.random.default_rng(5)
    truth = rng.dirichlet([1, 1, 1], 150)
    n = np.full(150, 60)
    observed = noise.draw_votes(truth, n, rng, model)
    measured, _ = noise.subsample_floor(observed, n, 5, rng, 100, model)
    expected = noise.voting_floor(truth, np.full(150, 5), rng, model, 100)[0].mean()
    assert measured == pytest.approx(expected, rel=0.06)


def test_rounded_fractions_are_not_turned_into_counts():
    with pytest.raises(SampleError, match="not whole numbers"):
        noise.subsample_floor(np.array([[0.5031, 0.4969]]), np.array([40]), 3, np.random.default_rng(0))
    with pytest.raises(SampleError, match="12 votes or more"):
        noise.subsample_floor(np.array([[0.5, 0.5]]), np.array([4]), 3, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("fractions", "votes", "model", "message"),
    [
        ([[0.5, 0.6]], [3], "multinomial", "sum to 1"),
        ([[0.5, 1.2]], [3], "binomial", "between 0 and 1"),
        ([[0.5, 0.5]], [0], "binomial", "at least 1"),
        ([[0.5, 0.5]], [3], "poisson", "choose binomial"),
    ],
)
def test_impossible_votes_are_refused(fractions, votes, model, message):
    with pytest.raises(SampleError, match=message):
        noise.draw_votes(np.array(fractions), np.array(votes), np.random.default_rng(0), model)


def test_nobody_ticked_is_equal_shares():
    np.testing.assert_allclose(noise.normalised(np.array([[0.0, 0.0], [0.2, 0.6]])), [[0.5, 0.5], [0.25, 0.75]])
