import numpy as np
import pytest

from tuningfork.sky import galaxies, votes
from tuningfork.sky.parameters import SkyParameters


@pytest.fixture(scope="module")
def population():
    return galaxies.cluster(SkyParameters(seed=4), "SIM-A")


@pytest.mark.parametrize("panel", [votes.CLASH_PANEL, votes.CANDELS_PANEL])
def test_probabilities_are_probabilities(population, panel):
    np.testing.assert_allclose(panel.sum(axis=1), 1)
    for band in population.bands:
        p = votes.class_probabilities(population, band, panel)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        assert p.min() > 0


def test_what_drowns_in_noise_is_unclassifiable(population):
    for band in population.bands:
        snr = votes.appearance(population, band)["snr"]
        p = votes.class_probabilities(population, band)[:, 4]
        assert (p[snr < 5] > 0.6).all()
        assert (p[snr > 60] < 0.1).all()


def test_exclusive_votes_add_up_and_their_floor_is_that_of_a_multinomial():
    rng = np.random.default_rng(1)
    p = np.tile([0.5, 0.3, 0.1, 0.05, 0.05], (400, 1))
    drawn = votes.draw_exclusive(rng, p, np.full(400, 6))
    np.testing.assert_array_equal(drawn.count.sum(axis=1), 6)
    np.testing.assert_allclose(drawn.fractions.sum(axis=1), 1)
    variance = (p[0] * (1 - p[0]) / 6).mean()  # analytic: the floor's square has this mean
    assert np.sqrt(variance) * 0.85 < drawn.floor.mean() < np.sqrt(variance)
    observed = np.sqrt(((drawn.fractions - p) ** 2).mean(axis=1)).mean()
    assert drawn.floor.mean() == pytest.approx(observed, rel=0.1)


def test_more_people_lower_the_floor():
    p = np.tile([0.4, 0.3, 0.2, 0.05, 0.05], (200, 1))
    few, many = (votes.draw_exclusive(np.random.default_rng(1), p, np.full(200, n)).floor.mean() for n in (5, 40))
    assert many == pytest.approx(few * np.sqrt(5 / 40), rel=0.1)


def test_candels_people_tick_several_boxes():
    rng = np.random.default_rng(1)
    p = np.tile([0.4, 0.4, 0.1, 0.05, 0.05], (500, 1))
    drawn = votes.draw_ticks(rng, p, np.full(500, 4))
    assert drawn.fractions.sum(axis=1).mean() > 1.1
    np.testing.assert_allclose(drawn.fractions.mean(axis=0), votes.tick_probabilities(p[0]), atol=0.04)
    seen = votes.normalised(drawn.fractions)
    assert drawn.floor.mean() == pytest.approx(np.sqrt(((seen - drawn.expected) ** 2).mean(axis=1)).mean(), rel=0.1)


def test_a_few_galaxies_have_forty_votes():
    people = votes.panel_sizes(np.random.default_rng(1), 5000, 3, 5, 0.03)
    assert set(np.unique(people)) == {3, 4, 5, 40}
    assert (people == 40).mean() == pytest.approx(0.03, abs=0.01)
