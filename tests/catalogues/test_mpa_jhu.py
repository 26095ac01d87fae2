"""The row-matched FITS files of MPA-JHU: which rows count, what is invalid, and that the rows belong together."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from tuningfork import tables
from tuningfork.catalogues import mpa_jhu, sdss_galspec
from tuningfork.errors import ArchiveError, CatalogueError

N = 10
SPEC = 299489676975171584 + 11 * np.arange(N)
URL = "/sas/dr8/common/sdss-spectro/redux/galSpec{}-dr8.fits"


def parts(ids: str = "text") -> dict[str, Table]:
    i = np.arange(N)
    spec = np.array([f"{n:>22}" for n in SPEC]) if ids == "text" else SPEC
    info = Table({"SPECOBJID": spec, "PLATEID": np.full(N, 266, ">i2"), "MJD": np.full(N, 51630), "FIBERID": (1 + i).astype(">i2")})
    info["PLATEID"][0] = -1
    info["RA"], info["DEC"] = (150 + i / 100).astype(">f4"), (2 + i / 100).astype(">f4")
    info["RA"][8], info["DEC"][8] = info["RA"][7], info["DEC"][7] + np.float32(5e-5)
    info["Z"], info["Z_ERR"], info["Z_WARNING"] = (0.03 + i / 100).astype(">f4"), np.full(N, 1e-5, ">f4"), np.zeros(N, ">i2")
    info["V_DISP"], info["V_DISP_ERR"] = np.full(N, 100.0, ">f4"), np.where(i == 5, -3.0, 4.0).astype(">f4")
    info["SN_MEDIAN"], info["E_BV_SFD"], info["RELIABLE"] = (10 + i).astype(">f4"), np.full(N, 0.03, ">f4"), (i != 1).astype(">i2")
    extra = Table({"SPECOBJID": spec, "BPTCLASS": np.ones(N, ">i2")})
    for name, value in zip(sdss_galspec.PERCENTILES, (8.6, 8.8, 8.9, 9.0, 9.2), strict=True):
        extra[name.upper()] = np.where(i == 2, -9999, value).astype(">f4")
    extra["LGM_TOT_P50"] = np.where(i == 3, -1, np.where(i == 4, -9999, 10)).astype(">f4")
    extra["SFR_TOT_P50"] = np.where(i == 3, -99, 0.5).astype(">f4")
    line = Table({"SPECOBJID": spec})
    for name in sdss_galspec.LINES:
        line[f"{name.upper()}_FLUX"], line[f"{name.upper()}_FLUX_ERR"] = (10.0 + i).astype(">f4"), np.ones(N, ">f4")
    index = Table({"SPECOBJID": spec, "D4000": np.full(N, 1.4, ">f4"), "D4000_ERR": np.full(N, 0.1, ">f4")})
    return {"Info": info, "Extra": extra, "Line": line, "Indx": index}


def written(folder, tables_by_part):
    files = {}
    for part, table in tables_by_part.items():
        files[part] = folder / f"galSpec{part}-dr8.fits"
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table)]).writeto(files[part], overwrite=True)
    return files


@pytest.mark.parametrize("ids", ["text", "integer"])
def test_rows_with_a_reliable_metallicity(tmp_path, ids):
    found = mpa_jhu.standardise(written(tmp_path, parts(ids)))
    assert found["object_id"].tolist() == [str(n) for n in SPEC[3:]]
    assert found.meta["origin"]["left_out"] == {"rows_in_file": N, "without_result": 1, "unreliable": 1, "without_metallicity": 1}
    assert np.ma.getmaskarray(found["lgm_tot_p50"]).tolist() == [True, True] + [False] * 5
    assert np.ma.getmaskarray(found["sfr_tot_p50"])[0] and not np.ma.getmaskarray(found["sfr_tot_p50"])[1:].any()
    assert np.ma.getmaskarray(found["velDispErr"]).tolist() == [False, False, True] + [False] * 4
    np.testing.assert_allclose(found["oh_sigma"], 0.1, atol=1e-6)
    tables.write(found, tmp_path / "t.parquet")


def test_spectra_of_one_place_are_one_galaxy(tmp_path):
    files = written(tmp_path, parts())
    found = mpa_jhu.standardise(files)
    assert found["galaxy_id"].tolist() == [str(SPEC[i]) for i in (3, 4, 5, 6, 7, 7, 9)]
    once = mpa_jhu.standardise(files, duplicates=False)
    assert once["object_id"].tolist() == [str(SPEC[i]) for i in (3, 4, 5, 6, 8, 9)] and once.meta["origin"]["left_out"]["repeat_spectra"] == 1


def test_switches_let_more_rows_in(tmp_path):
    files = {part: path for part, path in written(tmp_path, parts()).items() if part in ("Info", "Extra")}
    found = mpa_jhu.standardise(files, reliable=False, metallicity=False)
    assert found["object_id"].tolist() == [str(n) for n in SPEC[1:]] and "h_alpha_flux" not in found.colnames
    assert np.ma.getmaskarray(found["oh_p50"]).tolist() == [False, True] + [False] * 7


def test_columns_are_those_of_the_sql_sample(tmp_path):
    found = mpa_jhu.standardise(written(tmp_path, parts()))
    same = set(found.colnames) & set(sdss_galspec.COLUMNS)
    assert {"z", "zErr", "velDisp", "h_alpha_flux", "d4000", "bptclass", "oh_p50", "oh_sigma", "fibre_flag", "reliable", "zWarning"} <= same
    assert found["bptclass"].dtype.kind == "i" and str(found["h_alpha_flux"].unit) == "1e-17 erg / (s cm2)"
    assert all(found[name].info.description for name in found.colnames)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    wrong = parts()
    wrong["Extra"]["SPECOBJID"][6] = "123"
    with pytest.raises(CatalogueError, match=f"row 6 is 123 and {SPEC[6]}"):
        mpa_jhu.standardise(written(tmp_path, wrong))
    short = parts()
    short["Line"] = short["Line"][:-1]
    with pytest.raises(CatalogueError, match="galSpecLine has 9 rows and galSpecInfo 10"):
        mpa_jhu.standardise(written(tmp_path, short))
    with pytest.raises(CatalogueError, match="needs the files galSpecInfo and galSpecExtra; Info were given"):
        mpa_jhu.standardise({"Info": tmp_path / "galSpecInfo-dr8.fits"})
    lacking = parts()
    lacking["Extra"].rename_column("OH_P50", "OH_MED")
    with pytest.raises(CatalogueError, match="no column 'OH_P50'"):
        mpa_jhu.standardise(written(tmp_path, lacking))


def test_the_files_come_from_the_science_archive_server(archive, live, tmp_path):
    for part, path in written(tmp_path, parts()).items():
        archive.files[URL.format(part)] = path.read_bytes()
    found = mpa_jhu.fetch(live)
    assert archive.asked == [URL.format(part) for part in ("Info", "Extra", "Line")]
    origin = found.meta["origin"]
    assert origin["archive"] == "sas" and origin["query"] == archive.asked and len(origin["sha256"]) == 3 and origin["rows"] == 7
    assert "d4000" in mpa_jhu.fetch(live, indices=True).colnames and len(archive.asked) == 4
    archive.files[URL.format("Extra")] = archive.files[URL.format("Extra")][:-2880]
    with pytest.raises(ArchiveError, match="cut short"):
        from tuningfork.archives import sas

        sas.galspec(live, "Extra", refresh=True)
    with pytest.raises(ArchiveError, match="not 'Photo'"):
        sas.galspec(live, "Photo")
