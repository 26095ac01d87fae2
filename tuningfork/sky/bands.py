"""The sixteen CLASH filters: instrument, zero point, resolution, depth and how far drizzling correlates the noise.

Pivot wavelengths and AB zero points are those of the instrument handbooks, the point-spread widths and the depths (five sigma in an aperture
of 0.4 arcsec across) those of Postman et al. 2012, all rounded; the ultraviolet is up to a magnitude shallower here, as poor charge transfer makes it.
"""

from dataclasses import dataclass

import numpy as np

CLASH_SCALE = 0.065
HLF_SCALE = 0.06
AB_ZERO_MICROJANSKY = 23.9


@dataclass(frozen=True)
class Band:
    """One filter: `zero_point` is the AB magnitude of 1 electron/s, `fwhm` arcsec, `depth` AB mag, `drizzle` the outer tap of the noise kernel."""

    name: str
    instrument: str
    pivot: float
    zero_point: float
    fwhm: float
    depth: float
    exposure: float
    drizzle: float

    @property
    def electrons_per_microjansky(self) -> float:
        """Counts in electrons/s of a source of one microjansky."""
        return float(10 ** (0.4 * (self.zero_point - AB_ZERO_MICROJANSKY)))

    @property
    def photflam(self) -> float:
        """Inverse sensitivity in erg/s/cm2/Angstrom per electron/s, from the AB zero point (ACS data handbook, section 5.1)."""
        return float(10 ** (-0.4 * (self.zero_point + 21.10 + 5 * np.log10(self.pivot) - 18.6921)))

    @property
    def column(self) -> str:
        """The filter's name in the Molino catalogue, e.g. ``F160W_WFC3``."""
        return f"{self.name.upper()}_{'ACS' if self.instrument == 'acs' else 'WFC3'}"

    def sky_sigma(self, scale: float) -> float:
        """Noise of the sky in electrons/s for one pixel of `scale` arcsec, free of the correlation (what the weight map says)."""
        pixels = np.pi * 0.2**2 / scale**2
        return float(10 ** (-0.4 * (self.depth - self.zero_point)) / 5 / np.sqrt(pixels))

    def noise_kernel(self) -> np.ndarray:
        """Three taps of sum 1: white noise run through them in x and y has the correlation that drizzling gives."""
        return np.array([self.drizzle, 1 - 2 * self.drizzle, self.drizzle], dtype=np.float32)


_ROWS = (
    ("f225w", "wfc3uvis", 2359, 24.10, 0.080, 25.4, 7300, 0.08),
    ("f275w", "wfc3uvis", 2704, 24.17, 0.080, 25.5, 7500, 0.08),
    ("f336w", "wfc3uvis", 3355, 24.67, 0.080, 25.6, 4800, 0.08),
    ("f390w", "wfc3uvis", 3921, 25.37, 0.080, 26.6, 4800, 0.08),
    ("f435w", "acs", 4328, 25.66, 0.105, 27.2, 4100, 0.10),
    ("f475w", "acs", 4747, 26.06, 0.105, 27.4, 4100, 0.10),
    ("f606w", "acs", 5921, 26.49, 0.105, 27.6, 4000, 0.10),
    ("f625w", "acs", 6311, 25.90, 0.105, 27.2, 4100, 0.10),
    ("f775w", "acs", 7692, 25.66, 0.110, 27.0, 4000, 0.10),
    ("f814w", "acs", 8057, 25.95, 0.110, 27.7, 8000, 0.10),
    ("f850lp", "acs", 9033, 24.86, 0.120, 26.7, 8000, 0.10),
    ("f105w", "wfc3ir", 10552, 26.27, 0.150, 27.3, 2800, 0.18),
    ("f110w", "wfc3ir", 11534, 26.82, 0.155, 27.8, 2500, 0.18),
    ("f125w", "wfc3ir", 12486, 26.23, 0.160, 27.2, 2500, 0.18),
    ("f140w", "wfc3ir", 13923, 26.46, 0.165, 27.4, 2300, 0.18),
    ("f160w", "wfc3ir", 15369, 25.94, 0.175, 27.5, 5000, 0.18),
)
BANDS: dict[str, Band] = {row[0]: Band(*row) for row in _ROWS}
"""All filters by name, blue to red."""
