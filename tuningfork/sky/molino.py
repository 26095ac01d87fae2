"""The CLASH photometric catalogues (Molino et al. 2017) of simulated clusters, as MAST and as VizieR give them.

The same measurements in two dresses: MAST's text file of 102 columns with 99 and -99 for what is missing, and VizieR's table per cluster of 103 with blanks
there (but limits left in the error columns), other names, and mosaic pixels under columns that promise degrees.
"""

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from astropy.table import MaskedColumn, Table

from tuningfork import tables
from tuningfork.sky.bands import BANDS
from tuningfork.sky.parameters import SkyParameters
from tuningfork.sky.population import POINT, SPHEROID, Population
from tuningfork.sky.sextraction import NOT_DETECTED, NOT_OBSERVED, exposure_at, magnitudes, running_numbers, shapes

_COSMOLOGY = FlatLambdaCDM(H0=70, Om0=0.3)

_MEANINGS = {
    "CLASHID": "Object identifier [clash_*cluster*_nir_*number*]",
    "clusterName": "Cluster name",
    "RA": "Right ascension (degrees)",
    "Dec": "Declination (degrees)",
    "x": "X pixel",
    "y": "Y pixel",
    "area": "Isophotal aperture area (pixels)",
    "fwhm": "Full width at half maximum on the detection image (arcsec)",
    "s2n": "Signal to noise",
    "photoflag": "SExtractor flag",
    "nfobs": "Number of filters observed",
    "nfdet": "Number of filters detected",
    "PointS": "[0: extended / 1: point-like]",
    "theta": "Position angle (counter-clockwise from x)",
    "a": "Profile rms along major axis (pixels)",
    "b": "Profile rms along minor axis (pixels)",
    "Backg": "Background subtracted from the detection",
    "rf": "Fraction-of-light radius (pixels)",
    "rk": "Kron aperture in units of A or B (pixels)",
    "rp": "Petrosian radius (pixels)",
    "BCG_pos_RA": "BCG position in right ascension",
    "BCG_pos_Dec": "BCG position in declination",
    "PhyDistBCG": "Projected distance to the BCG (Mpc)",
    "clusterz": "Cluster redshift",
    "zb_1": "Most likely photometric redshift",
    "zb_Min_1": "Its lower limit (95 %)",
    "zb_Max_1": "Its upper limit (95 %)",
    "Tb_1": "Most likely spectral type",
    "Odds_1": "Probability within the redshift peak",
    "Chi2": "Misfit of observed and model fluxes",
    "MB_sDSS": "Absolute magnitude (AB)",
    "Stell_Mass": "Stellar mass (log10 M_sun)",
    "F814W_ACS_MASS_LensCor": "F814W moderated magnitude corrected for lensing",
    "MB_sDSS_LensCor": "Absolute magnitude corrected for lensing",
    "Stell_Mass_LensCor": "Stellar mass corrected for lensing (log10 M_sun)",
    "SpeczValue": "Spectroscopic redshift [-99 if unknown]",
    "SpeczRefer": "Its reference",
    "SpeczQual": "Its quality [0: secure, 1: likely, 2: unsure]",
}
"""Columns of the MAST file before and after the photometry, and what its header says of them."""

_HEAD, _TAIL = list(_MEANINGS)[:23], list(_MEANINGS)[23:]
_FORMATS = dict.fromkeys(("RA", "Dec", "BCG_pos_RA", "BCG_pos_Dec", "PhyDistBCG", "Backg"), "%.4f") | dict.fromkeys(
    ("fwhm", "s2n", "theta", "rk", "rp", "Tb_1", "Odds_1", "Chi2", "Stell_Mass"), "%.2f"
)
_WHOLE = ("area", "photoflag", "nfobs", "nfdet", "PointS", "SpeczQual")
_TEXT = ("CLASHID", "clusterName", "SpeczRefer")

