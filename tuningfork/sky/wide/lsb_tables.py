"""The published lists of low-surface-brightness galaxies and artifacts: DES (Tanoglidis et al. 2021), DeepShadows, and HSC (Greco et al. 2018).

Columns as in reference/archives.md, 5, and reference/systems.md, C1; names that were not seen follow the pattern of those that were.
"""

import io

import numpy as np
from astropy.table import Table

from tuningfork import tables
from tuningfork.sky.wide import seds
from tuningfork.sky.wide.lsb import Bodies, brightness
from tuningfork.sky.wide.surveys import DES_DR1

FIRST_ID = 9_900_000_000
"""coadd_object_id from here on: far beyond those of DES, so nothing simulated passes as real."""

BANDS = ("g", "r", "i")
EXTINCTION = {"g": 3.186, "r": 2.140, "i": 1.569}
"""Per E(B-V), of DES (reference/archives.md, 5)."""

_SEEN = (
    ("mag_auto_{b}", "mag_{b}", False),
    ("mag_auto_{b}_corr", "mag_{b}", True),
    ("flux_radius_{b}_asec", "radius_{b}", False),
    ("mu_mean_{b}_se", "mean_{b}", False),
    ("mu_max_{b}_se", "max_{b}", False),
    ("mu_eff_{b}_se", "eff_{b}", False),
)
"""SExtractor's columns of the catalogue, the measurement that is in them, and whether extinction is taken off."""


def measured(rng: np.random.Generator, found: Bodies, ids: np.ndarray) -> Table:
    """What SExtractor finds: shapes, magnitudes, radii and surface brightnesses, with scatter that grows as objects sink into the sky."""
    number = len(found)
    noise = 0.05 + 0.05 * np.clip(found.mu - 24.2, 0, 3)
    common = rng.normal(0, 1, number) * noise
    table = Table({"coadd_object_id": ids, "ra": np.round(found.ra + rng.normal(0, 0.25, number) / 3600, 6)})
    table["dec"] = np.round(found.dec + rng.normal(0, 0.25, number) / 3600, 6)
    table["ell"] = np.clip(1 - found.q + rng.normal(0, 0.05, number), 0.0, 0.9)
    table["theta"] = np.degrees(found.pa) % 180
    table["ebv"] = rng.gamma(3.0, 0.008, number)
    for band in BANDS:
        true = brightness(found, band)
        own = common + rng.normal(0, 0.5, number) * noise
        extinction = EXTINCTION[band] * np.asarray(table["ebv"])
        table[f"mag_{band}"] = true["mag"] + own + extinction
        table[f"radius_{band}"] = found.radius * np.sqrt(found.q) * np.exp(rng.normal(0, 1.2, number) * noise - 0.3 * common)
        for kind, scatter in (("mean", 1.0), ("eff", 1.4), ("max", 2.2)):
            table[f"{kind}_{band}"] = true[kind] + own + rng.normal(0, scatter, number) * noise + extinction
    return table


def catalogue(rng: np.random.Generator, found: Bodies, seen: Table) -> Table:
    """LSBG_catalog_v2: the measurements and a Sersic fit, 45 columns."""
    number = len(found)
    noise = 0.04 + 0.05 * np.clip(found.mu - 24.2, 0, 3)
    table = Table({"coadd_object_id": seen["coadd_object_id"], "ra_se": seen["ra"], "dec_se": seen["dec"]})
    ebv = np.asarray(seen["ebv"])
    for template, column, corrected in _SEEN:
        for band in BANDS:
            table[template.format(b=band)] = np.asarray(seen[column.format(b=band)]) - (EXTINCTION[band] * ebv if corrected else 0)
    table["ell_se"], table["theta_se"] = seen["ell"], seen["theta"]
    table["ra"], table["dec"] = np.round(found.ra + rng.normal(0, 0.1, number) / 3600, 6), np.round(found.dec + rng.normal(0, 0.1, number) / 3600, 6)
    table["n"], table["n_err"] = found.index * np.exp(rng.normal(0, 1.5, number) * noise), 1.5 * noise * found.index
    table["ell"], table["pa"] = np.clip(1 - found.q + rng.normal(0, 0.03, number), 0, 0.9), np.degrees(found.pa) % 180
    stretch = np.exp(rng.normal(0, 1, number) * noise)
    for band in BANDS:
        table[f"r_eff_{band}"] = np.maximum(found.radius * stretch, 2.501)
    light = {band: brightness(found, band) for band in BANDS}
    shift = np.maximum(rng.normal(0, 0.6, number) * noise, 24.2001 - light["g"]["mean"])
    for template, kind in (("mag_{b}", "mag"), ("mu_mean_{b}", "mean"), ("mu_0_{b}", "max")):
        for band in BANDS:
            table[template.format(b=band)] = light[band][kind] + shift
    table["ebv"] = ebv
    for band in BANDS:
        table[f"a_{band}"] = EXTINCTION[band] * ebv
    return _rounded(table)


