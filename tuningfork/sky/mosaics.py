"""What the detector and the drizzling make of a painted image: depth, chip edges, sky left over, correlated noise, headers."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from tuningfork.sky.bands import BANDS, Band

_STRIP = 500

_SIP = {"A_ORDER": 2, "A_2_0": 8.5e-06, "A_1_1": -5.2e-06, "A_0_2": 2.2e-06, "B_ORDER": 2, "B_2_0": -1.8e-06, "B_1_1": 6.2e-06, "B_0_2": -7.2e-06}
"""Distortion that the pipeline forgot to remove from the headers of drizzled (distortion-free) ACS mosaics, as it does in the real ones."""


def cluster_exposure(rng: np.random.Generator, band: Band, side: int, roll: float) -> np.ndarray:
    """Relative exposure of a cluster mosaic (1 = full depth, 0 = unobserved), float32, shape (side, side).

    A rolled square footprint whose corners leave the mosaic; half of the visits roll 15 degrees further; UVIS has a thin chip gap.
    """
    line, column = (np.mgrid[0:side, 0:side].astype(np.float32) - (side - 1) / 2) / side
    exposure = np.zeros((side, side), dtype=np.float32)
    reach = {"wfc3ir": 0.53, "acs": 0.55, "wfc3uvis": 0.54}[band.instrument]
    for angle in (roll, roll + np.copysign(np.radians(15), roll)):
        along, across = column * np.cos(angle) + line * np.sin(angle), line * np.cos(angle) - column * np.sin(angle)
        visit = ((np.abs(along) < reach) & (np.abs(across) < reach)).astype(np.float32)
        if band.instrument == "wfc3uvis":
            visit[np.abs(across - 0.17) < 0.008] = 0
        exposure += 0.5 * visit
    return exposure * np.float32(rng.uniform(0.93, 1.07))


def goodss_exposure(side: int, areas: np.ndarray) -> np.ndarray:
    """Relative exposure of GOODS-S by sub-field (`areas`: shape (side,), the field of each row), with a cut corner and a ragged edge."""
    depth = np.array([1.9, 1.25, 0.8], dtype=np.float32)[areas]
    column = np.arange(side, dtype=np.float32)[None, :] / side
    line = column.T
    exposure = np.broadcast_to(depth[:, None], (side, side)).copy()
    exposure[column + line < 0.055] = 0
    exposure[column > 0.992 + 0.004 * np.sign(np.sin(line * 60))] = 0
    return exposure


def expose(rng: np.random.Generator, signal: np.ndarray, exposure: np.ndarray, band: Band, scale: float, blank: float) -> tuple[np.ndarray, np.ndarray]:
    """Science and weight image.

    Parameters
    ----------
    signal : ndarray, shape (ny, nx)
        Electrons/s after the PSF; overwritten.
    exposure : ndarray
        Relative exposure; where it is 0 the science pixel is `blank` (0 or NaN) and the weight 0.

    Returns
    -------
    science, weight : ndarray of float32
        The weight is the inverse variance of the sky noise before drizzling correlated it, as in the archive: the scatter of the pixels is
        smaller than ``1/sqrt(weight)``, that of large apertures is not. Photon noise of the sources is in the pixels, not in the weight.
    """
    sigma = band.sky_sigma(scale)
    weight = exposure / np.float32(sigma**2)
    white = np.empty_like(signal)
    for low in range(0, len(signal), _STRIP):
        rows = slice(low, low + _STRIP)
        safe = np.where(exposure[rows] > 0, exposure[rows], np.float32(1))
        rng.standard_normal(out=white[rows], dtype=np.float32)
        white[rows] *= np.sqrt(np.float32(sigma**2) / safe + np.maximum(signal[rows], 0) / (np.float32(band.exposure) * safe))
    signal += _correlate(white, band.noise_kernel())
    signal += _residual_sky(rng, signal.shape, np.float32(sigma))
    if band.instrument != "wfc3ir":
        struck = rng.integers(0, signal.size, int(12e-6 * signal.size))
        signal.reshape(-1)[struck] += rng.exponential(12 * sigma, len(struck)).astype(np.float32)
    signal[exposure <= 0] = blank
    return signal, weight


def write_image(path: Path, data: np.ndarray, wcs: WCS, band: Band, *, target: str, kind: str, exposure: float, detection: bool = False) -> None:
    """Write one plane as a primary HDU with the header of a drizzle product (`kind`: ``drz``, ``sci`` or ``wht``). The bytes hold no date."""
    header = fits.Header()
    header["TELESCOP"] = "HST"
    header["INSTRUME"] = "ACS" if band.instrument == "acs" else "WFC3"
    header["DETECTOR"] = {"acs": "WFC", "wfc3ir": "IR", "wfc3uvis": "UVIS"}[band.instrument]
    header["FILTER"] = "TOTAL" if detection else band.name.upper()
    header["TARGNAME"] = (target, "fictitious: simulated by tuningfork")
    header["EXPTIME"] = exposure
    if kind == "wht":
        header["BUNIT"] = ("UNITLESS", "inverse variance, (electrons/s)**-2")
    else:
        header["BUNIT"] = "ELECTRONS/S"
        header["PHOTFLAM"] = (band.photflam, "erg/s/cm2/A per electron/s")
        header["PHOTPLAM"] = (band.pivot, "pivot wavelength in Angstrom")
        header["PHOTZPT"] = (-21.1, "ST magnitude zero point")
    for card in wcs.to_header().cards:
        if not card.keyword.startswith(("PC", "CDELT", "DATE", "MJD", "CRPIX", "LATPOLE", "LONPOLE", "WCSAXES")):
            header[card.keyword] = (card.value, card.comment)
    header["CRPIX1"], header["CRPIX2"] = wcs.wcs.crpix
    (header["CD1_1"], header["CD1_2"]), (header["CD2_1"], header["CD2_2"]) = wcs.wcs.cd
    header["EQUINOX"] = 2000.0
    if band.instrument == "acs":
        header.update(_SIP)
    header["NDRIZIM"] = 8
    header["ORIGIN"] = "tuningfork simulated sky"
    header["SIMULATE"] = (True, "not an observation")
    header["HISTORY"] = "Simulated with GalSim by tuningfork; no photon of this image left a galaxy."
    fits.PrimaryHDU(np.asarray(data, dtype=">f4"), header).writeto(path, overwrite=True, output_verify="exception")


def combine(planes: list[tuple[np.ndarray, np.ndarray, Band]], reference: Band) -> tuple[np.ndarray, np.ndarray]:
    """The detection image: mean of the planes (science, weight, band) by inverse variance, in electrons/s of `reference`."""
    total = np.zeros(planes[0][0].shape, dtype=np.float32)
    weights = np.zeros_like(total)
    for science, weight, band in planes:
        factor = np.float32(reference.electrons_per_microjansky / band.electrons_per_microjansky)
        share = weight / factor**2
        total += share * np.where(share > 0, science, 0) * factor
        weights += share
    return np.where(weights > 0, total / np.where(weights > 0, weights, 1), 0).astype(np.float32), weights


def detection_reference() -> Band:
    """The filter in whose counts detection images are written."""
    return BANDS["f160w"]


def _correlate(white: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Separable three-tap smoothing with wrapped edges."""
    for axis in (0, 1):
        smooth = taps[1] * white
        smooth += taps[0] * np.roll(white, 1, axis)
        smooth += taps[2] * np.roll(white, -1, axis)
        white = smooth
    return white


def _residual_sky(rng: np.random.Generator, shape: tuple[int, ...], sigma: np.float32) -> np.ndarray:
    """What sky subtraction left: a level, a slope and a wave of some per cent of the pixel noise."""
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
    level, slope_x, slope_y, wave = (sigma * np.float32(value) for value in rng.normal(0, [0.04, 0.03, 0.03, 0.02]))
    phase = np.float32(rng.uniform(0, 6.28))
    return (level + slope_x * x + wave * np.sin(5 * x + phase))[None, :] + (slope_y * y)[:, None]
