"""What can be learned from the wide sky, and what cannot: distributions as the published ones, hard enough without pixels."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tuningfork.sky.wide import galaxy10, lsb, lsb_samples, lsb_tables, sdss, sdss_tables, zoo_tables
from tuningfork.sky.wide.galaxies import EDGE_ON, parts_of, total_flux
from tuningfork.sky.wide.image import WideSky
from tuningfork.sky.wide.measure import petrosian
from tuningfork.sky.wide.parameters import WideParameters
from tuningfork.sky.wide.parts import new_parts
from tuningfork.sky.wide.seds import magnitudes
from tuningfork.sky.wide.surveys import LAYERS
from tuningfork.sky.wide.zoo import GALAXY10_COUNTS, KINDS, draw
from tuningfork.sky.wide.zoo_votes import QUESTIONS

PARAMETERS = WideParameters(seed=7, sdss_galaxies=1200, lsb_galaxies=500, decals_galaxies=1000)


@pytest.fixture(scope="module")
def spectroscopic() -> tuple[sdss.SpectroscopicSample, dict]:
    sample = sdss.draw(PARAMETERS, 0)
    return sample, sdss_tables.make(PARAMETERS, sample, 0)[0]


def published(made: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row of the galaxy, metallicity and colours of the spectra that have a metallicity."""
    extra, spec, photo = made["galSpecExtra"], made["SpecObj"], made["PhotoObj"]
    known = np.flatnonzero((np.asarray(extra["oh_p50"]) > 0) & (np.asarray(spec["sciencePrimary"]) == 1))
    order = np.argsort(photo["objID"])
    galaxy = order[np.searchsorted(np.asarray(photo["objID"])[order], np.asarray(spec["bestObjID"])[known])]
    bands = np.stack([np.asarray(photo[f"modelMag_{band}"])[galaxy] for band in "ugriz"], axis=1)
    return galaxy, np.asarray(extra["oh_p50"])[known], bands[:, :-1] - bands[:, 1:]


def rmse(model, features: np.ndarray, target: np.ndarray) -> float:
    return float(np.sqrt(np.mean((cross_val_predict(model, features, target, cv=5) - target) ** 2)))


def test_metallicities_spread_as_those_of_sdss_and_fewer_than_one_in_five_spectra_lack_one(spectroscopic) -> None:
    sample, made = spectroscopic
    _, metallicity, _ = published(made)
    assert metallicity.std() == pytest.approx(0.19, abs=0.025) and metallicity.mean() == pytest.approx(8.9, abs=0.08)
    assert 0.05 < np.mean(np.asarray(made["galSpecExtra"]["oh_p50"]) < 0) < 0.2
    assert np.corrcoef(sample.mass, sample.metallicity)[0, 1] > 0.6
    assert 0.02 < sdss_tables.label_floor(made) < 0.06


def test_colours_say_something_of_metallicity_structure_and_inclination_say_more(spectroscopic) -> None:
    sample, made = spectroscopic
    galaxy, metallicity, colours = published(made)
    by_colour = rmse(make_pipeline(StandardScaler(), RidgeCV()), colours, metallicity)
    assert 0.09 < by_colour < 0.14
    g = sample.galaxies
    structure = np.stack([g.q, g.bulge, g.clumps, g.structure, g.lane], axis=1)[galaxy]
    assert rmse(HistGradientBoostingRegressor(random_state=0), np.hstack([colours, structure]), metallicity) < by_colour - 0.012
    flexible = rmse(HistGradientBoostingRegressor(random_state=0), colours, metallicity)
    assert flexible > 0.08  # colour alone never gives it away


def test_spectroscopic_sample_spans_the_distances_and_magnitudes_of_the_main_galaxy_sample(spectroscopic) -> None:
    sample, made = spectroscopic
    assert 0.3 < np.quantile(sample.galaxies.redshift, 0.99) / 0.15 < 1.6 and np.median(sample.galaxies.r) == pytest.approx(17.2, abs=0.4)
    assert 2 * np.median(made["PhotoObj"]["petroR50_r"]) < np.median(made["PhotoObj"]["petroR90_r"]) < 3.5 * np.median(made["PhotoObj"]["petroR50_r"])
    colour = np.asarray(made["PhotoObj"]["modelMag_u"]) - np.asarray(made["PhotoObj"]["modelMag_r"])
    assert 0.9 < np.median(colour) < 3.0


def test_listed_magnitudes_are_those_of_the_picture(spectroscopic) -> None:
    sample, made = spectroscopic
    galaxies = sample.galaxies
    chosen = np.flatnonzero((galaxies.dec > 5) & (galaxies.radius < 5))[:12]
    sky = WideSky(sample.parts, PARAMETERS.seed, field_objects=False)
    difference = []
    for row in chosen:
        image = sky.image("sdss", galaxies.ra[row], galaxies.dec[row], width=161, height=161, bands=("r",))
        assert image is not None
        distance = np.hypot(*np.mgrid[-80:81, -80:81]) * LAYERS["sdss"].pixscale
        difference.append(magnitudes(image[0][distance < 30].sum()) - made["PhotoObj"]["modelMag_r"][row])
    assert np.abs(np.median(difference)) < 0.04 and np.std(difference) < 0.08


