"""The sample of Wu & Boada (2019): its SQL really run, by DuckDB behind sqlglot's T-SQL, and its rows in the common columns."""

import csv
import io

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import sqlglot

from tuningfork import tables
from tuningfork.catalogues import sdss_galspec
from tuningfork.errors import CatalogueError

PATH = "/dr14/SkyServerWS/SearchTools/SqlSearch"
N = 24
# Row -> what is wrong with it.
WRONG = {
    1: {"petroMag_r": 18.2},
    2: {"modelMag_u": 24.9},
    3: {"modelMag_z": 25.5},
    4: {"rChi2": 2.5},
    5: {"zErr": 0.02},
    6: {"z": 0.019},
    7: {"oh_p50": -9999.0},
}
NOT_STRICT = {
    10: {"bptclass": 3},
    11: {"reliable": 0},
    12: {"zWarning": 4},
    13: {"h_beta_flux": 2.0},
    14: {"nii_6584_flux_err": -1.0},
    15: {"sciencePrimary": 0},
}
TWICE = 21


def sky() -> dict[str, dict[str, np.ndarray]]:
    i = np.arange(N)
    obj = 1237648720693755918 + i
    obj[TWICE] = obj[20]
    spec = 299489676975171584 + 7 * i
    flat = {name: np.full(N, value) for name, value in {"velDisp": 120.0, "velDispErr": 5.0, "rChi2": 1.0, "zErr": 1e-5, "petroMag_r": 17.0}.items()}
    flat |= {"z": 0.03 + 0.001 * i, "sciencePrimary": np.ones(N, int), "zWarning": np.zeros(N, int), "reliable": np.ones(N, int), "bptclass": np.ones(N, int)}
    flat |= {f"modelMag_{b}": 19 - k + 0.01 * i for k, b in enumerate("ugriz")} | {f"modelMagErr_{b}": np.full(N, 0.02) for b in "ugriz"}
    flat |= {"petroR50_r": 2 + 0.1 * i, "petroR90_r": 5 + 0.1 * i, "d4000": np.full(N, 1.3), "d4000_err": np.full(N, 0.05)}
    flat |= {f"{line}_flux": np.full(N, 50.0) for line in sdss_galspec.LINES} | {f"{line}_flux_err": np.full(N, 1.0) for line in sdss_galspec.LINES}
    flat |= {"oh_p2p5": 8.6 + 0 * i, "oh_p16": 8.8 + 0 * i, "oh_p50": 8.9 + 0.01 * i, "oh_p84": 9.0 + 0 * i, "oh_p97p5": 9.2 + 0 * i}
    flat |= {"lgm_tot_p50": np.where(i == 9, -9999.0, 10.2), "sfr_tot_p50": np.full(N, 0.1)}
    for changes in (WRONG, NOT_STRICT):
        for row, change in changes.items():
            for name, value in change.items():
                flat[name] = flat[name].copy()
                flat[name][row] = value
    pick = lambda *names: {name: flat[name] for name in names}  # noqa: E731
    magnitudes = [name for name in flat if name.startswith(("modelMag", "petro"))]
    galaxies = {"objID": obj, "ra": 150.0 + i / 1000, "dec": 2.0 + i / 1000, **pick(*magnitudes)}
    once = np.unique(obj, return_index=True)[1]
    return {
        "SpecObj": {"specObjID": spec, "bestObjID": obj, **pick("z", "zErr", "velDisp", "velDispErr", "rChi2", "sciencePrimary", "zWarning")},
        "Galaxy": {name: values[once] for name, values in galaxies.items()},
        "galSpecLine": {"specObjID": spec, **{name: v for name, v in flat.items() if "flux" in name}},
        "galSpecInfo": {"specObjID": spec, **pick("reliable")},
        "galSpecIndx": {"specObjID": spec, **pick("d4000", "d4000_err")},
        "galSpecExtra": {"specObjID": spec, **pick("bptclass", *sdss_galspec.PERCENTILES, "lgm_tot_p50", "sfr_tot_p50")},
    }


