"""The published table: no row lost or invented, every remark in the flag, nothing simulated passing as real."""

import numpy as np
import pytest

from tuningfork.errors import SampleError
from tuningfork.publishing.catalogue import assemble, check_complete
from tuningfork.publishing.flags import Flag, documentation, names
from tuningfork.publishing.wide import widen


def row(table, object_id):
    return table[list(table["object_id"]).index(object_id)]


def test_every_row_of_the_ledger_is_in_the_catalogue_once(parts):
    table = assemble(**parts)
    assert sorted(table["object_id"]) == sorted(parts["ledger"]["object_id"])
    assert list(table["object_id"])[:7] == list(parts["objects"]["object_id"])


def test_predictions_are_joined_by_id_not_by_order(parts):
    table = assemble(**parts)
    assert row(table, "macs2129_f160w_656")["p_smooth"] == pytest.approx(0.7)
    assert row(table, "macs2129_f850lp_656")["p_smooth"] == pytest.approx(0.4)
    assert row(table, "macs2129_f160w_656")["in_training"]


def test_no_stamp_no_probability_whatever_the_network_said(parts):
    absent = row(assemble(**parts), "macs2129_f850lp_657")
    assert absent["status"] == "absent"
    assert np.ma.is_masked(absent["p_smooth"]) and np.ma.is_masked(absent["p_smooth_std"])
    assert absent["flag"] & Flag.NO_STAMP


def test_flags(parts):
    table = assemble(**parts)
    found = {r["object_id"].removeprefix("macs2129_"): set(names(r["flag"])) for r in table}
    assert found["f160w_656"] == {"in_training"}
    assert found["f850lp_656"] == {"extrapolated"}  # no row of F850LP was trained on
    assert found["f160w_657"] == {"partial", "petro_floor", "neighbour", "extrapolated"}
    assert found["f850lp_657"] == {"no_stamp", "petro_floor", "low_snr"}
    assert found["f160w_658"] == {"no_petro", "low_snr", "extrapolated"}
    assert found["f850lp_658"] == {"no_petro", "not_detected", "extrapolated"}
    assert found["f160w_700"] == {"not_predicted"}
    assert found["f160w_999"] == {"not_selected"}


def test_every_bit_is_documented():
    assert len(documentation()) == len(Flag)
    assert documentation()[0].startswith("1 no_stamp: ")


def test_magnitudes_are_values_or_limits_never_both(parts):
    table = assemble(**parts)
    undetected = row(table, "macs2129_f850lp_658")
    assert np.ma.is_masked(undetected["mag"]) and undetected["mag_limit"] == 27.5
    assert np.ma.is_masked(row(table, "macs2129_f850lp_656")["mag_limit"])
    assert row(table, "macs2129_f160w_657")["mag"] == 22.1235


def test_columns_carry_units_ucds_and_descriptions(parts):
    table = assemble(**parts, names={"catalogue_id": "clashid", "field": "cluster"})
    for name in table.colnames:
        assert table[name].info.description, name
        assert (table[name].info.meta or {}).get("ucd"), name
    assert table["ra"].unit == "deg" and table["stamp_arcsec"].unit == "arcsec"
    assert {"clashid", "cluster", "filter", "phot_flag", "label_p_smooth", "origin"} <= set(table.colnames)
    assert not {"catalogue_id", "field", "band", "shard", "labelled", "mag_f160w", "group_id"} & set(table.colnames)
    assert "F850LP is called F850W" in table["filter"].info.description


def test_labels_stand_beside_predictions(parts):
    table = assemble(**parts)
    assert row(table, "macs2129_f160w_656")["label_p_smooth"] == 0.75
    assert np.ma.is_masked(row(table, "macs2129_f160w_657")["label_p_smooth"])


def test_a_selected_object_that_the_ledger_lost_is_an_error(parts):
    parts["ledger"].remove_row(3)
    with pytest.raises(SampleError, match="not in the ledger"):
        assemble(**parts)


def test_duplicates_and_strangers_are_errors(parts):
    predictions = parts["predictions"].copy()
    predictions["object_id"][0] = predictions["object_id"][1]
    with pytest.raises(SampleError, match="stands 2 times"):
        assemble(**{**parts, "predictions": predictions})
    predictions = parts["predictions"].copy()
    predictions["object_id"][0] = "macs2129_f160w_1"
    with pytest.raises(SampleError, match="macs2129_f160w_1 is no object of this sample"):
        assemble(**{**parts, "predictions": predictions})


def test_completeness_names_what_is_lost(parts):
    table = assemble(**parts)
    with pytest.raises(SampleError, match=r"lost \['other'\]"):
        check_complete(table, [*table["object_id"], "other"])


