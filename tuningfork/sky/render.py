"""Paint a population: every part once, on a pixel grid, weighted into all bands; then the telescope's PSF over each whole image.

GalSim draws the Sersic profiles. A part is the same picture in every filter but for its flux, so one drawing serves all; the PSF is applied by
one convolution an image instead of one a galaxy.
"""

import galsim
import numpy as np
from scipy.signal import oaconvolve
from scipy.special import gamma as gamma_function
from tqdm import tqdm

from tuningfork.sky.bands import BANDS
from tuningfork.sky.population import ARC, KNOT, SERSIC, SPIRAL, STAR, Population
from tuningfork.sky.psf import PRE_FWHM, kernel

_GSPARAMS = galsim.GSParams(folding_threshold=2e-2, maxk_threshold=5e-3, kvalue_accuracy=1e-3, maximum_fft_size=8192)
_STRIP = 1000
_EDGE = 0.06
"""A drawing ends where the surface brightness is this fraction of the sky noise of a pixel."""


def paint(population: Population, progress: bool = False) -> np.ndarray:
    """The sky above the telescope, in electrons/s a pixel, float32, shape (bands, side, side)."""
    bands = [BANDS[name] for name in population.bands]
    counts = population.part_flux * np.array([band.electrons_per_microjansky for band in bands])
    side, scale = population.side, population.scale
    images = np.zeros((len(bands), side, side), dtype=np.float32)
    noise = np.array([band.sky_sigma(scale) * np.sqrt(np.sum(band.noise_kernel() ** 2)) for band in bands])
    half = _half_sizes(population.parts, counts / noise, scale, side)
    owner = population.parts["owner"]
    x = np.where(owner < 0, population.centre[0], population.x[owner]) - 1 + population.parts["dx"] / scale
    y = np.where(owner < 0, population.centre[1], population.y[owner]) - 1 + population.parts["dy"] / scale
    for row in tqdm(range(len(owner)), desc=f"painting {population.name}", unit="part", disable=not progress, leave=False):
        part, h = population.parts[row], half[row]
        column, line = round(x[row]), round(y[row])
        low_x, high_x, low_y, high_y = max(column - h, 0), min(column + h + 1, side), max(line - h, 0), min(line + h + 1, side)
        if low_x >= high_x or low_y >= high_y:
            continue
        picture = _picture(part, h, x[row] - column, y[row] - line, scale)
        picture = picture[low_y - line + h : high_y - line + h, low_x - column + h : high_x - column + h]
        for index, weight in enumerate(counts[row]):
            images[index, low_y:high_y, low_x:high_x] += np.float32(weight) * picture
    return images


def observe(image: np.ndarray, band: str, scale: float) -> np.ndarray:
    """Convolve one painted image with the PSF of its band (float32, same shape), strip by strip to spare memory."""
    taps = kernel(BANDS[band], scale)
    margin = taps.shape[0] // 2
    blurred = np.empty(image.shape, dtype=np.float32)
    for low in range(0, len(image), _STRIP):
        start, stop = max(low - margin, 0), min(low + _STRIP + margin, len(image))
        strip = oaconvolve(image[start:stop], taps, mode="same")
        blurred[low : low + _STRIP] = strip[low - start : low - start + _STRIP]
    return blurred


def _half_sizes(parts: np.ndarray, counts_over_noise: np.ndarray, scale: float, side: int) -> np.ndarray:
    """Half the side of each drawing in pixels: where a Sersic profile sinks under `_EDGE` of the noise in its brightest band."""
    radius = np.maximum(parts["radius"] / scale, 0.3)
    index = np.clip(parts["n"], 0.5, 6)
    b = 2 * index - 1 / 3 + 0.0099 / index
    area = 2 * np.pi * radius**2 * np.maximum(parts["q"], 0.05)
    at_radius = counts_over_noise.max(axis=1) / (area * index * np.exp(b) * b ** (-2 * index) * gamma_function(2 * index))
    steps = np.log(np.maximum(at_radius / _EDGE, 1e-6)) / b + 1
    reach = radius * np.maximum(steps, 0.5) ** index
    reach = np.select([parts["shape"] == KNOT, parts["shape"] == STAR, parts["shape"] == ARC], [3.5 * radius, 3.0 + 0 * radius, 1.15 * radius], reach)
    return np.clip(np.ceil(reach), 4, int(0.75 * side)).astype(int)


def _picture(part: np.void, half: int, dx: float, dy: float, scale: float) -> np.ndarray:
    """One part with flux 1 (what falls outside the drawing is lost), centred on the middle pixel plus (dx, dy), shape (2 half + 1,) * 2."""
    shape = part["shape"]
    if shape in (SERSIC, SPIRAL):
        picture = _sersic(part, half, dx, dy, scale)
        return _wind(picture, part, half, dx, dy, scale) if shape == SPIRAL and part["amplitude"] > 0 else picture
    line, column = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    u, v = (column - dx) * scale, (line - dy) * scale
    if shape == ARC:
        distance, turn = np.hypot(u, v), np.angle(np.exp(1j * (np.arctan2(v, u) - part["phase"])))
        picture = np.exp(-0.5 * ((distance - part["radius"]) / part["n"]) ** 2 - 0.5 * (turn / part["amplitude"]) ** 2)
    else:
        width = np.sqrt((part["radius"] if shape == KNOT else 0.0) ** 2 + scale**2 / 12 + (PRE_FWHM / 2.355) ** 2)
        picture = np.exp(-0.5 * (u**2 + v**2) / width**2)
    return (picture / picture.sum()).astype(np.float32)


def _sersic(part: np.void, half: int, dx: float, dy: float, scale: float) -> np.ndarray:
    profile = galsim.Sersic(n=float(part["n"]), half_light_radius=1.0, gsparams=_GSPARAMS).dilate(float(max(part["radius"], 0.02)))
    profile = profile.shear(q=float(part["q"]), beta=float(part["pa"]) * galsim.radians)
    smooth = galsim.Convolve(profile, galsim.Gaussian(fwhm=PRE_FWHM, gsparams=_GSPARAMS), gsparams=_GSPARAMS)
    image = galsim.ImageF(2 * half + 1, 2 * half + 1, scale=scale)
    smooth.drawImage(image, offset=(dx, dy))
    return np.maximum(image.array, 0)


def _wind(picture: np.ndarray, part: np.void, half: int, dx: float, dy: float, scale: float) -> np.ndarray:
    """Logarithmic spiral arms: the disk's light redistributed along them, its sum kept."""
    line, column = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    u, v = (column - dx) * scale, (line - dy) * scale
    cosine, sine = np.cos(part["pa"]), np.sin(part["pa"])
    along, across = u * cosine + v * sine, (v * cosine - u * sine) / part["q"]
    distance = np.hypot(along, across) / part["radius"] + 1e-3
    wave = np.cos(part["arms"] * (np.arctan2(across, along) - np.log(distance) / np.tan(part["pitch"])) + part["phase"])
    wave = np.exp(1.6 * (wave - 1))
    strength = part["amplitude"] * np.clip((distance - 0.15) / 0.45, 0, 1)
    wound = picture * (1 - strength + strength * 2.6 * wave)
    return (wound * (picture.sum() / wound.sum())).astype(np.float32)
