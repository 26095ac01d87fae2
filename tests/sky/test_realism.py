"""The default sky against the real labels, the real catalogue of MACS2129 and the published statistics. No image is rendered: catalogues and votes only."""

import csv

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp

from tuningfork.sky import candels, clash_labels, galaxies, molino, mosaics
from tuningfork.sky.bands import BANDS
from tuningfork.sky.parameters import CLASSES, SkyParameters
from tuningfork.sky.votes import normalised


@pytest.fixture(scope="module")
def clash():
    """The default clusters: catalogues, eligible stamps, labelled rows and votes."""
    parameters = SkyParameters()
    populations = [galaxies.cluster(parameters, name) for name in parameters.clusters]
    catalogues = []
    for population in populations:
        rng = parameters.generator("test exposure", population.name)
        exposures = {band: mosaics.cluster_exposure(rng, BANDS[band], population.side, 0.1) for band in parameters.bands}
        absent = {band for cluster, band in parameters.absent if cluster == population.name}
        catalogues.append(molino.measure(parameters, population, exposures, absent))
    stamps = clash_labels.eligible(parameters, populations, catalogues)
    chosen, votes = clash_labels.draw_labels(parameters, stamps)
    return catalogues, stamps, chosen, votes


@pytest.fixture(scope="module")
def visual():
    parameters = SkyParameters(goodss_side_px=3000)
    population = galaxies.goodss(parameters)
    exposure = np.ones((population.side, population.side), np.float32)
    return candels.kartaltepe(parameters, population, exposure, candels.guo(parameters, population, exposure)[1])


def read_labels(path):
    with open(path) as file:
        rows = list(csv.DictReader(file))
    return np.array([row["ID"].split("_")[1] for row in rows]), np.array([[float(row[name]) for name in CLASSES] for row in rows])


def read_real(shared_data):
    lines = next((shared_data / "responses" / "mast").glob("*macs2129*cat-molino.txt")).read_text().splitlines()
    names = next(line for line in lines if line.lstrip("# ").startswith("CLASHID  clusterName")).lstrip("# ").split()
    columns = zip(*(line.split() for line in lines if line.startswith("clash_")), strict=True)
    return {name: np.array(values) for name, values in zip(names, columns, strict=True)}


def test_class_means_of_each_filter_are_near_the_real_ones(clash, shared_data):
    _, stamps, chosen, votes = clash
    bands = np.asarray(stamps["band"])[chosen]
    real_bands, real = read_labels(shared_data / "candels_clash_hst" / "CLASH_labels.csv")
    for band in SkyParameters().bands:
        mine, theirs = votes.fractions[bands == band].mean(axis=0), real[real_bands == band].mean(axis=0)
        np.testing.assert_allclose(mine, theirs, atol=0.2 if band == "f275w" else 0.15, err_msg=band)
    uncl = {band: votes.fractions[bands == band, 4].mean() for band in np.unique(bands)}
    assert uncl["f275w"] > 0.4 and uncl["f160w"] < 0.1 and uncl["f475w"] < 0.15


def test_a_predictor_of_means_is_charged_as_on_the_real_labels(clash, shared_data):
    """Mean per-sample RMSE: real .2772 (class mean) and .2487 (mean of each filter); the floor of the votes is far below."""
    _, stamps, chosen, votes = clash
    bands = np.asarray(stamps["band"])[chosen]

    def per_filter(bands, fractions):
        mean = np.stack([fractions[bands == band].mean(axis=0) for band in bands])
        return np.sqrt(((fractions - mean) ** 2).mean(axis=1)).mean()

    real_bands, real = read_labels(shared_data / "candels_clash_hst" / "CLASH_labels.csv")
    keep = np.isin(real_bands, SkyParameters().bands)
    assert per_filter(bands, votes.fractions) == pytest.approx(per_filter(real_bands[keep], real[keep]), abs=0.03)
    assert 0.05 < votes.floor.mean() < 0.11


def test_candels_votes_are_spread_as_the_real_ones(visual, shared_data):
    _, _, votes = visual
    with open(shared_data / "candels_clash_hst" / "CANDELS_labels.csv") as file:
        real = np.array([[float(row[name]) for name in CLASSES] for row in csv.DictReader(file)])
    mine = normalised(votes.fractions)[votes.count.sum(axis=1) > 0]
    np.testing.assert_allclose(mine.mean(axis=0), real.mean(axis=0), atol=0.08)
    np.testing.assert_allclose(mine.std(axis=0), real.std(axis=0), atol=0.08)
    assert (mine.max(axis=1) > 0.999).mean() == pytest.approx((real.max(axis=1) > 0.999).mean(), abs=0.1)


def test_some_galaxies_stand_in_two_sub_fields_with_votes_of_their_own(visual):
    table, link, votes = visual
    table = table[table["Depth"] == 2]
    galaxy = np.asarray(link["galaxy_id"])
    ids, count = np.unique(galaxy, return_counts=True)
    doubled = ids[count == 2]
    assert count.max() == 2 and 0.01 < len(doubled) / len(ids) < 0.06
    pairs = np.array([np.flatnonzero(galaxy == name) for name in doubled])
    areas = np.asarray(table["Area"])[pairs]
    assert (areas[:, 0] != areas[:, 1]).all()
    assert len(np.unique(link["object_id"])) == len(link)
    seen = normalised(votes.fractions)
    repeat = np.sqrt(((seen[pairs[:, 0]] - seen[pairs[:, 1]]) ** 2).mean(axis=1)).mean()
    random = np.sqrt(((seen[pairs[:, 0]] - seen[np.roll(pairs[:, 1], 1)]) ** 2).mean(axis=1)).mean()
    assert 0.05 < repeat < 0.8 * random  # real: .163 against .296