def test_artifacts_overlap_galaxies_in_what_a_catalogue_says() -> None:
    found = lsb_samples.des(PARAMETERS)
    rng = np.random.default_rng(0)
    seen = {label: lsb_tables.measured(rng, own, np.arange(len(own))) for label, own in found.items()}
    for label, low, high in ((lsb.REJECTED_BY_EYE, 0.80, 0.91), (lsb.REJECTED_BY_MACHINE, 0.83, 0.95)):
        features = np.concatenate([lsb_tables.features(seen[lsb.GALAXY]), lsb_tables.features(seen[label])])
        truth = np.repeat([1, 0], [len(seen[lsb.GALAXY]), len(seen[label])])
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        area = roc_auc_score(truth, cross_val_predict(model, features, truth, cv=5, method="predict_proba")[:, 1])
        assert low < area < high
        assert lsb_samples.linear_auc(seen[lsb.GALAXY], seen[label]) == pytest.approx(area, abs=0.04)
        for name in ("radius_g", "mean_g"):
            ends = [np.quantile(seen[kind][name], [0.1, 0.9]) for kind in (lsb.GALAXY, label)]
            assert ends[0][0] < ends[1][1] and ends[1][0] < ends[0][1]


def test_galaxy_zoo_has_every_class_of_the_paper_and_votes_scatter_about_their_chances() -> None:
    made = zoo_tables.sample(PARAMETERS, 0)
    fraction = {question: made.answers.fractions(question) for question in QUESTIONS}
    featured, face_on, edge_on = fraction["smooth-or-featured"][:, 1], fraction["disk-edge-on"][:, 1], fraction["disk-edge-on"][:, 0]
    disk = (featured > 0.5) & (face_on > 0.5)
    smooth, shape = fraction["smooth-or-featured"][:, 0], fraction["how-rounded"]
    classes = {
        "no bar": disk & (fraction["bar"][:, 2] > 0.8), "strong bar": disk & (fraction["bar"][:, 0] > 0.5), "weak bar": disk & (fraction["bar"][:, 1] > 0.5),
        "edge-on": (featured > 0.5) & (edge_on > 0.7), "merger": (fraction["merging"][:, 1:] > 0.6).any(axis=1),
        "cigar": (smooth > 0.5) & (shape[:, 2] > 0.6), "in between": (smooth > 0.7) & (shape[:, 1] > 0.85), "round": (smooth > 0.7) & (shape[:, 0] > 0.8),
    }  # fmt: skip
    assert {name: int(rows.sum()) for name, rows in classes.items() if rows.sum() < 15} == {}
    assert 0.3 < featured.mean() < 0.7
    assert all(chance.sum(axis=1) == pytest.approx(1) for chance in made.answers.chances.values())
    told = zoo_tables.calibration(made)
    assert 0.42 < told["in_overlap"] < 0.58
    assert all(0.02 < value < 0.12 for value in told["vote_floor"].values())
    assert ((made.galaxies.redshift > 0.02) & (made.galaxies.redshift < 0.15) & (made.galaxies.r <= 17.5)).all()


def test_galaxy10_classes_have_the_published_proportions_and_a_third_lies_north() -> None:
    made = galaxy10.sample(WideParameters(seed=2, galaxy10_images=3000), 0)
    share = np.bincount(made.answer, minlength=10) / 3000
    assert share == pytest.approx(GALAXY10_COUNTS / GALAXY10_COUNTS.sum(), abs=0.01)
    assert np.mean(made.dec > 32.375) == pytest.approx(0.364, abs=0.03)
    assert len(np.unique(made.galaxy)) == 3000 - round(3000 * 59 / 17736)


def test_parts_sum_to_the_magnitude_and_dust_lanes_leave_no_negative_light() -> None:
    rng = np.random.default_rng(5)
    number = 200
    kind = np.arange(number) % len(KINDS)
    galaxies = draw(rng, kind, np.full(number, 150.0), np.full(number, 20.0), rng.uniform(14, 17.5, number), rng.uniform(0.02, 0.15, number))
    parts = parts_of(rng, galaxies)
    assert magnitudes(total_flux(parts, 0, number)[:, 2]) == pytest.approx(galaxies.r, abs=0.01)
    for row in np.flatnonzero((galaxies.q < EDGE_ON) & (galaxies.lane > 0.6))[:6]:
        image = WideSky(parts[parts["owner"] == row], 1, field_objects=False).image("ls-dr9-south", 150.0, 20.0, width=160, height=160)
        assert image is not None and (image > -6 * np.array([LAYERS["ls-dr9-south"].noise(b) for b in "grz"])[:, None, None]).all()


@pytest.mark.parametrize("index, ratio, concentration", [(1.0, 2.158, 2.32), (0.5, 1.959, 1.82)])
def test_petrosian_radii_are_those_of_the_analytic_profile(index: float, ratio: float, concentration: float) -> None:
    """Petrosian radius over half-light radius, and R90/R50, of face-on profiles (Graham et al. 2005, table 1; a Gaussian has sqrt(ln 10/ln 2))."""
    parts = new_parts(np.array([10.0]), np.array([5.0]), np.full((1, 8), 100.0), owner=0, n=index, radius=8.0)
    found = petrosian(parts, 0, 1, np.array([10.0]), np.array([5.0]), 0.01)
    assert found.radius[0] / 8.0 == pytest.approx(ratio, rel=0.06)
    assert found.flux[0] == pytest.approx(100.0, rel=0.02)
    assert found.r90[0] / found.r50[0] == pytest.approx(concentration, rel=0.03)
