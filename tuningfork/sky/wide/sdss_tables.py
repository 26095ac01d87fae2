"""The tables of SDSS and MPA-JHU for the spectroscopic sample: what the pipelines measured, with their errors, flags, repeats and failures.

Column names are SDSS's (reference/archives.md, 3.3; reference/systems.md, B1). Identifiers follow SDSS's bit layouts, with runs from `FIRST_RUN` on and the
re-reduction number `RERUN_2D`, which the survey never had: that marks them as simulated.
"""

import os
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from tuningfork import tables
from tuningfork.files import atomic_path
from tuningfork.sky.wide import sdss
from tuningfork.sky.wide.galaxies import total_flux
from tuningfork.sky.wide.measure import petrosian
from tuningfork.sky.wide.parameters import WideParameters
from tuningfork.sky.wide.seds import magnitudes
from tuningfork.sky.wide.surveys import ALL_BANDS, SDSS

FIRST_RUN = 65000
RERUN_2D = 9999
MISSING = -9999.0
BANDS = ("u", "g", "r", "i", "z")
LINES = ("oii_3726", "oii_3729", "h_delta", "h_gamma", "h_beta", "oiii_4959", "oiii_5007", "oi_6300", "nii_6548", "h_alpha", "nii_6584", "sii_6717", "sii_6731")
PERCENTILES = ("p2p5", "p16", "p50", "p84", "p97p5")
_STEPS = np.array([-1.96, -0.994, 0.0, 0.994, 1.96])

SQL_TABLES = ("SpecObj", "PhotoObj", "galSpecInfo", "galSpecLine", "galSpecIndx", "galSpecExtra")
FITS_PARTS = ("Info", "Line", "Indx", "Extra")

_REPEATS, _FAILED = 0.02, 0.012


def make(parameters: WideParameters, sample: sdss.SpectroscopicSample, first: int) -> tuple[dict[str, Table], Table]:
    """All tables by name, and the truth: one row a spectrum of the tables, a galaxy of the truth.

    Parameters
    ----------
    parameters : WideParameters
    sample : SpectroscopicSample
    first : int
        Number of its first object in the parts.
    """
    rng = parameters.generator("sdss", "tables")
    number = len(sample.mass)
    photo = _photometry(rng, sample, first)
    spectra = np.arange(number)
    repeated = rng.permutation(number)[: max(round(_REPEATS * number), 2)]
    galaxy = np.concatenate([spectra, np.sort(repeated)])
    again = np.arange(len(galaxy)) >= number
    order = rng.permutation(len(galaxy))
    galaxy, again = galaxy[order], again[order]
    spec = _spectra(rng, sample, photo, galaxy, again)
    ids = spec["specObjID"]
    lines, good = _lines(rng, sample, galaxy, ids)
    made = {"PhotoObj": photo, "SpecObj": spec, "galSpecInfo": _info(rng, sample, spec, galaxy), "galSpecLine": lines}
    made["galSpecIndx"] = _indices(rng, sample, galaxy, ids)
    made["galSpecExtra"] = _extra(rng, sample, galaxy, ids, good)
    truth = Table(
        {"objID": photo["objID"], "ra": photo["ra"], "dec": photo["dec"], "redshift": sample.galaxies.redshift, "lgm": sample.mass, "sfr": sample.sfr}
    )
    truth["oh"], truth["bptclass"], truth["r"], truth["axis_ratio"] = sample.metallicity, sample.bpt, sample.galaxies.r, sample.galaxies.q
    for name, table in made.items():
        table.meta = {"simulated": True, "name": name, "note": f"simulated survey; runs from {FIRST_RUN} on and run2d {RERUN_2D} do not exist in SDSS"}
    return made, truth


