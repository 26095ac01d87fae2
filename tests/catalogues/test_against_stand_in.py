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
    with open_archives({"mode": "simulated"}, sky, cache=root / "cache") as opened:
        yield opened


def test_molino_is_the_same_from_vizier_and_from_mast(transport, tmp_path):
    vizier = molino2017.fetch(transport, source="vizier", fields=CLUSTERS)
    mast = molino2017.fetch(transport, source="mast", fields=CLUSTERS)
    assert vizier.colnames == mast.colnames and set(vizier["field"]) == set(CLUSTERS)
    for name in vizier.colnames:
        left, right = np.ma.asarray(vizier[name]), np.ma.asarray(mast[name])
        np.testing.assert_array_equal(np.ma.getmaskarray(left), np.ma.getmaskarray(right), err_msg=name)
        np.testing.assert_array_equal(left.compressed(), right.compressed(), err_msg=name)
    for table in (vizier, mast):
        assert table.meta["origin"]["simulated"] is True and table.meta["origin"]["doi"] is None
        assert all(text.startswith("SIM-") for text in table["galaxy_id"].tolist())
        tables.write(table, tmp_path / "m.parquet")


def test_the_classifications_at_two_epochs_are_taken_out_of_all_depths(transport):
    two, every = kartaltepe2015.fetch(transport), kartaltepe2015.fetch(transport, depth=None)
    depth = np.asarray(every["depth"])
    assert sorted(set(depth.tolist())) == [2, 4, 10] and set(np.asarray(two["depth"]).tolist()) == {2}
    assert two["catalogue_id"].tolist() == every["catalogue_id"][depth == 2].tolist()
    deep = np.asarray(two["area"]) == "deep"
    for epochs in (4, 10):
        ten = kartaltepe2015.fetch(transport, depth=epochs)
        assert ten["galaxy_id"].tolist() == two["galaxy_id"][deep].tolist() and all(f"GDS_deep{epochs}_" in name for name in ten["catalogue_id"].tolist())
    assert two["n_votes"].min() >= 3 and not np.ma.getmaskarray(two["n_votes"]).any()


def test_the_number_of_guo_is_that_of_the_neighbour(transport):
    votes, photometry = kartaltepe2015.fetch(transport), guo2013.fetch(transport)
    found, _ = join.align(votes["ra"], votes["dec"], photometry["ra"], photometry["dec"], mag1=votes["mag_f160w"], mag2=photometry["mag_f160w"], max_dmag=0.5)
    given = np.ma.asarray(votes["guo_seq"])[found.left]
    joined = np.array([int(name.removeprefix("SIM-")) for name in photometry["catalogue_id"].tolist()])[found.right]
    assert 0 < np.ma.getmaskarray(votes["guo_seq"]).mean() < 0.1
    assert (given == joined).filled(False).mean() > 0.95


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
