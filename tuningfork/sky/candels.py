"""The two CANDELS tables of simulated GOODS-S as VizieR gives them: visual classes (Kartaltepe et al. 2015) and photometry (Guo et al. 2013).

Both number the galaxies in their own way and stand in the same frame, which is not quite that of the mosaic. Column names marked in the dictionaries
are from memory of the published tables; they are kept here only, so that a correction is one edit.
"""

import numpy as np
from astropy.coordinates import Angle
from astropy.table import MaskedColumn, Table

from tuningfork import tables
from tuningfork.sky.parameters import SkyParameters
from tuningfork.sky.population import Population
from tuningfork.sky.sextraction import exposure_at, running_numbers
from tuningfork.sky.votes import CANDELS_PANEL, Votes, class_probabilities, draw_ticks, panel_sizes

KARTALTEPE = "J/ApJS/221/11/table3"
GUO = "J/ApJS/207/24/catalog"
AREAS = ("deep", "ers", "wide")
"""Sub-fields from south to north, in the order of `area_rows`."""

KARTALTEPE_COLUMNS: dict[str, tuple[str | None, str, str]] = {
    "recno": (None, "meta.record", "Record number assigned by VizieR"),
    "Depth": (None, "meta.note", "Depth of the image that was classified"),
    "Area": (None, "meta.id", "Sub-field"),
    "ID": (None, "meta.id;meta.main", "Identifier"),
    "RAdeg": ("deg", "pos.eq.ra;meta.main", "Right ascension (J2000)"),
    "DEdeg": ("deg", "pos.eq.dec;meta.main", "Declination (J2000)"),
    "Hmag": ("mag", "phot.mag;em.IR.H", "F160W AB magnitude"),
    "NCl": (None, "meta.number", "Number of classifiers (name from memory)"),
    "ClSph": (None, "stat.fit.param", "Fraction that ticked spheroid"),
    "ClDk": (None, "stat.fit.param", "Fraction that ticked disk"),
    "ClIr": (None, "stat.fit.param", "Fraction that ticked irregular"),
    "ClPS": (None, "stat.fit.param", "Fraction that ticked point source or compact"),
    "ClUn": (None, "stat.fit.param", "Fraction that ticked unclassifiable"),
}
GUO_COLUMNS: dict[str, tuple[str | None, str, str]] = {
    "recno": (None, "meta.record", "Record number assigned by VizieR"),
    "ID": (None, "meta.id;meta.main", "Identifier (another numbering than the visual catalogue's)"),
    "RAJ2000": ('"h:m:s"', "pos.eq.ra;meta.main", "Right ascension (J2000), sexagesimal"),
    "DEJ2000": ('"d:m:s"', "pos.eq.dec;meta.main", "Declination (J2000), sexagesimal"),
    "Q": (None, "meta.code.qual", "Photometry flag (0 = good)"),
    "S/G": (None, "src.class.starGalaxy", "[0,1] SExtractor CLASS_STAR"),
    "F160W": ("uJy", "phot.flux.density;em.IR.H", "F160W flux density (name from memory)"),
    "e_F160W": ("uJy", "stat.error;phot.flux.density", "Its error (name from memory)"),
    "Hmag": ("mag", "phot.mag;em.IR.H", "F160W AB magnitude (name from memory)"),
    "FLUX_RADIUS": ("pix", "phys.angSize", "Half-light radius in pixels of 0.06 arcsec (name from memory)"),
    "KRON_RADIUS": (None, "phys.angSize", "Kron aperture in units of A or B (name from memory)"),
    "A_IMAGE": ("pix", "phys.angSize.smajAxis", "Profile rms along major axis (name from memory)"),
    "B_IMAGE": ("pix", "phys.angSize.sminAxis", "Profile rms along minor axis (name from memory)"),
    "THETA_IMAGE": ("deg", "pos.posAng", "Position angle (name from memory)"),
}
_NORTH_OVERLAP, _SOUTH_OVERLAP = 0.024, 0.003
"""Share of the field where the ERS and wide (deep and ERS) mosaics overlap: 182 and 19 of 7,366 galaxies stand in both lists."""


def area_rows(side: int) -> np.ndarray:
    """Sub-field (index into `AREAS`) of each row of pixels."""
    return np.digitize(np.arange(side), [side / 3, 2 * side / 3])


