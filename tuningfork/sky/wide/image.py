"""Pictures of the sky as a cutout service makes them: any layer, any place, any pixel size, the same light and the same noise in overlapping ones."""

import os
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy import fft
from scipy.spatial import cKDTree

from tuningfork.errors import ArchiveError
from tuningfork.files import read_json
from tuningfork.sky.wide import field, grid
from tuningfork.sky.wide.paint import blur, draw, moffat_reach
from tuningfork.sky.wide.parts import PART, reach
from tuningfork.sky.wide.stretch import colour_picture
from tuningfork.sky.wide.surveys import ALL_BANDS, Layer, layer_at

PARTS = "parts.parquet"
_SCALARS = tuple(name for name in PART.names or () if name != "flux")

_SKY_COUNTS = {"u": 3e2, "g": 6e2, "r": 6e2, "i": 5e2, "z": 3e2, "y": 3e2, "1": 3e2, "2": 2e2}
"""Photons per nanomaggy that reach a detector, for the shot noise of bright objects (order of magnitude; deeper surveys take more of them)."""

_FAINT = 0.01
"""A drawing ends at this fraction of the sky noise of a pixel."""

_BEYOND = 25.0
"""Arcsec around a picture from which light may reach it (targets with wide profiles, from farther)."""


class WideSky:
    """The sky of the wide surveys, ready to be photographed. All methods may be called by several threads at once.

    Parameters
    ----------
    parts : ndarray of `PART`
        The targets; field objects are added everywhere.
    seed : int
        Seed of field, noise and gaps.
    field_objects : bool
        Whether there are field objects (False for measurements in tests and calibrations).
    """

    def __init__(self, parts: np.ndarray, seed: int, *, field_objects: bool = True) -> None:
        self.parts, self.seed, self.field_objects = parts, seed, field_objects

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> "WideSky":
        """The sky in a directory that `tuningfork.sky.wide.build.render_wide` wrote.

        Raises
        ------
        ArchiveError
            If there is no complete one.
        """
        folder = Path(folder)
        if not (folder / "sky.json").is_file() or not (folder / PARTS).is_file():
            raise ArchiveError(f"{folder}: no complete sky of the wide surveys (sky.json and {PARTS}); run render_wide() again")
        return cls(read_parts(folder / PARTS), int(read_json(folder / "sky.json")["parameters"]["seed"]))

    def layer(self, name: str, dec: float) -> Layer:
        """The layer that a name (or an alias, or a merged layer) means at a declination; KeyError if there is none."""
        return layer_at(name, dec)

    def image(
        self,
        layer: str,
        ra: float,
        dec: float,
        *,
        arcsec_per_pixel: float | None = None,
        width: int = 256,
        height: int = 256,
        bands: tuple[str, ...] | None = None,
    ) -> np.ndarray | None:
        """Fluxes around a place, as a TAN image centred on it: north up (rows ascend), east left, reference pixel (N + 1) / 2.

        Parameters
        ----------
        layer : str
            See `tuningfork.sky.wide.surveys.known_layers`.
        ra, dec : float
            Degrees.
        arcsec_per_pixel : float, optional
            Default: the layer's own. Values do not change with it: they are nanomaggies per *native* pixel, interpolated, as the viewer gives them.
        width, height : int
            Pixels.
        bands : tuple of str, optional
            Default: the layer's default ones.

        Returns
        -------
        ndarray, float32, shape (bands, height, width), or None
            In the layer's own calibration (`Layer.calibration`): AB nanomaggies, but for HSC and unWISE. None where no brick of the survey overlaps
            the picture; exact 0.0 where a brick was not observed.
        """
        survey = layer_at(layer, dec)
        asked = survey.default_bands if bands is None else tuple(bands)
        image = self._nanomaggies(survey, ra, dec, arcsec_per_pixel, width, height, asked)
        if image is not None:
            for plane, band in zip(image, asked, strict=True):
                plane *= np.float32(survey.calibration.get(band, 1.0))
        return image

    def _nanomaggies(
        self, survey: Layer, ra: float, dec: float, arcsec_per_pixel: float | None, width: int, height: int, bands: tuple[str, ...]
    ) -> np.ndarray | None:
        scale = survey.pixscale if arcsec_per_pixel is None else float(arcsec_per_pixel)
        finest = min(survey.fwhm[band] for band in bands) / 2.4
        over = max(int(np.ceil(scale / min(finest, 1.5 * survey.pixscale))), 1)
        fine, rows, columns = scale / over, height * over, width * over
        frame = grid.Frame(ra, dec, fine, rows, columns)
        if not _brick_near(survey, frame):
            return None
        result = np.zeros((len(bands), rows, columns), dtype=np.float32)
        outside = None if survey.covers(*frame.corners).all() else ~survey.covers(*frame.positions)
        if outside is None or not outside.all():
            gaps = grid.missing(self.seed, survey.exposures, survey.bands, survey.gaps, frame)
            painted, margin = self._paint(survey, bands, ra, dec, fine, (rows, columns))
            for plane, drawn, band in zip(result, painted, bands, strict=True):
                signal = blur(drawn, survey.fwhm[band], fine)[margin : margin + rows, margin : margin + columns]
                signal *= np.float32((survey.pixscale / fine) ** 2)
                white = grid.noise(self.seed, survey.exposures, band, survey.pixscale, frame)
                sky = np.float32(survey.noise(band))
                shot = np.maximum(signal, 0) / np.float32(_SKY_COUNTS[band] * 10 ** (0.8 * (survey.depth[band] - 22.5)))
                plane[:] = signal + white * np.sqrt(sky**2 + shot)
                if outside is not None:
                    plane[outside] = 0.0
                if band in gaps:
                    plane[gaps[band]] = 0.0
        return result if over == 1 else _averaged(result, over)

    def jpeg(
        self,
        layer: str,
        ra: float,
        dec: float,
        *,
        arcsec_per_pixel: float | None = None,
        width: int = 256,
        height: int = 256,
        bands: tuple[str, ...] | None = None,
    ) -> np.ndarray | None:
        """The picture that the layer's JPEGs show (before compression): uint8, shape (height, width, 3), first row north; None as in `image`."""
        survey = layer_at(layer, dec)
        asked = survey.default_bands if bands is None else tuple(bands)
        image = self._nanomaggies(survey, ra, dec, arcsec_per_pixel, width, height, asked)
        return None if image is None else colour_picture(image, asked, survey.rgb, survey.black)

    def _paint(self, survey: Layer, bands: tuple[str, ...], ra: float, dec: float, scale: float, size: tuple[int, int]) -> tuple[np.ndarray, int]:
        """The sky before the telescope with a margin, for light that the telescope spreads into the picture; and the margin in pixels."""
        parts = self._near(ra, dec, (0.5 * np.hypot(*size) * scale + _BEYOND) / 3600)
        x, y = _project(parts["ra"], parts["dec"], ra, dec, scale)
        x, y = x + (size[1] - 1) / 2, y + (size[0] - 1) / 2
        flux = survey.fluxes(parts["flux"], bands)
        fwhm = max(survey.fwhm[band] for band in bands)
        margin = int(np.ceil(2.6 * fwhm / scale)) + 4
        noise = np.array([survey.noise(band) for band in bands])
        wings = moffat_reach((np.abs(flux) / noise).max(axis=1) * survey.pixscale**2, fwhm) / scale
        outside = np.maximum(np.maximum(-x, x - size[1] + 1), np.maximum(-y, y - size[0] + 1))
        # the transform wraps around: what leaves at one side must not reach the picture from the other
        glaring = (parts["radius"] < fwhm) & (outside < wings)
        margin = max(margin, int(np.ceil(np.maximum(outside + 4, (wings + outside) / 2)[glaring].max(initial=0))))
        shape = (fft.next_fast_len(size[0] + 2 * margin, real=True), fft.next_fast_len(size[1] + 2 * margin, real=True))
        faintest = _FAINT * noise * (scale / survey.pixscale) ** 2
        return draw(parts, flux, x + margin, y + margin, scale, shape, faintest), margin

    def _near(self, ra: float, dec: float, radius_deg: float) -> np.ndarray:
        """Targets whose light may fall into a circle, and the field objects in it and just outside."""
        tree, far = self._tree
        chord = 2 * np.sin(np.radians(min(radius_deg + far.max(initial=0.0), 179)) / 2)
        rows = np.array(sorted(tree.query_ball_point(_vectors(ra, dec), chord)) if len(self.parts) else [], dtype=int)
        near = self.parts[rows]
        if not self.field_objects:
            return near
        return np.concatenate([near, field.around(self.seed, ra, dec, radius_deg)])

    @cached_property
    def _tree(self) -> tuple[cKDTree, np.ndarray]:
        return cKDTree(_vectors(self.parts["ra"], self.parts["dec"]).reshape(-1, 3)), np.minimum(reach(self.parts), 150.0) / 3600


