"""Kartaltepe et al. (2015): identifiers, fractions and depths, in the column names of the CDS description."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork.catalogues import kartaltepe2015
from tuningfork.errors import CatalogueError

FRACTIONS = ("f(Sph)", "f(Dk)", "f(Ir)", "f(PS)", "f(UnCl)")


def raw(rows):
    """Rows of (depth, area, id, fractions...) as VizieR gives them."""
    table = Table()
    table["recno"] = np.arange(len(rows)) + 1
    table["Depth"] = [r[0] for r in rows]
    table["Area"] = [r[1] for r in rows]
    table["ID"] = [r[2] for r in rows]
    table["RAdeg"] = np.linspace(53.0, 53.2, len(rows))
    table["DEdeg"] = np.linspace(-27.9, -27.7, len(rows))
    table["Seq"] = np.where(np.arange(len(rows)) == 0, -99, np.arange(len(rows)) + 100)
    table["Hmag"] = np.linspace(20.0, 24.4, len(rows))
    table["NCl"] = np.full(len(rows), 3)
    for i, name in enumerate(FRACTIONS):
        table[name] = np.array([r[3][i] for r in rows], float)
    table["f(DS)"] = np.zeros(len(rows))
    return table


GOOD = (0.6666667, 0.3333333, 0.3333333, 0.0, 0.0)


def test_published_identifiers_carry_the_subfield():
    made = kartaltepe2015.standardise(raw([(2, "deep", "deep2_10000", GOOD), (2, "wide", "wide2_00208", GOOD), (2, "ers", "GDS_ers2_12623", GOOD)]))
    assert made["catalogue_id"].tolist() == ["GDS_deep2_10000", "GDS_wide2_208", "GDS_ers2_12623"]
    assert made["galaxy_id"].tolist() == ["GDS_10000", "GDS_208", "GDS_12623"]


def test_identifiers_are_those_of_the_published_label_file(shared_data):
    from tuningfork.catalogues.image_labels import read_csv

    published = np.asarray(read_csv(shared_data / "candels_clash_hst" / "CANDELS_labels.csv")["ID"])
    catalogue_id, galaxy_id = kartaltepe2015.catalogue_ids(np.char.replace(published, "GDS_", ""))
    np.testing.assert_array_equal(catalogue_id, published)
    assert len(np.unique(galaxy_id)) == 7366


def test_one_galaxy_in_two_subfields_is_two_rows():
    made = kartaltepe2015.standardise(raw([(2, "ers", "ers2_42", GOOD), (2, "wide", "wide2_42", (1, 0, 0, 0, 0))]))
    assert len(set(made["catalogue_id"])) == 2 and set(made["galaxy_id"]) == {"GDS_42"}


def test_raw_fractions_stay_and_normalised_sum_to_one():
    made = kartaltepe2015.standardise(raw([(2, "deep", "deep2_1", GOOD)]))
    assert made["f_smooth"][0] == pytest.approx(2 / 3) and made["f_features"][0] == pytest.approx(1 / 3)
    assert [made[f"p_{c}"][0] for c in ("smooth", "features", "irregular")] == pytest.approx([0.5, 0.25, 0.25])
    assert made["n_votes"][0] == 3 and np.ma.is_masked(made["guo_seq"][0]) and made["f_ds"][0] == 0
    assert made["petrosian_flag"][0] == "none" and np.ma.is_masked(made["petrosian_radius_arcsec"][0])


@pytest.mark.parametrize(
    ("votes", "reason"),
    [
        ((0, 0, 0, 0, 0), "nobody"),
        ((0.2, 0, 0, 0, 0), "sum to 0.2"),
        ((1, 1, 1, 0.5, 0), "sum to 3.5"),
        ((1.4, 0, 0, 0, 0), "outside 0 to 1"),
        ((np.nan, 1, 0, 0, 0), "missing"),
        ((-99, 1, 0, 0, 0), "missing"),
    ],
)
def test_votes_that_give_no_label_keep_their_row(votes, reason):
    made = kartaltepe2015.standardise(raw([(2, "deep", "deep2_1", votes), (2, "deep", "deep2_2", GOOD)]))
    assert len(made) == 2 and reason in made["label_reason"][0] and made["label_reason"][1] == ""
    assert np.ma.is_masked(made["p_smooth"][0]) and not np.ma.is_masked(made["p_smooth"][1])


def test_depths_are_chosen():
    rows = [(2, "deep", "deep2_1", GOOD), (4, "deep", "deep4_1", GOOD), (10, "deep", "deep10_1", GOOD)]
    assert kartaltepe2015.standardise(raw(rows))["catalogue_id"].tolist() == ["GDS_deep2_1"]
    assert kartaltepe2015.standardise(raw(rows), depth=10)["catalogue_id"].tolist() == ["GDS_deep10_1"]
    assert len(kartaltepe2015.standardise(raw(rows), depth=None)) == 3
    with pytest.raises(CatalogueError, match="there are 2, 4, 10"):
        kartaltepe2015.standardise(raw(rows), depth=6)


def test_xml_identifiers_and_text_numbers_are_read_too():
    table = raw([(2, "deep", "deep2_1", GOOD)])
    for name in FRACTIONS:
        table.rename_column(name, name.replace("(", "_").replace(")", "_"))
    table["f_Sph_"] = ["0.6666667"]
    assert kartaltepe2015.standardise(table)["p_smooth"][0] == pytest.approx(0.5)


def test_missing_fraction_names_the_nearest():
    table = raw([(2, "deep", "deep2_1", GOOD)])
    table.rename_column("f(UnCl)", "f(Unc)")
    with pytest.raises(CatalogueError, match=r"table3: no column 'f\(UnCl\)'.*nearest it has is 'f\(Unc\)'"):
        kartaltepe2015.standardise(table)


def test_bad_identifier_and_bad_number_are_named():
    for wrong in ("GDS-7", "10000"):
        with pytest.raises(CatalogueError, match=f"ID '{wrong}' is not <sub-field>_<number>"):
            kartaltepe2015.standardise(raw([(2, "deep", "deep2_1", GOOD), (2, "deep", wrong, GOOD)]))
    table = raw([(2, "deep", "deep2_1", GOOD)])
    table["Hmag"] = ["bright"]
    with pytest.raises(CatalogueError, match="'Hmag' should hold numbers"):
        kartaltepe2015.standardise(table)


def test_simulated_rows_are_marked():
    table = raw([(2, "deep", "deep2_1", GOOD)])
    table.meta["origin"] = {"simulated": True}
    made = kartaltepe2015.standardise(table)
    assert made["catalogue_id"][0] == "SIM-GDS_deep2_1" and made["galaxy_id"][0] == "SIM-GDS_1" and made.meta["origin"]["simulated"]


@given(st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=20))
@settings(deadline=None)
def test_normalised_rows_sum_to_one_or_have_a_reason(votes):
    p, reason = kartaltepe2015.normalise(np.ma.array(votes))
    labelled = reason == ""
    np.testing.assert_allclose(p.sum(axis=1)[labelled].filled(0), 1.0)
    assert (np.ma.getmaskarray(p).all(axis=1) == ~labelled).all()
    total = np.sum(votes, axis=1)
    np.testing.assert_array_equal(labelled, (total >= 0.5) & (total <= 3.0))


def test_masked_fraction_is_missing():
    f = np.ma.MaskedArray([[1.0, 0, 0, 0, 0]], mask=[[False, True, False, False, False]])
    assert kartaltepe2015.normalise(f)[1][0] == "a vote fraction is missing"
    assert isinstance(kartaltepe2015.standardise(raw([(2, "deep", "deep2_1", GOOD)]))["f_smooth"], MaskedColumn)
