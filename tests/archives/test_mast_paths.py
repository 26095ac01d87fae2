"""MAST's tree: paths as public scripts have them, and mosaics fetched whole."""

import pytest
from misbehaving_server import content, cut, fits_bytes

from tuningfork.archives import mast
from tuningfork.errors import ArchiveError, NotInArchive


def test_clash_paths_are_those_of_the_archive():
    assert mast.mosaic_paths("clash", "macs2129", "f475w") == {
        "image": "/missions/hlsp/clash/macs2129/data/hst/scale_65mas/hlsp_clash_hst_acs_macs2129_f475w_v1_drz.fits",
        "weight": "/missions/hlsp/clash/macs2129/data/hst/scale_65mas/hlsp_clash_hst_acs_macs2129_f475w_v1_wht.fits",
    }
    assert mast.mosaic_paths("clash", "a209", "f225w")["image"].endswith("/hlsp_clash_hst_wfc3uvis_a209_f225w_v1_drz.fits")
    assert mast.mosaic_paths("clash", "SIM-A", "f160w")["image"].endswith("/SIM-A/data/hst/scale_65mas/hlsp_clash_hst_wfc3ir_SIM-A_f160w_v1_drz.fits")
    assert mast.detection_paths("clash", "a383") == {
        "image": "/missions/hlsp/clash/a383/data/hst/scale_65mas/hlsp_clash_hst_wfc3ir_a383_total_v1_drz.fits",
        "weight": "/missions/hlsp/clash/a383/data/hst/scale_65mas/hlsp_clash_hst_wfc3ir_a383_total_v1_wht.fits",
    }
    assert mast.molino_path("macs2129") == "/missions/hlsp/clash/macs2129/catalogs/molino/hlsp_clash_hst_ir_macs2129_cat-molino.txt"


def test_hlf_names_are_those_of_the_release():
    f160w = mast.mosaic_paths("hlf-goods-s", "goodss", "f160w")
    assert f160w["image"].endswith("/hlsp_hlf_hst_wfc3-60mas_goodss_f160w_v1.5_sci.fits")
    assert f160w["weight"].endswith("/hlsp_hlf_hst_wfc3-60mas_goodss_f160w_v1.5_wht.fits")
    assert mast.mosaic_paths("hlf-goods-s", "goodss", "f850lp")["image"].endswith("/hlsp_hlf_hst_acs-60mas_goodss_f850lp_v1.5_sci.fits")
    assert mast.detection_paths("hlf-goods-s", "goodss") == f160w


def test_there_are_25_clusters_and_16_bands():
    assert (len(set(mast.CLUSTERS)), len(mast.INSTRUMENTS)) == (25, 16)
    for collection, fields in (("clash", mast.CLUSTERS), ("hlf-goods-s", ["goodss"])):
        paths = {p for field in fields for band in mast.INSTRUMENTS for p in mast.mosaic_paths(collection, field, band).values()}
        assert len(paths) == len(fields) * 16 * 2


@pytest.mark.parametrize("field", ["..", ".", "", "a/b", "../../etc", "a b", "a\n", "ä"])
def test_a_field_cannot_climb_out(field):
    with pytest.raises(ArchiveError, match="cannot be part of a path"):
        mast.mosaic_paths("clash", field, "f160w")
    with pytest.raises(ArchiveError, match="cannot be part of a path"):
        mast.molino_path(field)


def test_what_does_not_exist_is_told_with_what_does():
    with pytest.raises(ArchiveError, match="no collection 'frontier'; there are clash, hlf-goods-s"):
        mast.mosaic_paths("frontier", "a209", "f160w")
    with pytest.raises(ArchiveError, match="no band 'F160W'; there are f225w, "):
        mast.mosaic_paths("clash", "a209", "F160W")
    with pytest.raises(ArchiveError, match="one field, 'goodss', not 'a209'"):
        mast.detection_paths("hlf-goods-s", "a209")


def test_a_mosaic_is_resumed_and_checked_and_an_absent_filter_is_an_answer(server, transport):
    paths = mast.mosaic_paths("clash", "a209", "f160w")
    server.on(paths["image"], cut(fits_bytes(100), 9000), content(fits_bytes(100)))
    server.on(paths["weight"], content(fits_bytes(100)[:-2880]))
    assert mast.fetch_mosaic(transport, paths["image"]).path.read_bytes() == fits_bytes(100)
    assert server.seen[1].headers["range"] == "bytes=9000-"
    with pytest.raises(ArchiveError, match=r"wht\.fits: a FITS file cut short"):
        mast.fetch_mosaic(transport, paths["weight"])
    with pytest.raises(NotInArchive):
        mast.fetch_mosaic(transport, mast.mosaic_paths("clash", "a209", "f225w")["image"])