def write_parts(parts: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Write an array of `PART` as Parquet, one column a field and one a band."""
    import pyarrow as pa

    from tuningfork.tables import write_arrow

    columns = {name: parts[name] for name in _SCALARS}
    columns |= {f"flux_{band}": parts["flux"][:, k] for k, band in enumerate(ALL_BANDS)}
    write_arrow(pa.table({name: pa.array(np.ascontiguousarray(values)) for name, values in columns.items()}), path)


def read_parts(path: str | os.PathLike[str]) -> np.ndarray:
    """Read what `write_parts` wrote."""
    table = pq.read_table(path)
    parts = np.zeros(table.num_rows, PART)
    for name in _SCALARS:
        parts[name] = table[name].to_numpy()
    for k, band in enumerate(ALL_BANDS):
        parts["flux"][:, k] = table[f"flux_{band}"].to_numpy()
    return parts


def _vectors(ra: np.ndarray | float, dec: np.ndarray | float) -> np.ndarray:
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _project(ra: np.ndarray, dec: np.ndarray, ra0: float, dec0: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Gnomonic projection (Calabretta and Greisen 2002, TAN) to pixels of `scale` arcsec from the centre: x west, y north."""
    turn, dec, dec0 = np.radians(ra - ra0), np.radians(dec), np.radians(dec0)
    depth = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(turn)
    factor = np.degrees(1 / np.where(depth > 0.01, depth, np.inf)) * 3600 / scale
    return -np.cos(dec) * np.sin(turn) * factor, (np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(turn)) * factor


def _brick_near(survey: Layer, frame: grid.Frame) -> bool:
    """Whether a brick of the survey reaches the picture: bricks stand out over the edge of what was observed, by half a brick here."""
    ra, dec = frame.corners
    step = grid.BRICK_DEG / 2
    return any(survey.covers(ra + east * step / np.cos(np.radians(dec)), dec + north * step).any() for east in (0, -1, 1) for north in (0, -1, 1))


def _averaged(image: np.ndarray, over: int) -> np.ndarray:
    bands, rows, columns = image.shape
    blocks = image.reshape(bands, rows // over, over, columns // over, over)
    mean = blocks.mean(axis=(2, 4), dtype=np.float32)
    mean[(blocks == 0).any(axis=(2, 4))] = 0.0
    return mean