def artifact_list(rng: np.random.Generator, seen: Table) -> Table:
    """One list of artifacts, 24 columns; 1.5 % of its rows stand in it twice, as in the published ones."""
    number = len(seen)
    table = Table({"coadd_object_id": seen["coadd_object_id"], "ra": seen["ra"], "dec": seen["dec"]})
    size = np.asarray(seen["radius_g"]) / DES_DR1.pixscale * rng.uniform(0.7, 0.9, number)
    table["A_IMAGE"], table["B_IMAGE"], table["THETA_IMAGE"] = size, size * (1 - np.asarray(seen["ell"])), seen["theta"]
    for template, column in (("mag_auto_{b}", "mag_{b}"), ("flux_radius_{b}", "radius_{b}"), ("mu_max_model_{b}", "max_{b}"), ("mu_eff_model_{b}", "eff_{b}"),
                             ("mu_mean_model_{b}", "mean_{b}")):  # fmt: skip
        for band in BANDS:
            scale = 1 / DES_DR1.pixscale if column.startswith("radius") else 1.0
            table[template.format(b=band)] = np.asarray(seen[column.format(b=band)]) * scale
    table["spread_model_i"], table["ebv_sfd98"] = rng.normal(0.03, 0.008, number), seen["ebv"]
    table["flags_gold"] = rng.choice([0, 0, 0, 1, 2], number)
    again = rng.choice(number, max(round(0.015 * number), 1), replace=False)
    rows = np.concatenate([np.arange(number), again])
    return _rounded(table[rng.permutation(rows)])


def comma_separated(table: Table, index: bool = False) -> str:
    """CSV text, as pandas writes it (a nameless first column of row numbers if asked)."""
    out = io.StringIO()
    names = [name if name else "" for name in table.colnames]
    out.write(("," if index else "") + ",".join(names) + "\n")
    columns = [table[name].tolist() for name in table.colnames]
    for k, row in enumerate(zip(*columns, strict=True)):
        out.write((f"{k}," if index else "") + ",".join(repr(value) if isinstance(value, float) else str(value) for value in row) + "\n")
    return out.getvalue()


def split_lists(rng: np.random.Generator, ra: np.ndarray, dec: np.ndarray) -> dict[str, Table]:
    """Positions of training, validation and test without labels; some stand twice, also across lists (reference/systems.md, C1: leakage)."""
    order = rng.permutation(len(ra))
    cuts = np.searchsorted(np.linspace(0, 1, len(ra)), [0.75, 0.875])
    lists = dict(zip(("training", "validation", "test"), np.split(order, cuts), strict=True))
    extra = {"training": 0.014, "validation": 0.032, "test": 0.029}
    made = {}
    for name, rows in lists.items():
        rows = np.concatenate([rows, rng.choice(order, max(round(extra[name] * len(rows)), 1), replace=False)])
        made[name] = Table({"ra": np.round(ra[rows], 6), "dec": np.round(dec[rows], 6)})
    return made


def hsc_catalogue(rng: np.random.Generator, found: Bodies, objects: np.ndarray) -> Table:
    """Greco et al. 2018, table 1: central surface brightness and magnitude in i, colours, size, shape, extinction; 18 columns."""
    number = len(found)
    light = {band: brightness(found, band) for band in BANDS}
    noise = 0.03 + 0.06 * np.clip(found.mu - 24.5, 0, 3)
    colour = 0.5 * noise
    table = Table({"ID": objects, "RAJ2000": np.round(found.ra, 5), "DEJ2000": np.round(found.dec, 5)})
    table["mu0i"], table["e_mu0i"] = np.round(light["i"]["max"] + rng.normal(0, 1, number) * noise * 1.5, 2), np.round(1.5 * noise, 2)
    table["imag"], table["e_imag"] = np.round(light["i"]["mag"] + rng.normal(0, 1, number) * noise, 2), np.round(noise, 2)
    for name, red in (("g-r", "r"), ("g-i", "i")):
        table[name] = np.round(light["g"]["mag"] - light[red]["mag"] + rng.normal(0, 1, number) * colour, 2)
    for name, value, error in (("reff", found.radius, found.radius * noise), ("n", found.index, 1.3 * noise * found.index), ("ell", 1 - found.q, 0.4 * noise)):
        table[name], table[f"e_{name}"] = np.round(np.maximum(value + rng.normal(0, 1, number) * error, 0.0), 2), np.round(np.maximum(error, 0.01), 2)
    ebv = rng.gamma(3.0, 0.006, number)
    for band in BANDS:
        table[f"A{band}"] = np.round(EXTINCTION[band] * ebv, 3)
    tables.describe(table, _GRECO)
    return table