VIZIER_NAMES = {
    "clusterName": "Cluster", "RA": "RAJ2000", "Dec": "DEJ2000", "x": "Xpos", "y": "Ypos", "area": "Area", "fwhm": "FWHM", "photoflag": "photFlag",
    "PointS": "PS",
    "BCG_pos_RA": "RABdeg", "BCG_pos_Dec": "DEBdeg", "PhyDistBCG": "PDistBCG", "clusterz": "zCluster", "zb_1": "zb1", "zb_Min_1": "e_zb1", "zb_Max_1": "E_zb1",
    "Tb_1": "Tb1", "Odds_1": "Odds1", "MB_sDSS": "BMAG", "Stell_Mass": "logM*", "F814W_ACS_MASS_LensCor": "F814W", "MB_sDSS_LensCor": "BMAGLC",
    "Stell_Mass_LensCor": "logM*LC", "SpeczValue": "zsp", "SpeczRefer": "r_zsp", "SpeczQual": "q_zsp",
}  # fmt: skip
"""VizieR's names where they differ from MAST's (photometry apart); ``F814W`` is the lensing-corrected magnitude there."""

_VIZIER_FIELDS: dict[str, tuple[str | None, str, str]] = {
    "CLASHID": (None, "meta.id;meta.main", "Object identifier (clash_CLUSTER_nir_NNNN)"),
    "Cluster": (None, "meta.id", "Cluster name"),
    "RAJ2000": ("deg", "pos.eq.ra;meta.main", "Right ascension (J2000)"),
    "DEJ2000": ("deg", "pos.eq.dec;meta.main", "Declination (J2000)"),
    "Xpos": ("pix", "pos.cartesian.x;instr.det", "X pixel coordinate"),
    "Ypos": ("pix", "pos.cartesian.y;instr.det", "Y pixel coordinate"),
    "Area": ("pix", "phys.angArea", "Isophotal aperture area"),
    "FWHM": ("arcsec", "phys.angSize", "Full width at half maximum for detection image"),
    "photFlag": (None, "meta.code", "[0/3] SExtractor photometric flag"),
    "PS": (None, "meta.code", "[0/1] Point source (0: extended; 1: point-like)"),
    "theta": ("deg", "pos.posAng", "Position angle (counter-clockwise from x)"),
    "a": ("pix", "phys.angSize.smajAxis", "Profile rms along major axis"),
    "b": ("pix", "phys.angSize.sminAxis", "Profile rms along minor axis"),
    "rf": ("pix", "phys.angSize", "Fraction-of-light radius"),
    "rk": ("pix", "phys.angSize", "Kron aperture in units of A or B"),
    "rp": ("pix", "phys.angSize", "Petrosian radius"),
    "RABdeg": ("deg", "pos.eq.ra", "Right ascension of the BCG position"),
    "DEBdeg": ("deg", "pos.eq.dec", "Declination of the BCG position"),
    "PDistBCG": ("Mpc", "pos.distance", "Projected physical distance to BCG"),
    "zCluster": (None, "src.redshift", "Cluster redshift"),
    "zb1": (None, "src.redshift.phot", "Most likely photometric redshift"),
    "F814W": ("mag", "phot.mag;em.opt.I", "Lensing-corrected F814W moderated magnitude (AB)"),
}