def skyserver(parameters: dict[str, str]) -> bytes:
    """What SkyServer does with `cmd`: T-SQL in, CSV below ``#Table1`` out."""
    translated = sqlglot.transpile(parameters["cmd"], read="tsql", write="duckdb")[0]
    with duckdb.connect(":memory:") as database:
        for name, columns in sky().items():
            database.register(name, pa.table(columns))
        result = database.execute(translated)
        names, rows = [column[0] for column in result.description], result.fetchall()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return ("#Table1\n" + out.getvalue()).encode()


@pytest.fixture
def transport(archive, live):
    archive.files[PATH] = skyserver
    return live


def test_the_published_cuts_and_no_other(transport, tmp_path):
    found = sdss_galspec.fetch(transport)
    rows = [i for i in range(N) if i not in WRONG]
    assert found["object_id"].tolist() == [str(299489676975171584 + 7 * i) for i in rows]
    assert found["specObjID"].tolist() == found["object_id"].tolist()
    origin = found.meta["origin"]
    assert (origin["release"], origin["strict"], origin["rows"], origin["simulated"]) == ("dr14", False, len(rows), False)
    assert origin["bibcode"] == sdss_galspec.BIBCODE and "SELECT" in origin["query"]
    tables.write(found, tmp_path / "t.parquet")
    assert tables.read(tmp_path / "t.parquet").meta == found.meta


def test_repeat_spectra_share_their_galaxy(transport):
    found = sdss_galspec.fetch(transport)
    pair = found[np.isin(found["object_id"], [str(299489676975171584 + 7 * i) for i in (20, TWICE)])]
    assert len(pair) == 2 and len(set(pair["galaxy_id"])) == 1 and len(set(found["galaxy_id"])) == len(found) - 1
    assert pair["galaxy_id"][0] == "1237648720693755938"


def test_the_strict_sample(transport):
    found = sdss_galspec.fetch(transport, strict=True)
    assert found["object_id"].tolist() == [str(299489676975171584 + 7 * i) for i in range(N) if i not in WRONG and i not in NOT_STRICT]


def test_a_limit_takes_the_first(transport):
    assert sdss_galspec.fetch(transport, limit=3)["object_id"].tolist() == [str(299489676975171584 + 7 * i) for i in (0, 8, 9)]
    with pytest.raises(CatalogueError, match="limit is 0"):
        sdss_galspec.fetch(transport, limit=0)


def test_columns_keep_their_names_and_have_units(transport):
    found = sdss_galspec.fetch(transport)
    published = {name for names in sdss_galspec.SELECT.values() for name in names}
    assert published <= set(found.colnames) and len(published) == 44
    assert all(found[name].info.description and "ucd" in found[name].info.meta for name in found.colnames)
    assert str(found["petroR90_r"].unit) == "arcsec" and str(found["ra"].unit) == "deg"
    np.testing.assert_allclose(found["oh_sigma"], 0.1)
    assert np.ma.getmaskarray(found["lgm_tot_p50"]).tolist() == [name == str(299489676975171584 + 63) for name in found["object_id"]]
    assert found["fibre_flag"].tolist() == (np.asarray(found["z"]) < 0.04).tolist()
    np.testing.assert_array_equal(found["mag"], found["petroMag_r"])


def test_no_galaxy_is_an_error(archive, live):
    archive.files[PATH] = lambda p: skyserver(p).split(b"\n")[0] + b"\n" + skyserver(p).split(b"\n")[1] + b"\n"
    with pytest.raises(CatalogueError, match="no galaxy that passes"):
        sdss_galspec.fetch(live)


def test_simulated_rows_carry_the_prefix_and_no_doi(archive, open_transport):
    archive.files[PATH] = skyserver
    found = sdss_galspec.fetch(open_transport("simulated-1"))
    assert all(name.startswith("SIM-") for name in [*found["object_id"], *found["galaxy_id"]])
    assert found.meta["origin"]["doi"] is None and found.meta["origin"]["bibcode"] is None
