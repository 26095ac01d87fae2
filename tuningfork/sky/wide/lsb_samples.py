"""Which low-surface-brightness objects there are, and where: those of DES, those of HSC, and the few that both surveys list."""

import numpy as np
from astropy.table import Table
from scipy.stats import rankdata

from tuningfork.sky.wide import lsb, lsb_tables
from tuningfork.sky.wide.parameters import WideParameters

Box = tuple[float, float, float, float]

DES_BOXES: tuple[Box, ...] = ((1.0, 58.0, -58.0, 4.0),)
COMMON: Box = (30.0, 39.0, -6.5, -0.5)
"""Inside both surveys: the XMM-LSS field."""

HSC_BOXES: tuple[Box, ...] = (COMMON, (131.0, 224.0, -2.0, 5.0), (131.0, 224.0, -2.0, 5.0), (237.0, 251.0, 42.3, 45.0))

_SHARED = 0.06


def des(parameters: WideParameters) -> dict[str, lsb.Bodies]:
    """The three classes by label; the first galaxies lie where HSC looked too."""
    made = {}
    for label in (lsb.GALAXY, lsb.REJECTED_BY_EYE, lsb.REJECTED_BY_MACHINE):
        rng = parameters.generator("des", "bodies", label)
        ra, dec = _places(rng, parameters.lsb_galaxies, DES_BOXES)
        if label == lsb.GALAXY:
            both = shared_number(parameters)
            ra[:both], dec[:both] = _places(rng, both, (COMMON,))
        made[label] = lsb.bodies(rng, label, ra, dec)
    return made


def shared_number(parameters: WideParameters) -> int:
    """How many galaxies DES and HSC both list."""
    return min(max(round(_SHARED * parameters.hsc_galaxies), 2), parameters.lsb_galaxies // 2)


def hsc(parameters: WideParameters) -> tuple[lsb.Bodies, lsb.Bodies, int]:
    """Galaxies (those of DES first), artifacts, and how many galaxies are shared with DES."""
    shared = shared_number(parameters)
    rng = parameters.generator("hsc", "bodies")
    own = lsb.bodies(rng, lsb.GALAXY, *_places(rng, parameters.hsc_galaxies - shared, HSC_BOXES), deeper=0.35)
    artifacts = lsb.bodies(rng, lsb.REJECTED_BY_EYE, *_places(rng, parameters.hsc_galaxies, HSC_BOXES), deeper=0.35)
    common = des(parameters)[lsb.GALAXY].take(np.arange(shared))
    joined = {name: np.concatenate([getattr(common, name), getattr(own, name)]) for name in lsb.Bodies.__dataclass_fields__}
    return lsb.Bodies(**joined), artifacts, shared


def truth(found: lsb.Bodies, label: str, ids: np.ndarray) -> Table:
    """What the simulation knows of the objects of one class."""
    origin = np.array(["galaxy", *lsb.ORIGINS])[found.origin + 1]
    return Table(
        {
            "id": np.asarray(ids, dtype=np.int64),
            "label": np.full(len(found), label),
            "origin": origin,
            "ra": found.ra,
            "dec": found.dec,
            "radius": found.radius,
            "mu": found.mu,
        }
    )


def linear_auc(positive: Table, negative: Table) -> float:
    """Area under the ROC curve of a linear discriminant (Fisher 1936) of the catalogue's features, fitted on one half, tested on the other."""
    samples = [lsb_tables.features(table) for table in (positive, negative)]
    fitted, tested = ([values[start::2] for values in samples] for start in (0, 1))
    scatter = sum(np.cov(values, rowvar=False) for values in fitted)
    direction = np.linalg.solve(scatter + 1e-3 * np.diag(np.diag(scatter)), fitted[0].mean(axis=0) - fitted[1].mean(axis=0))
    scores = [values @ direction for values in tested]
    ranks = rankdata(np.concatenate(scores))[: len(scores[0])]
    return round(float((ranks.sum() - len(ranks) * (len(ranks) + 1) / 2) / (len(scores[0]) * len(scores[1]))), 4)


def _places(rng: np.random.Generator, number: int, boxes: tuple[Box, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Uniform on the sphere within boxes that are equally full."""
    west, east, south, north = np.array(boxes)[rng.integers(0, len(boxes), number)].T
    low, high = np.sin(np.radians(south)), np.sin(np.radians(north))
    return rng.uniform(west, east), np.degrees(np.arcsin(rng.uniform(low, high)))