def measure(parameters: SkyParameters, population: Population, exposures: dict[str, np.ndarray], absent: set[str]) -> Table:
    """The catalogue of one cluster: MAST's columns by their names, plus ``_object`` (row of the population) and ``_number``.

    Parameters
    ----------
    exposures : dict of ndarray
        Relative exposure of each rendered band; objects outside that of F160W were not detected and are left out.
    absent : set of str
        Bands that were never observed here.
    """
    rng = parameters.generator("molino", population.name)
    seen = shapes(rng, population)
    kept = np.flatnonzero(exposure_at(exposures["f160w"], seen["x"], seen["y"]) > 0)
    kept = kept[np.argsort(-seen["y"][kept], kind="stable")]
    ra, dec = population.wcs.all_pix2world(seen["x"], seen["y"], 1)
    numbers = running_numbers(rng, len(kept), 30, 0.12)
    table = Table()
    table["CLASHID"] = [f"clash_{population.name}_nir_{number:04d}" for number in numbers]
    table["clusterName"] = np.full(len(kept), population.name)
    columns = {"RA": ra, "Dec": dec, "x": seen["x"], "y": seen["y"], "area": seen["area"], "fwhm": seen["fwhm"], "s2n": seen["s2n"], "photoflag": seen["flag"]}
    photometry, observed, detected = _photometry(rng, population, exposures, absent, seen)
    columns |= {"nfobs": observed, "nfdet": detected, "PointS": seen["point"], "theta": seen["theta"], "a": seen["a"], "b": seen["b"]}
    columns |= {"Backg": rng.normal(-0.001, 0.003, len(population)), "rf": seen["rf"], "rk": seen["rk"], "rp": seen["rp"]}
    distance = np.hypot(seen["x"] - population.centre[0], seen["y"] - population.centre[1]) * population.scale
    megaparsec = _COSMOLOGY.kpc_proper_per_arcmin(population.redshift_of_cluster).value / 60e3
    columns |= {"BCG_pos_RA": np.full(len(population), round(population.centre[0])), "BCG_pos_Dec": np.full(len(population), round(population.centre[1]))}
    columns |= {"PhyDistBCG": distance * megaparsec, **photometry, **_redshifts(rng, population, photometry)}
    for name, values in columns.items():
        table[name] = np.asarray(values)[kept]
    table["_object"], table["_number"] = kept, numbers
    return table


def mast_text(table: Table) -> str:
    """The file that MAST serves: a commented header, the line of names, rows of fields two blanks apart."""
    names = [name for name in table.colnames if not name.startswith("_")]
    rule = "#" * 118
    lines = [
        rule,
        "## SIMULATED by tuningfork: no galaxy in this file exists. Layout of the CLASH catalogues of Molino et al. (2017, MNRAS 470, 95).",
        "## Magnitudes are AB; 99 = not detected (the error column holds the limit), -99 = not observed or unknown.",
        rule,
    ]
    lines += [f"#{index:4d}  {name:<26s}{_describe(name)}" for index, name in enumerate(names, start=1)]
    lines.append("# " + "  ".join(names) + " ")
    cells = [_format(name, table[name]) for name in names]
    glued = names.index("F814W_ACS_MASS_LensCor")
    for row in zip(*cells, strict=True):
        lines.append("  ".join(row[:glued]) + " " + "  ".join(row[glued:]) + "   ")
    return "\n".join(lines) + "\n"


def vizier_table(table: Table, name: str) -> Table:
    """The same rows as VizieR's table of one cluster (103 columns with ``recno``)."""
    result = Table()
    result["recno"] = np.arange(1, len(table) + 1)
    head, tail = ([(name, VIZIER_NAMES.get(name, name)) for name in names] for names in (_HEAD, _TAIL))
    magnitude_columns = {source for source, _ in _vizier_photometry()} | {"F814W_ACS_MASS_LensCor"}
    for source, target in [*head, *_vizier_photometry(), *tail]:
        values = np.asarray(table[source])
        if values.dtype.kind in "US":
            result[target] = MaskedColumn(values, mask=values == "None")
            continue
        shown = np.array([float(cell) for cell in _format(source, values)])
        # 99 is no value of a magnitude alone: an isophotal area of 99 pixels is one
        missing = (NOT_DETECTED, NOT_OBSERVED) if source in magnitude_columns else (NOT_OBSERVED,)
        blank = np.isin(shown, missing) & (not target.startswith("e_"))
        result[target] = MaskedColumn(shown.astype(int) if source in _WHOLE else shown, mask=blank)
    tables.describe(result, _VIZIER_FIELDS)
    tables.describe(result, {column: ("mag", "phot.mag" if column[0] != "e" else "stat.error;phot.mag", "AB magnitude") for _, column in _vizier_photometry()})
    result.meta["name"], result.meta["title"] = name, "Simulated CLASH photometric catalogue (layout of Molino+, 2017)"
    return result