def write_fits(made: dict[str, Table], part: str, path: str | os.PathLike[str]) -> None:
    """One of the row-matched FITS files of MPA-JHU (`FITS_PARTS`), with upper-case names and SPECOBJID as text; 2 % more rows without a result (PLATEID -1)."""
    table = made[f"galSpec{part}"]
    blank = max(len(table) // 50, 1)
    columns = [fits.Column("SPECOBJID", "22A", array=np.array([str(value) for value in table["specObjID"]] + [""] * blank))]
    for name in table.colnames:
        if name == "specObjID":
            continue
        values = np.asarray(table[name])
        filler = np.full(blank, -1 if name in ("plateid", "mjd", "fiberid") else 0 if name == "reliable" else MISSING).astype(values.dtype)
        code = {"i": "K" if values.dtype.itemsize == 8 else "J", "f": "D" if name in ("ra", "dec") else "E", "U": "10A"}[values.dtype.kind]
        columns.append(fits.Column(_FITS_NAMES.get(name, name.upper()), code, array=np.concatenate([values, filler])))
    table_hdu = fits.BinTableHDU.from_columns(columns)
    table_hdu.header["SIMULATE"] = (True, "simulated survey, no real galaxy")
    primary = fits.PrimaryHDU()
    primary.header["SIMULATE"] = (True, "simulated survey, no real galaxy")
    with atomic_path(Path(path)) as part_path:
        fits.HDUList([primary, table_hdu]).writeto(part_path, output_verify="exception", overwrite=True)


def write_sql(made: dict[str, Table], folder: Path) -> None:
    """The tables that SkyServer's SQL sees, as Parquet."""
    for name in SQL_TABLES:
        tables.write(made[name], folder / f"{name}.parquet")


_FITS_NAMES = {"v_disp": "V_DISP", "v_disp_err": "V_DISP_ERR", "z": "Z", "z_err": "Z_ERR", "z_warning": "Z_WARNING"}


def _photometry(rng: np.random.Generator, sample: sdss.SpectroscopicSample, first: int) -> Table:
    """PhotoObj: model and Petrosian magnitudes and sizes with measurement errors; a few with a band that failed."""
    galaxies, number = sample.galaxies, len(sample.mass)
    measured = petrosian(sample.parts, first, number, galaxies.ra, galaxies.dec, SDSS.fwhm["r"])
    run, camcol, field, thing = FIRST_RUN + rng.integers(0, 500, number), rng.integers(1, 7, number), rng.integers(11, 800, number), np.arange(1, number + 1)
    identifier = (np.int64(1) << 60) | (np.int64(301) << 48) | (run << 32) | (camcol << 29) | (field << 16) | (thing % 65536)
    table = Table({"objID": identifier.astype(np.int64), "ra": np.round(galaxies.ra, 8), "dec": np.round(galaxies.dec, 8)})
    table["run"], table["rerun"], table["camcol"], table["field"], table["obj"] = run, np.full(number, 301), camcol, field, thing % 65536
    table["type"], table["mode"], table["clean"] = np.full(number, 3), np.ones(number, int), (rng.random(number) < 0.96).astype(int)
    flux = total_flux(sample.parts, first, number)
    area = np.pi * (2 * np.maximum(measured.r50, 1.0)) ** 2 / SDSS.pixscale**2
    failed = rng.random(number) < _FAILED
    for band in BANDS:
        true = np.maximum(flux[:, ALL_BANDS.index(band)], 1e-3)
        error = np.hypot(SDSS.noise(band) * np.sqrt(area), {"u": 0.03}.get(band, 0.012) * true)
        magnitude = magnitudes(np.maximum(true + rng.normal(0, 1, number) * error, 1e-4))
        if band == "u":
            magnitude = np.where(failed, rng.uniform(25.2, 27.5, number), magnitude)
        table[f"modelMag_{band}"] = np.round(magnitude, 5)
        table[f"modelMagErr_{band}"] = np.round(1.0857 * error / true * 0.7, 6)
        scale = rng.normal(1, 0.015, number)
        table[f"petroMag_{band}"] = np.round(magnitudes(np.maximum(measured.flux * true / np.maximum(flux[:, 2], 1e-3) * scale, 1e-4)), 5)
        table[f"extinction_{band}"] = np.round(0.06 * {"u": 1.87, "g": 1.45, "r": 1.0, "i": 0.75, "z": 0.55}[band] * np.ones(number), 5)
    for name, values, scatter in (("petroRad_r", measured.radius, 0.06), ("petroR50_r", measured.r50, 0.025), ("petroR90_r", measured.r90, 0.035)):
        table[name] = np.round(values * np.exp(rng.normal(0, scatter, number)), 6)
    table["petroR90_r"] = np.maximum(table["petroR90_r"], 1.2 * np.asarray(table["petroR50_r"]))
    table["expAB_r"] = np.round(np.clip(galaxies.q * np.exp(rng.normal(0, 0.04, number)), 0.05, 1), 5)
    table["fracDeV_r"] = np.round(np.clip(galaxies.bulge + rng.normal(0, 0.15, number), 0, 1), 5)
    return table


def _spectra(rng: np.random.Generator, sample: sdss.SpectroscopicSample, photo: Table, galaxy: np.ndarray, again: np.ndarray) -> Table:
    number = len(galaxy)
    plate, mjd, fiber = rng.integers(266, 2900, number), rng.integers(51600, 54600, number), rng.integers(1, 641, number)
    identifier = (plate.astype(np.int64) << 50) | (fiber << 38) | ((mjd - 50000) << 24) | (RERUN_2D << 10)
    identifier = identifier + (np.arange(number) % 1024)  # the last ten bits tell apart spectra that share the rest
    z = sample.galaxies.redshift[galaxy]
    error = 10 ** rng.normal(-4.85, 0.18, number)
    error = np.where(rng.random(number) < 0.004, rng.choice([-1.0, 0.0, 0.02], number), error)
    chi2 = np.where(rng.random(number) < 0.008, rng.uniform(2.02, 4.0, number), rng.normal(1.06, 0.09, number))
    dispersion = np.clip(10 ** (1.95 + 0.22 * (sample.mass[galaxy] - 10) + rng.normal(0, 0.12, number)), 30, 420)
    table = Table({"specObjID": identifier, "bestObjID": np.asarray(photo["objID"])[galaxy]})
    table["plate"], table["mjd"], table["fiberID"], table["run2d"] = plate, mjd, fiber, np.full(number, str(RERUN_2D))
    table["ra"], table["dec"] = (np.round(np.asarray(photo[name])[galaxy] + rng.normal(0, 0.04, number) / 3600, 6) for name in ("ra", "dec"))
    table["class"], table["z"], table["zErr"] = np.full(number, "GALAXY"), np.round(z + rng.normal(0, 2e-5, number), 7), np.round(error, 9)
    table["zWarning"] = np.where(rng.random(number) < 0.015, rng.choice([4, 16], number), 0)
    table["rChi2"], table["velDisp"], table["velDispErr"] = np.round(chi2, 5), np.round(dispersion, 3), np.round(dispersion * rng.uniform(0.05, 0.2, number), 3)
    table["sciencePrimary"] = (~again).astype(int)
    table["snMedian"] = np.round(18 * 10 ** (-0.2 * (sample.galaxies.r[galaxy] - 17)) * np.exp(rng.normal(0, 0.15, number)), 3)
    return table


def _info(rng: np.random.Generator, sample: sdss.SpectroscopicSample, spec: Table, galaxy: np.ndarray) -> Table:
    number = len(galaxy)
    table = Table(
        {"specObjID": spec["specObjID"], "plateid": spec["plate"], "mjd": spec["mjd"], "fiberid": spec["fiberID"], "ra": spec["ra"], "dec": spec["dec"]}
    )
    table["z"], table["z_err"], table["z_warning"] = spec["z"], spec["zErr"], spec["zWarning"]
    table["v_disp"], table["v_disp_err"], table["sn_median"] = spec["velDisp"], spec["velDispErr"], spec["snMedian"]
    table["e_bv_sfd"] = np.round(rng.gamma(2.0, 0.013, number), 5)
    table["targettype"] = np.full(number, "GALAXY")
    unreliable = (rng.random(number) < 0.012) | (np.asarray(spec["rChi2"]) > 2)
    table["reliable"] = (~unreliable).astype(np.int32)
    return table


def _lines(rng: np.random.Generator, sample: sdss.SpectroscopicSample, galaxy: np.ndarray, ids: np.ndarray) -> tuple[Table, np.ndarray]:
    """Line fluxes in 1e-17 erg/s/cm2 from star formation and metallicity (Kennicutt 1998; Pettini and Pagel 2004), stronger [N II] and [O III] in AGN."""
    number = len(galaxy)
    z, oh, bpt = sample.galaxies.redshift[galaxy], sample.metallicity[galaxy], sample.bpt[galaxy]
    log_area = np.log10(4 * np.pi) + 2 * (np.log10(3.0857e18) + 0.2 * sdss.distance_modulus(z) + 1)
    fibre = np.clip(0.15 + 2.2 * z, 0.15, 0.6)
    decrement = 10 ** (0.13 * np.clip(3.1 * sample.galaxies.dust[galaxy], 0, 3))
    quiet = np.where(np.isin(bpt, (sdss.LOW_SN, sdss.LINER, sdss.UNCLASSIFIED)), 0.25, 1.0)
    h_alpha = 10 ** (np.clip(sample.sfr[galaxy], -3, 2) + 41.1 - log_area + 17) * fibre * quiet / decrement**1.5
    h_beta = h_alpha / 2.86 / decrement
    o3n2 = (8.73 - oh) / 0.32
    n2 = 10 ** np.clip((oh - 8.95) / 0.57 - 0.15, -2.0, -0.12) * np.where(np.isin(bpt, (sdss.AGN, sdss.LINER)), 2.6, np.where(bpt == sdss.COMPOSITE, 1.5, 1.0))
    o3 = 10 ** np.clip(o3n2 + np.log10(n2), -0.9, 0.75) * np.where(bpt == sdss.AGN, 4.0, np.where(bpt == sdss.COMPOSITE, 1.6, 1.0))
    flux = {
        "h_alpha": h_alpha, "h_beta": h_beta, "h_gamma": 0.47 * h_beta, "h_delta": 0.26 * h_beta, "nii_6584": n2 * h_alpha, "nii_6548": n2 * h_alpha / 3,
        "oiii_5007": o3 * h_beta, "oiii_4959": o3 * h_beta / 3, "oii_3726": 1.1 * h_beta, "oii_3729": 1.5 * h_beta, "oi_6300": 0.04 * h_alpha,
        "sii_6717": 0.2 * h_alpha, "sii_6731": 0.15 * h_alpha,
    }  # fmt: skip
    table = Table({"specObjID": ids})
    good = np.ones(number, dtype=bool)
    for name in LINES:
        error = 3.0 * np.exp(rng.normal(0, 0.25, number)) + 0.02 * flux[name]
        measured = flux[name] * np.exp(rng.normal(0, 0.04, number)) + rng.normal(0, 1, number) * error
        absent = rng.random(number) < 0.003
        table[f"{name}_flux"] = np.round(np.where(absent, 0.0, measured), 5)
        table[f"{name}_flux_err"] = np.round(np.where(absent, -1.0, error), 5)
        good &= ~absent
    return table, good


def _indices(rng: np.random.Generator, sample: sdss.SpectroscopicSample, galaxy: np.ndarray, ids: np.ndarray) -> Table:
    number = len(galaxy)
    break_ = 1.62 - 0.42 * sample.galaxies.young[galaxy] + 0.06 * (sample.mass[galaxy] - 10) + rng.normal(0, 0.04, number)
    error = np.abs(rng.normal(0.015, 0.004, number)) + 0.004
    table = Table({"specObjID": ids, "d4000": np.round(break_, 5), "d4000_err": np.round(error, 5)})
    table["d4000_n"], table["d4000_n_err"] = np.round(0.92 * break_ - 0.02, 5), np.round(0.8 * error, 5)
    return table


def _extra(rng: np.random.Generator, sample: sdss.SpectroscopicSample, galaxy: np.ndarray, ids: np.ndarray, good: np.ndarray) -> Table:
    """Percentiles of metallicity, mass and star-formation rate; no metallicity for AGN, for most of those without a class, and where lines are lacking."""
    number = len(galaxy)
    bpt, oh = sample.bpt[galaxy], sample.metallicity[galaxy]
    sigma = np.clip(rng.lognormal(np.log(0.032), 0.35, number) * np.where(bpt == sdss.LOW_SN, 1.7, 1.0), 0.012, 0.14)
    known = good & np.where(bpt == sdss.COMPOSITE, rng.random(number) < 0.3, np.isin(bpt, (sdss.STAR_FORMING, sdss.LOW_SN)) | (rng.random(number) < 0.02))
    median = oh + rng.normal(0, 1, number) * sigma
    table = Table({"specObjID": ids, "bptclass": bpt.astype(np.int32)})
    skew = rng.normal(1.0, 0.06, (number, 1))
    spread = np.where(_STEPS < 0, skew, 1 / skew) * _STEPS
    percentiles = np.where(known[:, None], np.clip(median[:, None] + spread * sigma[:, None], 7.6, 9.5), MISSING)
    for name, values in zip(PERCENTILES, percentiles.T, strict=True):
        table[f"oh_{name}"] = np.round(values, 6)
    table["oh_entropy"] = np.round(np.where(known, rng.normal(2.5, 0.3, number), MISSING), 5)
    unweighed = rng.random(number) < 0.003
    for kind, true, scatter in (("lgm_tot", sample.mass[galaxy], 0.09), ("lgm_fib", sample.mass[galaxy] - 0.45, 0.09), ("sfr_tot", sample.sfr[galaxy], 0.2)):
        middle = true + rng.normal(0, 0.3 * scatter, number)
        for name, step in zip(PERCENTILES, _STEPS, strict=True):
            table[f"{kind}_{name}"] = np.round(np.where(unweighed, MISSING, middle + step * scatter), 6)
    table["specsfr_tot_p50"] = np.round(np.where(unweighed, MISSING, np.asarray(table["sfr_tot_p50"]) - np.asarray(table["lgm_tot_p50"])), 6)
    return table


def label_floor(made: dict[str, Table]) -> float:
    """Rms of the published metallicities about the true ones: the best that anyone could do who knew the truth (dex)."""
    extra = made["galSpecExtra"]
    known = np.asarray(extra["oh_p50"]) > 0
    sigma = (np.asarray(extra["oh_p84"]) - np.asarray(extra["oh_p16"]))[known] / 2
    return float(np.sqrt(np.mean(sigma**2)))
