"""Catalogues of cutout samples: bands instead of filters, no remarks that only mosaics deserve, no columns of blanks."""

import numpy as np
import pytest
from astropy.io import ascii as astropy_ascii
from astropy.table import MaskedColumn, Table

from tuningfork import tables
from tuningfork.publishing import columns
from tuningfork.publishing.catalogue import assemble
from tuningfork.publishing.flags import Flag
from tuningfork.publishing.model_card import model_card
from tuningfork.publishing.readme import readme_text, write_fixed_width
from tuningfork.publishing.wide import widen

N = 6
LONG = "smooth_or_featured_proportion_volunteers_asked"


@pytest.fixture
def cutouts():
    objects = Table(meta={"origin": {"catalogue": "deepshadows"}})
    objects["object_id"] = objects["galaxy_id"] = [f"LSB{k}" for k in range(N)]
    objects["field"], objects["band"] = ["des-dr1"] * N, ["grz"] * N
    objects["ra"], objects["dec"] = 40.0 + np.arange(N), -10.0 + np.arange(N)
    objects["mag"] = MaskedColumn([20.0, 21.0, 22.0, 21.5, 20.5, 0], mask=[0, 0, 0, 0, 0, 1])
    objects["petrosian_radius_arcsec"] = MaskedColumn(np.zeros(N), mask=np.ones(N, bool))
    objects["petrosian_flag"] = ["none"] * N
    objects["arcsec_per_pixel"] = np.full(N, 0.2620000000000001)
    objects["stamp_arcsec"] = np.full(N, 33.536)
    objects["mag_auto_g"] = objects["mag"].copy()
    objects["oh_sigma"] = np.full(N, 0.028876000000000346)
    objects[LONG] = MaskedColumn(np.linspace(0, 1, N), mask=[0, 0, 0, 0, 0, 1])
    objects["label"] = ["lsbg", "artifact"] * 3
    objects["labelled"], objects["split"] = [True] * N, ["train", "test"] * 3
    tables.describe(
        objects,
        {
            "mag_auto_g": ("mag", "phot.mag", "Magnitude (AB), g band"),
            "mag": ("mag", "phot.mag", "Magnitude in the stamp's filter (AB)"),
            "label": (None, "src.class", "Class"),
        },
    )
    status = ["ok"] * (N - 1) + ["partial"]
    ledger = Table({"object_id": list(objects["object_id"]), "status": status, "reason": [""] * N})
    p = np.linspace(0.1, 0.9, N)
    columns_ = {"object_id": list(objects["object_id"]), "status": status, "in_training": [True, False] * 3, "lsbg": p, "artifact": 1 - p}
    predictions = Table({**columns_, "lsbg_std": p / 9, "artifact_std": p / 9, "z_00": p})
    scalars = {"object_id": np.array(objects["object_id"]), "zoom": np.full(N, 0.5)}
    return {"objects": objects, "ledger": ledger, "predictions": predictions, "scalars": scalars, "targets": ["artifact", "lsbg"], "task": "classes"}


def test_a_missing_radius_or_magnitude_is_no_remark(cutouts):
    flag = np.asarray(assemble(**cutouts)["flag"])
    assert not (flag & (Flag.NO_PETRO | Flag.NOT_DETECTED)).any()
    assert flag[5] & Flag.PARTIAL and flag[0] & Flag.IN_TRAINING


def test_mosaics_keep_their_remarks_and_pictures_have_none(cutouts):
    del cutouts["objects"]["arcsec_per_pixel"]
    flag = np.asarray(assemble(**cutouts)["flag"])
    assert (flag & Flag.NO_PETRO).all() and flag[5] & Flag.NOT_DETECTED
    cutouts["objects"].meta["origin"] = {"catalogue": "folder"}
    assert not (np.asarray(assemble(**cutouts)["flag"]) & (Flag.NO_PETRO | Flag.NOT_DETECTED)).any()


def test_bands_are_no_filter_and_keep_their_case(cutouts):
    table = assemble(**cutouts)
    assert "filter" not in table.colnames and set(table["bands"]) == {"grz"}
    assert "planes" in table["bands"].info.description and "mosaic" not in table["field"].info.description


def test_columns_of_blanks_are_left_out(cutouts):
    table = assemble(**cutouts)
    assert not {"petrosian_radius_arcsec", "petrosian_flag", "mag_err", "snr", "n_neighbours"} & set(table.colnames)
    cutouts["objects"]["petrosian_radius_arcsec"] = np.linspace(1, 2, N)
    assert "petrosian_radius_arcsec" in assemble(**cutouts).colnames


def test_a_magnitude_says_whose_it_is(cutouts):
    table = assemble(**cutouts)
    assert table["mag"].info.description == "Magnitude of the object in the input catalogue (column mag_auto_g: Magnitude (AB), g band)"
    assert "training" in table["label"].info.description


def test_the_noise_of_binary_fractions_is_not_published(cutouts):
    table = assemble(**cutouts)
    assert table["oh_sigma"][0] == 0.028876 and table["arcsec_per_pixel"][0] == 0.262


def test_the_wide_table_of_one_picture_an_object_has_plain_names(cutouts):
    wide = widen(assemble(**cutouts))
    assert {"lsbg", "lsbg_std", "mag", "flag", "stamp_arcsec"} <= set(wide.colnames)
    assert not {"n_filters", "n_predicted", "lsbg_grz"} & set(wide.colnames) and len(wide) == N
    cutouts["objects"]["galaxy_id"][1] = "LSB0"
    assert widen(assemble(**cutouts))["occurrence"].tolist()[:2] == [1, 2]


def test_astropy_reads_long_names_and_units_by_the_readme(cutouts, tmp_path):
    table = assemble(**cutouts)
    write_fixed_width(table, tmp_path / "lsb.dat")
    text = readme_text([("lsb.dat", table, "One row an object")], title="LSB", description="LSB.")
    assert max(map(len, text.splitlines())) <= 80
    (tmp_path / "ReadMe").write_text(text, encoding="ascii")
    found = astropy_ascii.read(str(tmp_path / "lsb.dat"), readme=str(tmp_path / "ReadMe"), format="cds")
    assert found.colnames == table.colnames and str(found["arcsec_per_pixel"].unit) == "arcsec / pix"
    np.testing.assert_allclose(columns.masked(found, LONG).filled(-1), columns.masked(table, LONG).filled(-1))


def test_a_card_says_what_the_network_was_adapted_to_and_what_its_labels_are():
    training = {"adapt_to": {"sample": "bass-mzls", "method": "mmd", "weight": 10.0, "n_train": 375}}
    model = {"name": "vae", "network": {"name": "galaxy-vae"}, "task": "classes", "targets": ["smooth"], "training": training}
    card = model_card(model)
    assert "adapted to the sample `bass-mzls` (mmd, weight 10.0): 375 of its rows were seen, without their labels" in card
    assert "people saw" in model_card({**model, "task": "fractions"}) and "people saw" not in model_card({**model, "task": "regression"})