def hsc_artifacts(rng: np.random.Generator, found: Bodies) -> Table:
    """The artifacts of HSC as DeepShadows lists them: 12 columns."""
    number = len(found)
    light = {band: brightness(found, band) for band in BANDS}
    table = Table({"ra": found.ra, "dec": found.dec, "mu_0": light["g"]["max"], "m_tot": light["g"]["mag"], "r_e": found.radius, "n": found.index})
    table["ell"] = 1 - found.q
    table["g-i"], table["g-r"] = light["g"]["mag"] - light["i"]["mag"], light["g"]["mag"] - light["r"]["mag"]
    ebv = rng.gamma(3.0, 0.006, number)
    for band in BANDS:
        table[f"A_{band}"] = EXTINCTION[band] * ebv
    return table


def whitespace_rows(table: Table) -> str:
    """The catalogue as the DeepShadows repository keeps it: 18 columns between blanks, no header."""
    formats = ["{:3d}", "{:.5f}", "{:.5f}", *["{:.2f}"] * 12, *["{:.3f}"] * 3]
    columns = [table[name].tolist() for name in table.colnames]
    return "".join(" " + " ".join(form.format(value) for form, value in zip(formats, row, strict=True)) + " \n" for row in zip(*columns, strict=True))


def features(table: Table) -> np.ndarray:
    """The numbers a classifier without pixels has (reference/systems.md, C1): ellipticity, magnitudes, colours and surface brightnesses, shape (n, 16)."""
    columns = [np.asarray(table["ell"])]
    columns += [np.asarray(table[f"mag_{band}"]) for band in BANDS]
    columns += [np.asarray(table[f"mag_{a}"]) - np.asarray(table[f"mag_{b}"]) for a, b in (("g", "i"), ("g", "r"), ("r", "i"))]
    columns += [np.asarray(table[f"{kind}_{band}"]) for kind in ("mean", "max", "eff") for band in BANDS]
    return np.stack(columns, axis=1)


def _rounded(table: Table) -> Table:
    for name in table.colnames:
        if table[name].dtype.kind == "f" and not name.startswith(("ra", "dec")):
            table[name] = np.round(table[name], 5)
    return table


_GRECO: dict[str, tuple[str | None, str, str]] = {
    "ID": (None, "meta.id;meta.main", "Identifier"),
    "RAJ2000": ("deg", "pos.eq.ra;meta.main", "Right ascension (J2000)"),
    "DEJ2000": ("deg", "pos.eq.dec;meta.main", "Declination (J2000)"),
    "mu0i": ("mag/arcsec2", "phot.mag.sb;em.opt.I", "Central surface brightness, i band"),
    "e_mu0i": ("mag/arcsec2", "stat.error;phot.mag.sb", "Uncertainty in mu0i"),
    "imag": ("mag", "phot.mag;em.opt.I", "Total i magnitude (AB)"),
    "e_imag": ("mag", "stat.error;phot.mag", "Uncertainty in imag"),
    "g-r": ("mag", "phot.color", "Colour g - r"),
    "g-i": ("mag", "phot.color", "Colour g - i"),
    "reff": ("arcsec", "phys.angSize;src", "Effective radius"),
    "e_reff": ("arcsec", "stat.error;phys.angSize", "Uncertainty in reff"),
    "n": (None, "src.morph.param", "Sersic index"),
    "e_n": (None, "stat.error;src.morph.param", "Uncertainty in n"),
    "ell": (None, "src.ellipticity", "Ellipticity"),
    "e_ell": (None, "stat.error;src.ellipticity", "Uncertainty in ell"),
    **{f"A{band}": ("mag", "phys.absorption.gal", f"Extinction in {band}") for band in BANDS},
}


def truth_colours(found: Bodies) -> np.ndarray:
    """g - r of the bodies (mag)."""
    return seds.magnitudes(found.flux[:, 1]) - seds.magnitudes(found.flux[:, 2])
