"""The catalogue modules through the whole wire: stand-in archive, HTTP on loopback, transport, parser, common columns."""

import numpy as np
import pytest

from tuningfork import tables
from tuningfork.catalogues import guo2013, kartaltepe2015, molino2017
from tuningfork.samples import join
from tuningfork.sky.build import render_sky
from tuningfork.sky.parameters import SkyParameters
from tuningfork.wire import open_archives

CLUSTERS = ("SIM-A", "SIM-B")


@pytest.fixture(scope="module")
def transport(tmp_path_factory):
    root = tmp_path_factory.mktemp("wire")
    parameters = SkyParameters(seed=3, clusters=CLUSTERS, bands=("f606w", "f160w"), cluster_side_px=500, goodss_side_px=1000, clash_labels=20, absent=())
    sky = render_sky(parameters, root / "sky", progress=False)
    with open_archives({"mode": "simulated", "contact": None}, sky, root / "cache") as opened:
        yield opened


def test_molino_is_the_same_from_vizier_and_from_mast(transport, tmp_path):
    vizier = molino2017.fetch(transport, source="vizier", fields=CLUSTERS)
    mast = molino2017.fetch(transport, source="mast", fields=CLUSTERS)
    assert vizier.colnames == mast.colnames and set(vizier["field"]) == set(CLUSTERS)
    for name in vizier.colnames:
        left, right = np.ma.asarray(vizier[name]), np.ma.asarray(mast[name])
        if name == "area":  # 99 pixels are an area in the text, and may be one of CDS's blanks
            right = np.ma.masked_where(np.ma.getmaskarray(left) & (np.ma.getdata(right) == 99), right)
        np.testing.assert_array_equal(np.ma.getmaskarray(left), np.ma.getmaskarray(right), err_msg=name)
        np.testing.assert_array_equal(left.compressed(), right.compressed(), err_msg=name)
    for table in (vizier, mast):
        assert table.meta["origin"]["simulated"] is True and table.meta["origin"]["doi"] is None
        assert all(text.startswith("SIM-") for text in table["galaxy_id"].tolist())
        tables.write(table, tmp_path / "m.parquet")


def test_candels_tables_join_by_position(transport):
    votes, photometry = kartaltepe2015.fetch(transport), guo2013.fetch(transport)
    assert all(text.startswith("SIM-GDS_") for text in [*votes["catalogue_id"].tolist(), *votes["galaxy_id"].tolist()])
    labelled = np.asarray(votes["label_reason"]) == ""
    total = sum(np.asarray(votes[f"p_{name}"])[labelled] for name in ("smooth", "features", "irregular", "point_source", "unclassifiable"))
    np.testing.assert_allclose(total, 1.0)
    found, offset = join.align(
        votes["ra"], votes["dec"], photometry["ra"], photometry["dec"], mag1=votes["mag_f160w"], mag2=photometry["mag_f160w"], max_dmag=0.5
    )
    assert offset.rms_arcsec < 0.1 and len(found.left) > 0.85 * len(np.unique(votes["galaxy_id"]))
