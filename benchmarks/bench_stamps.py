"""Stamps per second from a FITS mosaic to 80 x 80, against astropy and reproject on the same objects, and against a plain memory copy.

Run with ``python benchmarks/bench_stamps.py``; one thread. The peers run on a part of the objects (a line says how many).
"""

import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from reproject import reproject_exact, reproject_interp
from threadpoolctl import threadpool_limits

from tuningfork.stamps.cut import cut_stamps
from tuningfork.stamps.mosaic import Mosaic

PIXELS = 80
SCALE = 0.065  # arcsec, CLASH


def make_mosaic(path: Path, size: int, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Write a field of exponential discs in noise; return the objects, sized 4 R_petro as in a CLASH catalogue (median 55 pixels)."""
    image = rng.normal(0, 1e-3, (size, size)).astype(np.float32)
    side = np.clip(rng.lognormal(np.log(55), 0.45, count), 12, 240)
    x, y = rng.uniform(140, size - 140, (2, count))
    for xc, yc, s in zip(x, y, side, strict=True):
        h, re = int(s / 2) + 1, s / 8.6
        iy, ix = int(yc), int(xc)
        grid_y, grid_x = np.mgrid[iy - h : iy + h + 1, ix - h : ix + h + 1]
        image[iy - h : iy + h + 1, ix - h : ix + h + 1] += 0.2 * np.exp(-1.678 * np.hypot(grid_y - yc, grid_x - xc) / re)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [322.36, -7.69], [size / 2, size / 2]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    header = wcs.to_header()
    header["PHOTFLAM"], header["PHOTPLAM"] = 1.9e-20, 15369.0
    fits.PrimaryHDU(image, header).writeto(path)
    return {"object_id": np.array([f"o{i}" for i in range(count)]), "x_pix": x + 1, "y_pix": y + 1, "stamp_arcsec": side * SCALE}


def peer(mosaic: Mosaic, image: np.ndarray, objects: dict[str, np.ndarray], function: Callable) -> np.ndarray:
    """`Cutout2D` at sky positions, then `function` to 80 x 80, as one would write it with astropy alone."""
    ra, dec = mosaic.wcs.wcs_pix2world(objects["x_pix"] - 1, objects["y_pix"] - 1, 0)
    out = np.zeros((len(ra), PIXELS, PIXELS), np.float32)
    for i in range(len(ra)):
        side = objects["stamp_arcsec"][i]
        cutout = Cutout2D(image, SkyCoord(ra[i], dec[i], unit="deg"), int(np.ceil(side / mosaic.pixel_scale_arcsec)) + 4, wcs=mosaic.wcs)
        target, zoom = mosaic.wcs.deepcopy(), PIXELS * mosaic.pixel_scale_arcsec / side
        # the same projection at another scale: a target with its own tangent point is a slightly turned square, with other light at its edges
        corner = np.array([objects["x_pix"][i], objects["y_pix"][i]]) - PIXELS / zoom / 2
        target.wcs.crpix = (mosaic.wcs.wcs.crpix - corner) * zoom + 0.5
        target.wcs.cdelt = mosaic.wcs.wcs.cdelt / zoom
        out[i] = function((cutout.data, cutout.wcs), target, shape_out=(PIXELS, PIXELS), return_footprint=False)
    return out


def timed(function: Callable, repeats: int = 1) -> tuple[float, object]:
    """Shortest wall time of `repeats` calls, and the result of the last."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def main(count: int = 6000, size: int = 5000, n_interp: int = 200, n_exact: int = 30) -> dict[str, float]:
    """Print the comparison; returns the rates (stamps a second) and the largest flux error."""
    warnings.simplefilter("ignore")
    threadpool_limits(1)
    rng = np.random.default_rng(20190701)
    with tempfile.TemporaryDirectory() as folder:
        objects = make_mosaic(Path(folder) / "mosaic.fits", size, count, rng)
        mosaic = Mosaic(Path(folder) / "mosaic.fits")
        cut_stamps({k: v[:500] for k, v in objects.items()}, mosaic, pixels=PIXELS)  # touch the code once
        seconds, shard = timed(lambda: cut_stamps(objects, mosaic, pixels=PIXELS), repeats=3)
        source = shard.pixels.copy()
        target = np.empty_like(source)
        copying, _ = timed(lambda: np.copyto(target, source), repeats=5)
        image = fits.getdata(Path(folder) / "mosaic.fits", memmap=True)
        few, fewer = ({k: v[:n] for k, v in objects.items()} for n in (n_interp, n_exact))
        interp, _ = timed(lambda: peer(mosaic, image, few, reproject_interp))
        exact, reference = timed(lambda: peer(mosaic, image, fewer, lambda *a, **k: reproject_exact(*a, parallel=False, **k)))
    rates = {"tuningfork": count / seconds, "interp": n_interp / interp, "exact": n_exact / exact, "copy": count / copying}
    flux = reference.sum(axis=(1, 2)) * mosaic.to_microjansky / mosaic.pixel_scale_arcsec**2
    rates["flux_error"] = float(np.abs(shard.pixels[:n_exact, 0].sum(axis=(1, 2), dtype=float) / flux - 1).max())
    print(f"stamps from a {size} x {size} FITS mosaic to {PIXELS} x {PIXELS}, one thread ({(shard.status == 'ok').sum()} of {count} ok)")
    ours = rates["tuningfork"]
    print(f"  tuningfork cut_stamps (with sky, noise, S/N, neighbours) {ours:10.0f} /s")
    for name, label, n, wanted in (("interp", "reproject_interp", n_interp, 40), ("exact", "reproject_exact", n_exact, 300)):
        print(f"  Cutout2D + {label:16s} ({n:4d} stamps)           {rates[name]:10.1f} /s   ours is {ours / rates[name]:6.0f} times faster (wanted {wanted})")
    print(f"  memory copy of the same output bytes                     {rates['copy']:10.0f} /s   ours takes {rates['copy'] / ours:6.1f} times as long")
    print(f"  flux against reproject_exact: largest relative difference {rates['flux_error']:.1e} (wanted < 1e-5)")
    return rates


if __name__ == "__main__":
    main()