def kartaltepe(parameters: SkyParameters, population: Population, exposure: np.ndarray) -> tuple[Table, Table, Votes]:
    """Visual classes.

    Returns
    -------
    table : Table
        The published table; galaxies where two sub-fields overlap stand in it twice, each time with votes of its own. A few have no vote at all.
    link : Table
        Row by row: ``object`` (row of the population) and ``object_id`` (GDS_<sub-field>2_<ID>).
    votes : Votes
        The votes behind the fractions.
    """
    rng = parameters.generator("kartaltepe")
    h = population.magnitude("f160w") + rng.normal(0, 0.03, len(population))
    chosen = np.flatnonzero((h < 24.5) & (exposure_at(exposure, population.x, population.y) > 0))
    chosen = chosen[np.argsort(population.y[chosen], kind="stable")]
    numbers = running_numbers(rng, len(chosen), 200, 7.0)
    height = population.y[chosen] / population.side
    area = np.digitize(height, [1 / 3, 2 / 3])
    north, south = np.abs(height - 2 / 3) < _NORTH_OVERLAP / 2, np.abs(height - 1 / 3) < _SOUTH_OVERLAP / 2
    both = np.flatnonzero(north | south)
    other = np.where(north[both], 3 - area[both], 1 - area[both])
    rows = np.concatenate([np.arange(len(chosen)), both])
    area = np.concatenate([area, other])
    order = np.lexsort((numbers[rows], area))
    rows, area = rows[order], area[order]
    object_rows = chosen[rows]
    people = panel_sizes(rng, len(rows), *parameters.classifiers, parameters.many_votes)
    votes = draw_ticks(rng, class_probabilities(population, "f160w", CANDELS_PANEL)[object_rows], people)
    silent = rng.random(len(rows)) < 0.006
    votes.count[silent], votes.fractions[silent] = 0, 0.0
    ra, dec = _positions(rng, parameters, population, object_rows)
    table = Table()
    table["recno"] = np.arange(1, len(rows) + 1)
    table["Depth"], table["Area"] = np.full(len(rows), "2epoch"), np.array(AREAS)[area]
    table["ID"] = numbers[rows]
    table["RAdeg"], table["DEdeg"] = np.round(ra, 6), np.round(dec, 6)
    table["Hmag"] = np.round(h[object_rows], 3)
    table["NCl"] = people
    for index, name in enumerate(("ClSph", "ClDk", "ClIr", "ClPS", "ClUn")):
        table[name] = np.round(votes.fractions[:, index], 3)
    tables.describe(table, KARTALTEPE_COLUMNS)
    table.meta["name"], table.meta["title"] = KARTALTEPE, "Simulated visual classifications (layout of Kartaltepe+, 2015)"
    names = np.array([f"GDS_{AREAS[a]}2_{n}" for a, n in zip(area, numbers[rows], strict=True)])
    return table, Table({"object": object_rows, "object_id": names}), votes


def guo(parameters: SkyParameters, population: Population, exposure: np.ndarray) -> Table:
    """Photometric catalogue of everything down to the limit; sexagesimal positions, fluxes in microjansky, no Petrosian radius."""
    rng = parameters.generator("guo")
    chosen = np.flatnonzero((exposure_at(exposure, population.x, population.y) > 0) & (rng.random(len(population)) < 0.985))
    chosen = chosen[np.argsort(population.x[chosen] + 0.3 * population.y[chosen], kind="stable")]
    number = len(chosen)
    ra, dec = _positions(rng, parameters, population, chosen)
    noise = 0.012
    flux = 10 ** (-0.4 * (population.magnitude("f160w")[chosen] - 23.9)) * np.exp(rng.normal(0.0, 0.03, number)) + rng.normal(0, noise, number)
    radius = np.hypot(population.radius[chosen], 0.0875) / population.scale
    major = 0.85 * radius * np.exp(rng.normal(0, 0.08, number))
    table = Table()
    table["recno"] = np.arange(1, number + 1)
    table["ID"] = running_numbers(rng, number, 0, 1.2)
    table["RAJ2000"] = Angle(ra, "deg").to_string(unit="hourangle", sep=" ", precision=4, pad=True)
    table["DEJ2000"] = Angle(dec, "deg").to_string(unit="deg", sep=" ", precision=3, pad=True, alwayssign=True)
    table["Q"] = rng.choice([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2], number)
    point = population.radius[chosen] < 0.05
    table["S/G"] = np.round(np.where(point, rng.beta(12, 1, number), rng.beta(1, 14, number)), 2)
    table["F160W"], table["e_F160W"] = np.round(flux, 5), np.full(number, noise)
    table["Hmag"] = MaskedColumn(np.round(23.9 - 2.5 * np.log10(np.maximum(flux, 1e-4)), 4), mask=flux <= 1e-4)
    table["FLUX_RADIUS"] = np.round(radius * np.exp(rng.normal(0, 0.06, number)), 3)
    table["KRON_RADIUS"] = np.round(np.clip(rng.normal(3.9, 0.5, number), 3.5, 7), 2)
    table["A_IMAGE"] = np.round(major, 3)
    table["B_IMAGE"] = np.round(major * np.clip(population.q[chosen], 0.25, 0.98), 3)
    table["THETA_IMAGE"] = np.round(np.degrees(population.pa[chosen]), 2)
    tables.describe(table, GUO_COLUMNS)
    table.meta["name"], table.meta["title"] = GUO, "Simulated multi-wavelength catalogue (layout of Guo+, 2013)"
    return table


def _positions(rng: np.random.Generator, parameters: SkyParameters, population: Population, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Published ra, dec in degrees: the mosaic's, moved into the frame of CANDELS, with 0.03 arcsec of scatter a coordinate."""
    ra, dec = population.wcs.all_pix2world(population.x[rows], population.y[rows], 1)
    east, north = (rng.normal(offset, 0.03, len(rows)) / 3600 for offset in parameters.candels_offset_arcsec)
    return ra + east / np.cos(np.radians(dec)), dec + north
