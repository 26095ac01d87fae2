"""The two CANDELS tables of simulated GOODS-S as VizieR gives them: visual classes (Kartaltepe et al. 2015) and photometry (Guo et al. 2013).

Both number the galaxies in their own way and stand in the same frame, which is not quite that of the mosaic. The columns of the visual classes are those
of the CDS description; names of Guo's that are marked are from memory of the published table. All are kept here only, so that a correction is one edit.
"""

import numpy as np
from astropy.coordinates import Angle
from astropy.table import MaskedColumn, Table, vstack

from tuningfork import tables
from tuningfork.sky.parameters import SkyParameters
from tuningfork.sky.population import Population
from tuningfork.sky.sextraction import exposure_at, running_numbers
from tuningfork.sky.votes import CANDELS_PANEL, Votes, class_probabilities, draw_ticks, panel_sizes

KARTALTEPE = "J/ApJS/221/11/table3"
GUO = "J/ApJS/207/24/catalog"
AREAS = ("deep", "ers", "wide")
"""Sub-fields from south to north, in the order of `area_rows`."""

DEPTHS = (2, 4, 10)
"""Epochs of the mosaics that were classified: the whole field at the first depth, the deep sub-field at all three."""

FRACTIONS = ("f(Sph)", "f(Dk)", "f(Ir)", "f(PS)", "f(UnCl)")
"""Published fractions, in the order of `tuningfork.sky.parameters.CLASSES`."""

KARTALTEPE_COLUMNS: dict[str, tuple[str | None, str, str]] = {
    "recno": (None, "meta.record", "Record number assigned by VizieR"),
    "Depth": (None, "meta.number;obs", "[2/10] Depth of the mosaic that was classified, in epochs"),
    "Area": (None, "meta.id.part", "Sub-field (deep, ers or wide)"),
    "ID": (None, "meta.id;meta.main", "Identifier (sub-field, depth, number)"),
    "RAdeg": ("deg", "pos.eq.ra;meta.main", "Right ascension (J2000)"),
    "DEdeg": ("deg", "pos.eq.dec;meta.main", "Declination (J2000)"),
    "Seq": (None, "meta.id.cross", "Number in the photometric catalogue (Guo+, 2013)"),
    "Hmag": ("mag", "phot.mag;em.IR.H", "F160W AB magnitude"),
    "NCl": (None, "meta.number", "Number of people who classified it"),
    "f(Sph)": (None, "stat.value", "Fraction that ticked spheroid"),
    "f(Dk)": (None, "stat.value", "Fraction that ticked disk"),
    "f(Ir)": (None, "stat.value", "Fraction that ticked irregular"),
    "f(PS)": (None, "stat.value", "Fraction that ticked point source or compact"),
    "f(UnCl)": (None, "stat.value", "Fraction that ticked unclassifiable"),
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
_DEEP_PANEL = 5  # at least so many people looked at the deep sub-field
_NORTH_OVERLAP, _SOUTH_OVERLAP = 0.024, 0.003
"""Share of the field where the ERS and wide (deep and ERS) mosaics overlap: 182 and 19 of 7,366 galaxies stand in both lists."""


def area_rows(side: int) -> np.ndarray:
    """Sub-field (index into `AREAS`) of each row of pixels."""
    return np.digitize(np.arange(side), [side / 3, 2 * side / 3])


def kartaltepe(parameters: SkyParameters, population: Population, exposure: np.ndarray, guo_numbers: np.ndarray) -> tuple[Table, Table, Votes]:
    """Visual classes.

    Parameters
    ----------
    exposure : ndarray
        Exposure of the mosaic; what has none was not classified.
    guo_numbers : ndarray of int, shape (n,)
        What `guo` gave.

    Returns
    -------
    table : Table
        The published table: first the classifications of two epochs, then those of the deep sub-field on deeper mosaics. Galaxies where two sub-fields
        overlap stand in it twice at two epochs, each time with votes of its own. A few have no vote at all.
    link : Table
        Row by row of the classifications of two epochs: ``object`` (row of the population), ``object_id`` (GDS_deep2_10000) and ``galaxy_id`` (GDS_10000).
    votes : Votes
        The votes behind those rows' fractions.
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
    names = np.array(AREAS)[area]
    table = Table()
    table["Depth"], table["Area"] = np.full(len(rows), DEPTHS[0]), names
    table["ID"] = [f"{name}{DEPTHS[0]}_{number}" for name, number in zip(names, numbers[rows], strict=True)]
    table["RAdeg"], table["DEdeg"] = np.round(ra, 6), np.round(dec, 6)
    table["Seq"] = MaskedColumn(guo_numbers[object_rows], mask=guo_numbers[object_rows] == 0)
    table["Hmag"] = np.round(h[object_rows], 3)
    table["NCl"] = people
    for name, fraction in zip(FRACTIONS, votes.fractions.T, strict=True):
        table[name] = np.round(fraction, 3)
    deep = np.flatnonzero(area == AREAS.index("deep"))
    deeper = [_deeper(parameters, population, table[deep], object_rows[deep], depth) for depth in DEPTHS[1:]]
    link = Table({"object": object_rows, "object_id": [f"GDS_{name}" for name in table["ID"]], "galaxy_id": [f"GDS_{number}" for number in numbers[rows]]})
    table = vstack([table, *deeper])
    table.add_column(np.arange(1, len(table) + 1), name="recno", index=0)
    tables.describe(table, KARTALTEPE_COLUMNS)
    table.meta["name"], table.meta["title"] = KARTALTEPE, "Simulated visual classifications (layout of Kartaltepe+, 2015)"
    return table, link, votes


def guo(parameters: SkyParameters, population: Population, exposure: np.ndarray) -> tuple[Table, np.ndarray]:
    """Photometric catalogue of everything down to the limit.

    Returns
    -------
    table : Table
        The published table: sexagesimal positions, fluxes in microjansky, no Petrosian radius.
    numbers : ndarray of int, shape (n,)
        For each member of the population its number in the table; 0 if it is not listed.
    """
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
    numbers = np.zeros(len(population), dtype=int)
    numbers[chosen] = table["ID"]
    return table, numbers


def _deeper(parameters: SkyParameters, population: Population, shallow: Table, objects: np.ndarray, depth: int) -> Table:
    """The same galaxies as a new, larger panel saw them on a deeper mosaic. (That mosaic is not rendered: the panel sees no fainter than the first.)"""
    rng = parameters.generator("kartaltepe", str(depth))
    people = panel_sizes(rng, len(objects), *(max(number, _DEEP_PANEL) for number in parameters.classifiers))
    votes = draw_ticks(rng, class_probabilities(population, "f160w", CANDELS_PANEL)[objects], people)
    table = shallow.copy()
    table["Depth"] = np.full(len(table), depth)
    table["ID"] = [name.replace(f"deep{DEPTHS[0]}_", f"deep{depth}_") for name in shallow["ID"]]
    table["NCl"] = people
    for name, fraction in zip(FRACTIONS, votes.fractions.T, strict=True):
        table[name] = np.round(fraction, 3)
    return table


def _positions(rng: np.random.Generator, parameters: SkyParameters, population: Population, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Published ra, dec in degrees: the mosaic's, moved into the frame of CANDELS, with 0.03 arcsec of scatter a coordinate."""
    ra, dec = population.wcs.all_pix2world(population.x[rows], population.y[rows], 1)
    east, north = (rng.normal(offset, 0.03, len(rows)) / 3600 for offset in parameters.candels_offset_arcsec)
    return ra + east / np.cos(np.radians(dec)), dec + north