def _photometry(
    rng: np.random.Generator, population: Population, exposures: dict[str, np.ndarray], absent: set[str], seen: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    observed, detected = np.zeros(len(population), dtype=int), np.zeros(len(population), dtype=int)
    for name, band in BANDS.items():
        if name in exposures and name not in absent:
            at = exposure_at(exposures[name], seen["x"], seen["y"])
            values = magnitudes(rng, population, name, seen, at)
        else:
            at = np.zeros(len(population))
            values = (np.full(len(population), NOT_OBSERVED), at, np.full(len(population), NOT_OBSERVED), at)
        for column, value in zip((f"{band.column}_PHOTOZ", f"d{band.column}_PHOTOZ", f"{band.column}_MASS", f"d{band.column}_MASS"), values, strict=True):
            columns[column] = value
        observed += at > 0
        detected += (at > 0) & (values[0] < 90)
    return columns, observed, detected


def _redshifts(rng: np.random.Generator, population: Population, photometry: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Photometric redshifts, absolute magnitudes and masses, roughly; spectroscopic ones for some bright objects."""
    number, h = len(population), population.h_total
    z, outlier = population.redshift, rng.random(number) < np.interp(h, [20, 24, 27], [0.03, 0.12, 0.5])
    best = np.where(outlier, rng.uniform(0.02, 6.0, number), np.abs(z + rng.normal(0, 0.03, number) * (1 + z)))
    width = 0.06 * (1 + best) * np.interp(h, [20, 24, 27], [0.6, 1.0, 4.0])
    modulus = _COSMOLOGY.distmod(np.maximum(best, 0.005)).value
    absolute = h + 0.9 - modulus + 2.5 * np.log10(1 + best) + rng.normal(0, 0.2, number)
    mass = -0.45 * (absolute + 20.5) + 10.0 + np.where(population.kind == SPHEROID, 0.3, 0.0) + rng.normal(0, 0.2, number)
    lensed = np.where(best > population.redshift_of_cluster, rng.gamma(1.5, 0.25, number), 0.0)
    spectroscopic = (rng.random(number) < np.interp(h, [18, 21, 23], [0.6, 0.3, 0.0])) & (population.kind != POINT)
    f814w = photometry["F814W_ACS_MASS"]
    return {
        "clusterz": np.full(number, population.redshift_of_cluster),
        "zb_1": best,
        "zb_Min_1": np.maximum(best - width, 0.001),
        "zb_Max_1": best + width,
        "Tb_1": np.clip(np.select([population.kind == SPHEROID], [4.0], 9.5) + rng.normal(0, 1.5, number), 1.5, 12),
        "Odds_1": np.clip(np.interp(h, [20, 24, 27], [0.9, 0.7, 0.15]) + rng.normal(0, 0.12, number), 0, 1),
        "Chi2": rng.gamma(1.3, 0.8, number),
        "MB_sDSS": absolute,
        "Stell_Mass": mass,
        "F814W_ACS_MASS_LensCor": np.where((f814w < 90) & (f814w > 0), f814w + lensed, f814w),
        "MB_sDSS_LensCor": absolute + lensed,
        "Stell_Mass_LensCor": np.where(mass > 7, mass - 0.4 * lensed, NOT_OBSERVED),
        "SpeczValue": np.where(spectroscopic, z, NOT_OBSERVED),
        "SpeczRefer": np.where(spectroscopic, "SIM", "None"),
        "SpeczQual": np.where(spectroscopic, rng.integers(0, 2, number), -99),
    }


def _format(name: str, values: np.ndarray) -> list[str]:
    if name in _TEXT:
        return [str(value) for value in values]
    if name in _WHOLE:
        return [str(int(value)) for value in values]
    form = _FORMATS.get(name, "%.3f")
    return [form % value for value in values]


def _vizier_photometry() -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, band in BANDS.items():
        short = name.upper()
        pairs += [(f"{band.column}_PHOTOZ", f"{short}PZ"), (f"d{band.column}_PHOTOZ", f"e_{short}PZ")]
        pairs += [(f"{band.column}_MASS", f"{short}M"), (f"d{band.column}_MASS", f"e_{short}M")]
    return pairs


def _describe(name: str) -> str:
    for suffix, kind, use in (("_PHOTOZ", "restricted", "photo-z"), ("_MASS", "moderated", "stellar mass")):
        if name.endswith(suffix):
            return f"{name.removeprefix('d').removesuffix(suffix)} {kind} magnitude{' uncertainty' if name[0] == 'd' else ''} (AB); best for {use}"
    return _MEANINGS[name]