def test_the_deep_sub_field_was_classified_at_three_depths(visual):
    """As published: one row an object at two epochs, and the deep third of them again at four and at ten, by five people or more."""
    table, link, _ = visual
    depth, area = np.asarray(table["Depth"]), np.asarray(table["Area"])
    assert (depth == 2).sum() == len(link) and len(np.unique(table["ID"])) == len(table)
    deep = {epochs: table[(depth == epochs) & (area == "deep")] for epochs in (2, 4, 10)}
    assert len(table) == len(link) + len(deep[4]) + len(deep[10])
    for epochs in (4, 10):
        assert deep[epochs]["ID"].tolist() == [name.replace("deep2_", f"deep{epochs}_") for name in deep[2]["ID"].tolist()]
        assert (deep[epochs]["NCl"] >= 5).all() and (deep[epochs]["RAdeg"] == deep[2]["RAdeg"]).all()
        fractions = [np.column_stack([deep[e][name] for name in candels.FRACTIONS]) for e in (2, epochs)]
        assert 0 < np.abs(fractions[0] - fractions[1]).mean() < np.abs(fractions[0] - np.roll(fractions[1], 1, axis=0)).mean()


def test_99_is_an_area_and_no_magnitude(clash):
    catalogue = clash[0][0].copy()
    catalogue["area"][:3], catalogue["s2n"][:3], catalogue["F160W_WFC3_PHOTOZ"][:3], catalogue["dF160W_WFC3_PHOTOZ"][:3] = 99, 99.0, 99.0, 27.5
    table = molino.vizier_table(catalogue, "x")
    assert table["Area"][:3].tolist() == [99] * 3 and table["s2n"][:3].tolist() == [99.0] * 3
    assert np.ma.getmaskarray(table["F160WPZ"])[:3].all() and table["e_F160WPZ"][:3].tolist() == [27.5] * 3


def test_own_filter_cut_gives_stamps_in_the_published_proportion(clash):
    catalogues, stamps, _, _ = clash
    bright = sum(int(((c["F160W_WFC3_PHOTOZ"] < 24.5) & (c["F160W_WFC3_PHOTOZ"] > 0)).sum()) for c in catalogues)
    assert 90 * len(catalogues) < bright < 150 * len(catalogues)
    assert 2000 < len(stamps) < 2700
    assert 3.5 < len(stamps) / bright < 5.0  # MACS2129 has 4.15 a galaxy in these seven filters


@pytest.mark.parametrize(
    ("quantity", "distance"),
    [("magnitude", 0.12), ("rp", 0.25), ("a", 0.25), ("radius", 0.25), ("rf", 0.3), ("axis_ratio", 0.25), ("neighbour", 0.15), ("mass", 0.3)],
)
def test_the_catalogue_looks_like_that_of_macs2129(clash, shared_data, quantity, distance):
    """Kolmogorov-Smirnov distance of the H < 24.5 objects; one real cluster differs from the next by about 0.15."""

    def values(table):
        column = {name: np.asarray(table[name]).astype(float) for name in ("F160W_WFC3_PHOTOZ", "F160W_WFC3_MASS", "a", "b", "rp", "rf", "x", "y")}
        magnitude = column["F160W_WFC3_PHOTOZ"]
        bright = (magnitude < 24.5) & (magnitude > 0)
        position = np.column_stack([column["x"], column["y"]])[bright]
        every = {
            "magnitude": magnitude,
            "rp": column["rp"],
            "a": column["a"],
            "radius": column["rp"] * column["a"] / 2,
            "rf": column["rf"],
            "axis_ratio": column["b"] / column["a"],
            "mass": magnitude - column["F160W_WFC3_MASS"],
        }
        return cKDTree(position).query(position, 2)[0][:, 1] if quantity == "neighbour" else every[quantity][bright]

    simulated = np.concatenate([values(catalogue) for catalogue in clash[0]])
    assert ks_2samp(values(read_real(shared_data)), simulated).statistic < distance


def test_size_and_magnitude_do_not_give_the_class_away(clash):
    """A forest that sees magnitude, size and filter only stays well above the floor of the votes."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import cross_val_predict

    catalogues, stamps, chosen, votes = clash
    stamps = stamps[chosen]
    rows = {name: table for table in catalogues for name in table["CLASHID"]}
    features = []
    for galaxy, band in zip(stamps["galaxy_id"], stamps["band"], strict=True):
        table = rows[galaxy]
        at = np.flatnonzero(np.asarray(table["CLASHID"]) == galaxy)[0]
        features.append([table[f"{BANDS[band].column}_PHOTOZ"][at], table["a"][at] * table["rp"][at], BANDS[band].pivot])
    guess = cross_val_predict(RandomForestRegressor(60, min_samples_leaf=5, random_state=1), np.array(features, float), votes.fractions, cv=4)
    reached = np.sqrt(((votes.fractions - guess) ** 2).mean(axis=1)).mean()
    assert reached > 1.7 * votes.floor.mean()
