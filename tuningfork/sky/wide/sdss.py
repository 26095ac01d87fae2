"""Galaxies with an SDSS spectrum: mass, star formation and metallicity first, then the light that follows from them.

Gas metallicity follows mass (Tremonti et al. 2004), falls with star formation at fixed mass (Mannucci et al. 2010) and scatters. The light knows it in
three ways, none of which is a function of colour alone: stars of metal-rich gas are redder, their disks hold more dust, which reddens inclined ones only, and
the knots of metal-poor ones glow in [O III].
"""

from dataclasses import dataclass

import numpy as np

from tuningfork.sky.wide.galaxies import Galaxies, parts_of
from tuningfork.sky.wide.parameters import WideParameters

REGION = (128.0, 242.0, 1.0, 31.0)
"""RA and Dec range of the sample, inside SDSS and DECaLS."""

STAR_FORMING, LOW_SN, COMPOSITE, AGN, LINER, UNCLASSIFIED = 1, 2, 3, 4, 5, -1
_CLASS_SHARES = {STAR_FORMING: 0.66, LOW_SN: 0.20, COMPOSITE: 0.06, AGN: 0.03, LINER: 0.03, UNCLASSIFIED: 0.02}

_OUTSIDE = 0.008
"""Fraction whose position SDSS imaging does not reach (a cutout there is answered with 404)."""


@dataclass(frozen=True)
class SpectroscopicSample:
    """Galaxies with physical quantities, arrays of shape (n,): log stellar mass (Msun), log star-formation rate (Msun/yr), 12 + log(O/H), BPT class, light."""

    mass: np.ndarray
    sfr: np.ndarray
    metallicity: np.ndarray
    bpt: np.ndarray
    galaxies: Galaxies
    parts: np.ndarray


def mass_metallicity(mass: np.ndarray) -> np.ndarray:
    """Median 12 + log(O/H) at log stellar mass (Tremonti et al. 2004, equation 3), flat above 11.2."""
    mass = np.clip(mass, 8.0, 11.2)
    return -1.492 + 1.847 * mass - 0.08026 * mass**2


def main_sequence(mass: np.ndarray) -> np.ndarray:
    """Log star-formation rate of typical star-forming galaxies (slope and zero point of Brinchmann et al. 2004, rounded)."""
    return 0.65 * (mass - 10.0) + 0.05


def distance_modulus(redshift: np.ndarray) -> np.ndarray:
    """Flat universe, H0 = 70, matter 0.3, to second order in redshift (good to 0.01 mag below 0.25)."""
    redshift = np.asarray(redshift)
    return 5 * np.log10(299792.458 / 70 * redshift * (1 + 0.775 * redshift) * 1e5)


def draw(parameters: WideParameters, first: int) -> SpectroscopicSample:
    """The sample, its parts numbered from `first`."""
    rng = parameters.generator("sdss", "galaxies")
    number = parameters.sdss_galaxies
    mass, sfr, offset = _physics(rng, number)
    metallicity = mass_metallicity(mass) - 0.16 * np.clip(offset, -1.2, 1.2) * np.interp(mass, [8.5, 10.7], [1.25, 0.35])
    metallicity += rng.normal(0, 1, number) * np.interp(mass, [8.5, 10, 11], [0.12, 0.085, 0.06])
    bpt = rng.choice(list(_CLASS_SHARES), number, p=list(_CLASS_SHARES.values()))
    active = np.isin(bpt, (COMPOSITE, AGN, LINER))
    mass = np.where(active, np.clip(rng.normal(10.7, 0.3, number), 9.8, 11.4), mass)
    galaxies = _light(rng, parameters, mass, offset, metallicity, active)
    return SpectroscopicSample(mass, sfr, metallicity, bpt, galaxies, parts_of(parameters.generator("sdss", "parts"), galaxies, first))


