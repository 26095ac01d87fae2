"""Selection and labels on the real tables: the published numbers of MACS2129, and labels that do not fit."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from tuningfork.catalogues import molino2017
from tuningfork.catalogues.columns import BANDS, TARGETS
from tuningfork.catalogues.image_labels import read_csv, read_labels, split_stamp_id
from tuningfork.errors import SampleError
from tuningfork.samples import labels, select


@pytest.fixture(scope="module")
def macs2129(shared_data):
    return molino2017.standardise(molino2017.read_mast(shared_data / "responses" / "mast" / "hlsp_clash_hst_ir_macs2129_cat-molino.txt"))


@pytest.fixture(scope="module")
def stamps(macs2129):
    return select.explode_bands(macs2129, BANDS)


@pytest.fixture(scope="module")
def clash_labels(shared_data):
    return read_labels(shared_data / "candels_clash_hst" / "CLASH_labels.csv", TARGETS)


def test_own_filter_cut_gives_the_published_numbers(stamps):
    assert len(stamps) == 2945 and len(np.unique(stamps["galaxy_id"])) == 388


def test_h_mass_cut_is_the_other_reading(macs2129):
    other = select.explode_bands(macs2129, BANDS, magnitude="h_mass")
    assert len(other) == 7235 and len(np.unique(other["galaxy_id"])) == 491


def test_no_cut_keeps_everything(macs2129):
    assert len(select.explode_bands(macs2129, ["f160w", "f110w"], None)) == 2 * 1845
    assert len(select.explode_bands(macs2129, ["f160w"], 1.0, "none")) == 1845


def test_all_80_labels_of_the_cluster_find_their_stamp(stamps, clash_labels):
    ours = clash_labels[np.char.startswith(np.asarray(clash_labels["ID"]), "macs2129_")]
    found = labels.attach(stamps, ours, TARGETS)
    assert len(ours) == 80 and found.objects["labelled"].sum() == 80
    assert np.asarray(found.objects["mag"])[found.objects["labelled"]].max() == pytest.approx(24.464)
    kinds = found.problems["problem"].tolist()
    assert kinds.count("object without label") == 2945 - 80 and kinds.count("label without object") == 0
    row = found.objects[found.objects["object_id"] == ours["ID"][0]]
    assert [row[t][0] for t in TARGETS] == [ours[t][0] for t in TARGETS]


def test_labels_of_other_clusters_are_listed_not_lost(stamps, clash_labels):
    problems = labels.attach(stamps, clash_labels, TARGETS).problems
    orphans = problems[problems["problem"] == "label without object"]
    assert len(orphans) == 1520 and "a611_f475w_860" in orphans["object_id"].tolist()


def test_stamp_rows_carry_their_own_filter(stamps, macs2129):
    one = stamps[stamps["object_id"] == "macs2129_f606w_656"]
    galaxy = macs2129[macs2129["galaxy_id"] == "macs2129_656"]
    assert one["mag"][0] == galaxy["mag_f606w"][0] and one["mag_err"][0] == galaxy["mag_err_f606w"][0] and one["band"][0] == "f606w"
    assert not [name for name in stamps.colnames if name.startswith("mag_f")] and "zspec" in stamps.colnames
    cluster, band, name = split_stamp_id(np.asarray(stamps["object_id"]))
    np.testing.assert_array_equal(name, stamps["galaxy_id"])
    np.testing.assert_array_equal(band, stamps["band"])
    assert set(cluster) == {"macs2129"}


def test_order_is_galaxy_then_band(stamps, macs2129):
    position = {g: i for i, g in enumerate(macs2129["galaxy_id"].tolist())}
    key = [(position[g], BANDS.index(b)) for g, b in zip(stamps["galaxy_id"].tolist(), stamps["band"].tolist(), strict=True)]
    assert key == sorted(key)


def test_stamp_side_is_a_multiple_of_the_radius(stamps):
    sized = select.set_stamp_size(stamps, 4.0, minimum_arcsec=1.0)
    known = ~np.ma.getmaskarray(sized["petrosian_radius_arcsec"])
    np.testing.assert_allclose(np.asarray(sized["stamp_arcsec"])[known], np.maximum(4 * np.asarray(stamps["petrosian_radius_arcsec"])[known], 1.0))
    assert (np.ma.getmaskarray(sized["stamp_arcsec"]) == ~known).all() and str(sized["stamp_arcsec"].unit) == "arcsec"
    with pytest.raises(SampleError, match="above 0"):
        select.set_stamp_size(stamps, 0)


def test_median_side_is_that_of_the_real_stamp(stamps):
    sized = select.set_stamp_size(stamps, 4.0)
    assert np.ma.median(np.ma.asarray(sized["stamp_arcsec"])) / 0.065 == pytest.approx(54, abs=15)  # the published stamp has 48 px


def test_zero_and_negative_radii_have_no_stamp():
    table = Table({"petrosian_radius_arcsec": [0.0, -1.0, np.nan, 2.0]})
    assert np.ma.getmaskarray(select.set_stamp_size(table, 4)["stamp_arcsec"]).tolist() == [True, True, True, False]


def catalogue(n=3, simulated=False):
    return Table(
        {
            "galaxy_id": [f"c_{i}" for i in range(n)],
            "catalogue_id": [f"k_{i}" for i in range(n)],
            "field": ["c"] * n,
            "ra": np.arange(n, dtype=float),
            "dec": np.zeros(n),
            "mag_f160w": MaskedColumn(np.linspace(20, 26, n), mask=np.zeros(n, bool)),
        },
        meta={"origin": {"simulated": simulated}},
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:0], "no rows"),
        (lambda t: t[[0, 0, 1]], "c_0"),
        (lambda t: t[2:], "empty"),
    ],
)
def test_what_cannot_be_a_sample_is_refused(change, message):
    with pytest.raises(SampleError, match=message):
        select.explode_bands(change(catalogue()), ["f160w"])


def test_unknown_band_and_rule_are_named():
    with pytest.raises(SampleError, match="no column 'mag_f606w'; it has magnitudes in f160w"):
        select.explode_bands(catalogue(), ["f606w"])
    with pytest.raises(SampleError, match="choose from own_filter"):
        select.explode_bands(catalogue(), ["f160w"], 24.5, "bright")
    with pytest.raises(SampleError, match="no bands"):
        select.explode_bands(catalogue(), [])


def test_single_band_keeps_repeat_classifications():
    table = catalogue()
    table["galaxy_id"] = ["g", "g", "h"]
    chosen = select.select_band(table, "f160w")
    assert chosen["object_id"].tolist() == ["k_0", "k_1"] and chosen["galaxy_id"].tolist() == ["g", "g"]
    table["catalogue_id"] = ["k", "k", "l"]
    with pytest.raises(SampleError, match="not unique: k"):
        select.select_band(table, "f160w")


def test_simulated_ids_without_mark_are_refused():
    with pytest.raises(SampleError, match="SIM-"):
        select.select_band(catalogue(simulated=True), "f160w")


def test_duplicate_labels_are_named():
    table = Table({"ID": ["a", "b", "a"], **{t: [0.2] * 3 for t in TARGETS}})
    with pytest.raises(SampleError, match="not unique: a"):
        labels.attach(Table({"object_id": ["a"]}), table, TARGETS)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["0.5", "0.5", "0", "0", "0"], ""),
        (["0.51", "0.5", "0", "0", "0"], ""),
        (["0.6", "0.5", "0", "0", "0"], "sum to 1.1"),
        (["0", "0", "0", "0", "0"], "sum to 0"),
        (["1.5", "-0.5", "0", "0", "0"], "outside"),
        (["1", "", "0", "0", "0"], "a fraction is missing"),
        (["", "", "", "", ""], "no fractions"),
        (["1", "x", "0", "0", "0"], "not a finite number"),
        (["inf", "0", "0", "0", "0"], "not a finite number"),
    ],
)
def test_fractions_that_do_not_add_up_stay_as_unlabelled_rows(values, reason):
    table = Table({"ID": ["a"], **{t: [v] for t, v in zip(TARGETS, values, strict=True)}})
    found = labels.attach(Table({"object_id": ["a", "b"]}), table, TARGETS)
    assert len(found.objects) == 2 and bool(found.objects["labelled"][0]) == (reason == "") and reason in found.objects["label_reason"][0]
    assert found.objects["label_reason"][1] == "no label"
    assert np.ma.is_masked(found.objects["p_smooth"][0]) == (reason != "")


def test_class_and_number_targets():
    table = Table({"ID": ["a", "b", "c"], "kind": ["ring", "", "oval"], "z": ["1.5", "nan", "-2"]})
    objects = Table({"object_id": ["c", "a", "b"]})
    kinds = labels.attach(objects, table, ["ring", "disk"], task="classes", class_column="kind").objects
    assert kinds["label_reason"].tolist() == ["class oval is not among the targets", "", "no class"] and kinds["kind"][1] == "ring"
    numbers = labels.attach(objects, table, ["z"], task="regression").objects
    assert numbers["labelled"].tolist() == [True, True, False] and numbers["z"][0] == -2
    with pytest.raises(SampleError, match="no column 'q'"):
        labels.attach(objects, table, ["q"], task="regression")


def test_no_labels_at_all_leave_all_rows():
    empty = Table({"ID": np.array([], dtype="U3"), **{t: np.array([]) for t in TARGETS}})
    found = labels.attach(Table({"object_id": ["a", "b"]}), empty, TARGETS)
    assert len(found.objects) == 2 and not found.objects["labelled"].any() and len(found.problems) == 2


def test_labels_of_the_catalogue_itself_keep_its_reason():
    table = Table({"object_id": ["a", "b"], "label_reason": ["", "nobody ticked any class"], **{t: [0.2, 0.2] for t in TARGETS}})
    found = labels.from_catalogue(table, TARGETS)
    assert found.objects["labelled"].tolist() == [True, False] and found.problems["detail"].tolist() == ["nobody ticked any class"]


def test_real_candels_labels_are_all_usable(shared_data):
    table = read_csv(shared_data / "candels_clash_hst" / "CANDELS_labels.csv")
    _, reason = labels.check(table, TARGETS, "fractions")
    assert (reason == "").all() and len(labels.duplicates(np.asarray(table["ID"]))) == 0
