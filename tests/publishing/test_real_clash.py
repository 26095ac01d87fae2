"""The real Molino catalogue of MACS2129, cut as the paper cuts it, published with made-up probabilities: the real columns must survive every format."""

import warnings

import numpy as np
import pytest
from astropy.io import ascii as astropy_ascii
from astropy.io import votable
from astropy.table import Table

from tuningfork.catalogues import molino2017
from tuningfork.catalogues.columns import BANDS, TARGETS
from tuningfork.publishing.product import publish
from tuningfork.samples.select import explode_bands, set_stamp_size


@pytest.fixture(scope="module")
def product(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clash")
    raw = molino2017.read_mast(shared_data / "responses" / "mast" / "hlsp_clash_hst_ir_macs2129_cat-molino.txt")
    objects = set_stamp_size(explode_bands(molino2017.standardise(raw), BANDS), 4.0)
    n = len(objects)
    objects["split"] = np.full(n, "unlabelled")
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.ones(5), n)
    status = np.where(generator.uniform(size=n) < 0.1, "absent", "ok")
    predictions = Table({"object_id": objects["object_id"], "in_training": np.zeros(n, bool)})
    for k, target in enumerate(TARGETS):
        predictions[target], predictions[f"{target}_std"] = p[:, k], np.full(n, 0.02)
    ledger = Table({"object_id": objects["object_id"], "status": status, "reason": np.full(n, "")})
    outputs = {name: folder / f"Deep-CLASH.{suffix}" for name, suffix in (("csv", "csv"), ("votable", "vot"), ("dat", "dat"), ("readme", "ReadMe"))}
    outputs["wide"] = folder / "Deep-CLASH_wide.csv"
    spec = {"name": "Deep-CLASH", "title": "Deep-CLASH", "task": "fractions", "targets": list(TARGETS), "catalogues": ["molino2017"], "collection": "clash"}
    return outputs, publish(outputs, objects=objects, ledger=ledger, predictions=predictions, spec=spec, code="")


def test_the_paper_s_cut_gives_2945_rows_of_388_galaxies(product):
    outputs, table = product
    assert len(table) == 2945
    assert len(Table.read(outputs["wide"], format="ascii.csv")) == 388


def test_real_columns_survive_the_votable_and_the_fixed_width_file(product):
    outputs, table = product
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = votable.parse(outputs["votable"], verify="exception").get_first_table().to_table(use_names_over_ids=True)
    fixed = astropy_ascii.read(str(outputs["dat"]), readme=str(outputs["readme"]), format="cds")
    assert found.colnames == table.colnames == fixed.colnames
    for name in ("ra", "dec", "mag", "p_smooth", "stamp_arcsec"):
        known = ~np.ma.getmaskarray(np.ma.asarray(table[name]))
        for other in (found, fixed):
            np.testing.assert_array_equal(~np.ma.getmaskarray(np.ma.asarray(other[name])), known)
            np.testing.assert_array_equal(np.asarray(other[name])[known], np.asarray(table[name])[known])


def test_every_column_is_described_and_no_sentinel_is_left(product):
    _, table = product
    for name in table.colnames:
        assert table[name].info.description and not table[name].info.description.endswith("as in the input table"), name
    for name in ("mag", "mag_err"):
        values = np.ma.compressed(np.ma.asarray(table[name]))
        assert (values > 0).all() and (values != 99).all()
