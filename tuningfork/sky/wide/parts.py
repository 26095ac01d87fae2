"""What the sky is made of: parts of light, each a Sersic profile, an exponential disk with spiral arms, or a point.

A structured array holds many parts; builders elsewhere fill it, `tuningfork.sky.wide.paint` draws it. Angles are in radians from north through east.
"""

import numpy as np

from tuningfork.sky.wide.surveys import ALL_BANDS

SERSIC, SPIRAL, POINT = range(3)

PART = np.dtype(
    [
        ("owner", "i4"),
        ("shape", "i1"),
        ("ra", "f8"),
        ("dec", "f8"),
        ("n", "f4"),
        ("radius", "f4"),
        ("q", "f4"),
        ("pa", "f4"),
        ("amplitude", "f4"),
        ("arms", "f4"),
        ("pitch", "f4"),
        ("phase", "f4"),
        ("flux", "f4", (len(ALL_BANDS),)),
    ]
)
"""A part: `owner` the object's number; ra, dec degrees; `n` Sersic index; `radius` half-light radius along the major axis, arcsec; `amplitude`, `arms`,
`pitch` and `phase` of the spiral; `flux` nanomaggies in `ALL_BANDS` (negative for dust lanes)."""


def new_parts(
    ra: np.ndarray,
    dec: np.ndarray,
    flux: np.ndarray,
    *,
    owner: np.ndarray | int = -1,
    shape: int = SERSIC,
    east: np.ndarray | float = 0.0,
    north: np.ndarray | float = 0.0,
    **columns: np.ndarray | float,
) -> np.ndarray:
    """Parts at (ra, dec) degrees moved by (east, north) arcsec, with `flux` (n, 8) nanomaggies; other columns by name (n = 1 and q = 1 if not given).

    Returns
    -------
    ndarray of `PART`, shape (n,)
    """
    parts = np.zeros(len(flux), PART)
    parts["owner"], parts["shape"], parts["flux"], parts["n"], parts["q"] = owner, shape, flux, 1.0, 1.0
    parts["dec"] = dec + np.asarray(north) / 3600
    parts["ra"] = (ra + np.asarray(east) / 3600 / np.cos(np.radians(dec))) % 360
    for name, values in columns.items():
        parts[name] = values
    return parts


def offsets(along: np.ndarray, across: np.ndarray, pa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(east, north) of points given along and across an axis at position angle `pa`."""
    return along * np.sin(pa) + across * np.cos(pa), along * np.cos(pa) - across * np.sin(pa)


def reach(parts: np.ndarray, faintest: float = 0.004) -> np.ndarray:
    """Radius in arcsec beyond which a part is fainter than `faintest` nanomaggies/arcsec^2 in every band (60 arcsec at least for none of them), shape (n,)."""
    flux = np.abs(parts["flux"]).max(axis=1)
    radius, index = np.maximum(parts["radius"], 0.3), parts["n"]
    b = np.maximum(2 * index - 1 / 3, 0.6)
    middle = flux * b ** (2 * index) / (2 * np.pi * radius**2 * np.maximum(parts["q"], 0.05))
    far = radius * (np.log(np.maximum(middle / faintest, 1.5)) / b) ** np.maximum(index, 0.5)
    return np.where(parts["shape"] == POINT, 12.0, np.clip(far, 3.0, 6.5 * radius + 3))
