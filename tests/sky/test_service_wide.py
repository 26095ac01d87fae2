"""The whole wide sky behind its archives: what comes over HTTP is what the sky's own tables and images say."""

import io

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import requests
from astropy.io import fits
from PIL import Image

from tuningfork.files import read_json
from tuningfork.sky.server import serve
from tuningfork.sky.services.registry import open_services
from tuningfork.sky.wide.build import render_wide
from tuningfork.sky.wide.image import WideSky
from tuningfork.sky.wide.parameters import WideParameters

PUBLISHED = """SELECT G.objID, GalSpecInfo.specObjID, S.ra, S.dec, S.z, G.petroR90_r, GalSpecExtra.oh_p50
FROM SpecObj S JOIN Galaxy G ON G.objID = S.bestObjID
JOIN GalSpecInfo ON GalSpecInfo.specObjID = S.specObjID JOIN GalSpecExtra ON GalSpecExtra.specObjID = S.specObjID
WHERE G.petroMag_r > 10 AND G.petroMag_r < 18 AND S.rChi2 < 2 AND S.zErr > 0 AND S.zErr < 0.01 AND S.z > 0.02 AND GalSpecExtra.oh_p50 != -9999"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    smallest = WideParameters(seed=2, sdss_galaxies=80, lsb_galaxies=20, hsc_galaxies=20, decals_galaxies=20, galaxy10_images=20)
    return render_wide(smallest, tmp_path_factory.mktemp("wide"), progress=False).parent


@pytest.fixture(scope="module")
def endpoints(root):
    with serve(root) as urls:
        yield urls


def test_every_archive_of_the_sky_answers_its_example(root, endpoints):
    services = open_services(root)
    assert {"skyserver", "legacysurvey", "datalab", "cds", "sas"} <= set(endpoints) == set(services)
    for name, url in endpoints.items():
        reply = requests.get(url + services[name].example(), timeout=60)
        assert reply.status_code == 200 and reply.content and reply.headers["X-Simulated"] == "true"


def test_every_static_file_is_served_under_its_archive(root, endpoints):
    for relative in read_json(root / "sky.json")["files"]:
        if relative.startswith("files/"):
            archive, _, path = relative.removeprefix("files/").partition("/")
            reply = requests.head(f"{endpoints[archive]}/{path}", timeout=20)
            assert reply.status_code == 200 and int(reply.headers["Content-Length"]) == (root / relative).stat().st_size


def test_the_published_query_gives_the_rows_that_the_tables_hold(root, endpoints):
    reply = requests.post(endpoints["skyserver"] + "/dr14/SkyServerWS/SearchTools/SqlSearch", data={"cmd": PUBLISHED, "format": "csv"}, timeout=60)
    mark, header, *rows, last = reply.text.split("\n")
    assert (mark, last) == ("#Table1", "") and header.split(",")[:2] == ["objID", "specObjID"]
    tables = {name: pq.read_table(root / "tables" / f"{name}.parquet") for name in ("SpecObj", "PhotoObj", "galSpecExtra")}
    spectra = tables["SpecObj"].join(tables["PhotoObj"].select(["objID", "type", "petroMag_r"]), "bestObjID", "objID", join_type="inner")
    spectra = spectra.join(tables["galSpecExtra"].select(["specObjID", "oh_p50"]), "specObjID", join_type="inner")
    bounds = [("type", 2.5, 3.5), ("petroMag_r", 10, 18), ("rChi2", -1e9, 2), ("zErr", 0, 0.01), ("z", 0.02, 1e9), ("oh_p50", -9998, 1e9)]
    for name, low, high in bounds:
        spectra = spectra.filter(pc.and_(pc.greater(spectra[name], low), pc.less(spectra[name], high)))
    assert sorted(int(row.split(",")[1]) for row in rows) == sorted(spectra["specObjID"].to_pylist()) and len(rows) > 20


def test_cutouts_are_the_images_of_the_sky(root, endpoints):
    sky = WideSky.open(root)
    spectra = pq.read_table(root / "tables" / "SpecObj.parquet", columns=["ra", "dec"]).slice(0, 1).to_pylist()[0]
    ra, dec = spectra["ra"], spectra["dec"]
    query = {"ra": f"{ra:.10g}", "dec": f"{dec:.10g}", "size": 48, "pixscale": 0.5}
    reply = requests.get(endpoints["legacysurvey"] + "/viewer/fits-cutout", params={**query, "layer": "ls-dr9-south"}, timeout=60)
    expected = sky.image("ls-dr9-south", float(query["ra"]), float(query["dec"]), arcsec_per_pixel=0.5, width=48, height=48, bands=("g", "r", "z"))
    np.testing.assert_array_equal(fits.getdata(io.BytesIO(reply.content)), expected)
    picture = requests.get(
        endpoints["skyserver"] + "/dr14/SkyServerWS/ImgCutout/getjpeg", params={"ra": ra, "dec": dec, "scale": 0.4, "width": 96, "height": 96}, timeout=60
    )
    drawn = sky.jpeg("sdss", ra, dec, arcsec_per_pixel=0.4, width=96, height=96, bands=("g", "r", "i"))
    decoded = np.asarray(Image.open(io.BytesIO(picture.content))).astype(float)
    assert np.corrcoef(decoded.mean(axis=2).ravel(), drawn.mean(axis=2).ravel())[0, 1] > 0.9


def test_outside_a_survey_each_service_says_so_in_its_own_way(endpoints):
    far = {"ra": 150, "dec": 80}
    assert requests.get(endpoints["skyserver"] + "/dr14/SkyServerWS/ImgCutout/getjpeg", params=far, timeout=20).status_code == 404
    viewer = endpoints["legacysurvey"] + "/viewer/"
    assert requests.get(viewer + "fits-cutout", params={**far, "layer": "ls-dr9-south", "size": 32}, timeout=20).status_code == 500
    grey = requests.get(viewer + "jpeg-cutout", params={**far, "layer": "ls-dr9-south", "size": 32}, timeout=20)
    assert np.all(np.asarray(Image.open(io.BytesIO(grey.content))) == 32)
    assert requests.get(viewer + "fits-cutout", params={**far, "layer": "no-layer"}, timeout=20).text == "no such layer"