def _physics(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log mass, log star-formation rate and its offset from the main sequence."""
    mass = np.clip(9.95 + 0.55 * rng.standard_normal(number) - 0.18 * rng.exponential(1, number), 8.1, 11.3)
    offset = rng.normal(0, 0.30, number) - np.where(rng.random(number) < 0.14, rng.uniform(0.3, 0.9, number), 0.0)
    return mass, main_sequence(mass) + offset, offset


def _light(rng: np.random.Generator, parameters: WideParameters, mass: np.ndarray, offset: np.ndarray, metallicity: np.ndarray, active: np.ndarray) -> Galaxies:
    number = len(mass)
    excess = metallicity - mass_metallicity(mass)
    young = np.clip(0.52 - 0.17 * (mass - 9.8) + 0.32 * offset + rng.normal(0, 0.09, number) - 0.15 * active, 0.03, 0.98)
    metals = 0.55 * (metallicity - 8.95) + rng.normal(0, 0.04, number)
    dust = 0.38 * 10 ** (1.1 * (metallicity - 8.9)) * rng.lognormal(0, 0.28, number)
    cosine = rng.uniform(0.05, 1.0, number)  # disks have random orientations
    thickness = rng.uniform(0.13, 0.24, number)
    q = np.sqrt(cosine**2 * (1 - thickness**2) + thickness**2)
    bulge = np.clip(0.05 + 0.17 * (mass - 9.3) - 0.12 * offset + 0.45 * excess + rng.normal(0, 0.07, number) + 0.12 * active, 0.0, 0.75)
    absolute = -2.5 * (mass - (0.30 - 0.75 * (young - 0.4))) + 4.65 + 0.4 * dust / np.clip(q, 0.2, 1)
    redshift, r = _distances(rng, absolute)
    kiloparsecs = 10 ** (0.60 + 0.22 * (mass - 10) + rng.normal(0, 0.13, number))
    radius = kiloparsecs / (4.848e-3 * 299792.458 / 70 * redshift * (1 - 0.23 * redshift) / (1 + redshift) + 1e-9)
    low, high, south, north = REGION
    ra = rng.uniform(low, high, number)
    dec = np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(south)), np.sin(np.radians(north)), number)))
    outside = rng.random(number) < _OUTSIDE
    outside[:1] = True  # one at least, so that every sky has it
    dec = np.where(outside, rng.uniform(-9.5, -6.5, number), dec)
    spiral = np.clip(0.25 + 0.32 * (mass - 9.4) + 0.3 * offset + rng.normal(0, 0.15, number), 0, 0.95) * (bulge < 0.6)
    barred = (rng.random(number) < 0.3) & (mass > 9.4)
    return Galaxies(
        ra=ra, dec=dec, redshift=redshift, r=r, radius=np.clip(radius, 1.2, 25.0), q=q, pa=rng.uniform(0, np.pi, number),
        bulge=bulge, bulge_index=rng.uniform(1.5, 4.0, number), bulge_size=rng.uniform(0.16, 0.34, number),
        structure=spiral, arms=rng.choice([2.0, 3.0, 4.0], number, p=[0.6, 0.25, 0.15]), pitch=rng.uniform(0.2, 0.55, number),
        bar=np.where(barred, rng.uniform(0.04, 0.16, number), 0.0), bar_length=rng.uniform(0.4, 0.7, number), bar_turn=rng.uniform(0, np.pi, number),
        clumps=np.clip(0.05 + 0.09 * offset - 0.05 * (mass - 9.8) - 0.12 * excess + rng.normal(0, 0.025, number), 0.0, 0.3),
        young=young, metals=metals, nebula=np.clip(0.18 - 0.55 * (metallicity - 8.75) + 0.12 * offset, 0.0, 0.8) * young,
        dust=dust, lane=np.clip(0.2 + 1.2 * (metallicity - 8.8) + rng.normal(0, 0.15, number), 0, 1),
        merger=np.where(rng.random(number) < 0.03, rng.uniform(0.3, 1.0, number), 0.0),
        disturbed=np.where(rng.random(number) < 0.06, rng.uniform(0.2, 0.8, number), 0.0),
    )  # fmt: skip


def _distances(rng: np.random.Generator, absolute: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Redshift and apparent r of galaxies of an absolute magnitude, spread over the volume in which a survey to r = 17.8 sees them."""
    grid = np.linspace(0.0185, 0.25, 400)
    farthest = np.interp(17.75 - absolute, distance_modulus(grid), grid)
    nearest = np.minimum(0.021, 0.97 * farthest)
    redshift = (nearest**3 + rng.random(len(absolute)) * (farthest**3 - nearest**3)) ** (1 / 3)
    redshift = np.where(rng.random(len(absolute)) < 0.01, rng.uniform(0.012, 0.0195, len(absolute)), redshift)
    return redshift, np.clip(absolute + distance_modulus(redshift), 11.5, 18.4)