def test_simulated_rows_say_so(simulated_parts):
    table = assemble(**simulated_parts)
    assert set(table["origin"]) == {"simulated"} and table.meta["simulated"] is True


def test_simulated_ids_cannot_be_published_as_data(simulated_parts):
    simulated_parts["objects"].meta["origin"]["simulated"] = False
    with pytest.raises(SampleError, match="refusing to publish it as data"):
        assemble(**simulated_parts)


def test_regression_without_bands_or_magnitudes(parts):
    objects = parts["objects"]["object_id", "galaxy_id", "split", "ra", "dec"]
    objects["oh_p50"] = np.linspace(8, 9, len(objects))
    predictions = parts["predictions"]["object_id", "in_training"]
    predictions["oh_p50"] = np.linspace(8, 9, len(objects))
    described = {"oh_p50": (None, "phys.abund.Z", "12 + log(O/H)")}
    table = assemble(objects, parts["ledger"], predictions, targets=["oh_p50"], task="regression", described=described)
    assert "filter" not in table.colnames
    assert table["oh_p50"].info.description == "12 + log(O/H)"
    assert set(names(row(table, "macs2129_f160w_700")["flag"])) <= {"in_training"}


def test_ids_may_be_numbers_and_empty_tables_stay_tables(parts):
    empty = assemble(parts["objects"][:0], parts["ledger"][:0], parts["predictions"][:0], targets=parts["targets"], task="fractions")
    assert len(empty) == 0 and "p_smooth" in empty.colnames


def test_wide_table_has_a_row_a_galaxy_and_each_value_in_its_place(parts):
    long = assemble(**parts)
    wide = widen(long)
    assert list(wide["galaxy_id"]) == ["macs2129_656", "macs2129_657", "macs2129_658", "macs2129_700", "macs2129_f160w_999"]
    assert wide["p_smooth_f160w"][0] == 0.7 and wide["p_smooth_f850lp"][0] == 0.4
    assert wide["mag_limit_f850lp"][2] == 27.5
    assert np.ma.is_masked(wide["p_smooth_f850lp"][1]) and np.ma.is_masked(wide["mag_f850lp"][3])
    assert list(wide["n_filters"]) == [2, 2, 2, 1, 1]
    assert list(wide["n_predicted"]) == [2, 1, 2, 0, 0]
    assert list(wide["in_training"]) == [True, False, False, False, False]
    assert wide["p_smooth_f160w"].info.description.endswith("[F160W]")
    assert "p_smooth" not in wide.colnames


def test_a_galaxy_twice_in_a_filter_has_two_rows(parts):
    parts["objects"]["galaxy_id"][2] = "macs2129_656"
    wide = widen(assemble(**parts))
    twice = wide[wide["galaxy_id"] == "macs2129_656"]
    assert list(twice["occurrence"]) == [1, 2]
    assert list(twice["p_smooth_f160w"]) == [0.7, 0.2]
    assert wide["n_filters"].sum() == 8
    assert (
        "occurrence"
        not in widen(
            assemble(**{**parts, "objects": parts["objects"][:2], "ledger": parts["ledger"][-3:-1], "predictions": parts["predictions"][-2:], "scalars": None})
        ).colnames
    )


def test_an_invalid_ucd_is_not_published(parts):
    parts["objects"]["phot_flag"].info.meta = {"ucd": "phys.distance"}
    table = assemble(**parts)
    assert table["phot_flag"].info.meta["ucd"] == "meta.note"


def test_all_our_own_ucds_are_valid():
    from astropy.io.votable.ucd import check_ucd

    from tuningfork.publishing.columns import COMMON, target_specs

    for task in ("fractions", "classes", "regression"):
        for name, spec in (COMMON | target_specs(["p_smooth"], task)).items():
            assert check_ucd(spec.ucd, check_controlled_vocabulary=True, has_colon=False), (name, spec.ucd)


def test_a_regression_inherits_unit_and_meaning_of_its_label(parts):
    objects = parts["objects"]["object_id", "galaxy_id", "split", "ra", "dec"]
    objects["size"] = np.linspace(1, 2, len(objects))
    objects["size"].unit = "arcsec"
    objects["size"].info.description = "Half-light radius"
    predictions = parts["predictions"]["object_id", "in_training"]
    predictions["size"] = np.linspace(1, 2, len(objects))
    table = assemble(objects, parts["ledger"], predictions, targets=["size"], task="regression")
    assert (str(table["size"].unit), table["size"].info.description) == ("arcsec", "Predicted: Half-light radius")
    assert str(table["size_std"].unit) == "arcsec"
