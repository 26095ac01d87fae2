"""Galaxies of each kind that volunteers tell apart, drawn so that each kind has its own spread of sizes, colours and structure."""

import numpy as np

from tuningfork.sky.wide.galaxies import Galaxies

KINDS = (
    "disturbed",
    "merging",
    "round smooth",
    "in-between round smooth",
    "cigar shaped smooth",
    "barred spiral",
    "unbarred tight spiral",
    "unbarred loose spiral",
    "edge-on without bulge",
    "edge-on with bulge",
)
"""The classes of Galaxy10 DECaLS, in the order of its numbers."""

GALAXY10_COUNTS = np.array([1081, 1853, 2645, 2027, 334, 2043, 1829, 2628, 1423, 1873])
"""Images of each class in the published file (reference/archives.md, 6)."""

DISTURBED, MERGING, ROUND, BETWEEN, CIGAR, BARRED, TIGHT, LOOSE, EDGE, EDGE_BULGE = range(10)


def draw(rng: np.random.Generator, kind: np.ndarray, ra: np.ndarray, dec: np.ndarray, r: np.ndarray, redshift: np.ndarray) -> Galaxies:
    """Galaxies of the given kinds (numbers in `KINDS`), places (degrees), r magnitudes and redshifts."""
    number = len(kind)
    smooth, spiral = (kind >= ROUND) & (kind <= CIGAR), (kind >= BARRED) & (kind <= LOOSE)
    edge, upset = kind >= EDGE, kind <= MERGING
    early = smooth | (upset & (rng.random(number) < 0.3))
    lens = early & (rng.random(number) < np.where(smooth, 0.45, 0.2))  # smooth disks, and what is left of them
    q = np.select(
        [kind == ROUND, kind == BETWEEN, kind == CIGAR, edge, spiral],
        [
            rng.uniform(0.82, 1, number),
            rng.uniform(0.5, 0.8, number),
            rng.uniform(0.27, 0.42, number),
            rng.uniform(0.11, 0.24, number),
            rng.uniform(0.42, 1, number),
        ],
        rng.uniform(0.45, 0.95, number),
    )
    size = np.select([smooth, edge, spiral], [2.5, 6.0, 5.4], 4.2) * 10 ** (-0.12 * (r - 16.4) + rng.normal(0, 0.13, number))
    bulge = np.select(
        [early & ~lens, early, kind == EDGE, kind == EDGE_BULGE, kind == TIGHT, kind == LOOSE, kind == BARRED],
        [np.ones(number), rng.uniform(0.35, 0.6, number), rng.uniform(0.0, 0.03, number), rng.uniform(0.16, 0.36, number), rng.uniform(0.12, 0.38, number),
         rng.uniform(0.02, 0.18, number), rng.uniform(0.06, 0.24, number)],
        rng.uniform(0.05, 0.25, number),
    )  # fmt: skip
    young = np.select([early, kind == EDGE, kind == TIGHT], [rng.beta(1.2, 12, number), rng.beta(3, 3, number), rng.beta(3, 4, number)], rng.beta(4, 3, number))
    strong = rng.random(number) < 0.6
    bar = np.where(kind == BARRED, np.where(strong, rng.uniform(0.14, 0.28, number), rng.uniform(0.05, 0.12, number)), 0.0)
    structure = np.select([spiral, upset & ~early], [rng.uniform(0.5, 1.0, number), rng.uniform(0, 0.5, number)], 0.0)
    pitch = np.select([kind == TIGHT, kind == LOOSE], [rng.uniform(0.16, 0.30, number), rng.uniform(0.36, 0.7, number)], rng.uniform(0.2, 0.5, number))
    index = np.where(early, rng.uniform(2.2, 4.5, number), rng.uniform(1.5, 3.5, number))
    return Galaxies(
        ra=ra, dec=dec, redshift=redshift, r=r, radius=np.maximum(size, 1.0), q=q, pa=rng.uniform(0, np.pi, number),
        bulge=bulge, bulge_index=index, bulge_size=np.where(edge, rng.uniform(0.2, 0.34, number), rng.uniform(0.14, 0.3, number)),
        structure=structure, arms=rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], number, p=[0.06, 0.56, 0.2, 0.12, 0.06]), pitch=pitch,
        bar=bar, bar_length=np.where(strong, rng.uniform(0.45, 0.7, number), rng.uniform(0.3, 0.5, number)), bar_turn=rng.uniform(0, np.pi, number),
        clumps=np.where(early, 0.0, rng.beta(1.5, 16, number) * np.where(kind == LOOSE, 1.5, 1.0)),
        young=young, metals=rng.normal(0, 0.12, number) - 0.06 * (r - 16), nebula=rng.beta(1.2, 6, number) * young,
        dust=np.where(early, 0.03, rng.gamma(2.0, 0.065, number)), lane=np.where(edge, rng.beta(1.2, 1.2, number), 0.0),
        merger=np.where(kind == MERGING, rng.uniform(0.55, 1.0, number), 0.0), disturbed=np.where(kind == DISTURBED, rng.uniform(0.5, 1.0, number), 0.0),
    )  # fmt: skip
