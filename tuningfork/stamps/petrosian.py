"""Petrosian radii measured on a mosaic, for thousands of galaxies at once.

The radius is the semi-major axis at which the surface brightness of an elliptical annulus is 0.2 (eta) of the mean within it (Petrosian 1976),
after local sky and with neighbours masked. Each galaxy is resampled to grids that scale with its own radius, found by iteration.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from astropy.table import MaskedColumn, Table
from threadpoolctl import threadpool_limits

from tuningfork.stamps import profiles, wings
from tuningfork.stamps.mosaic import Mosaic, read_windows
from tuningfork.stamps.resample import Resampler, bucket_size
from tuningfork.tables import describe

__all__ = ["Sizes", "measure_array", "measure_sizes"]

OUTER_GRID, OUTER_REACH = 64, 5.0  # grid pixels, and half its side in Petrosian radii: sky and neighbours
INNER_GRID, INNER_REACH = 80, 1.75  # the profile itself
WING_INSIDE = 0.5  # the index of the wing is fitted to annuli outside this fraction of the radius: neither pixels nor the PSF round them
SMOOTHING = 0.2  # a quadratic is fitted through the annuli within this fraction of each radius: the widest that keeps models to half a percent
TRUSTED_ERROR = 0.05  # relative error of the brightness at the radius at which its smoothing relies half on the fitted Sersic profile
_BATCH_BYTES = 24_000_000
_COLUMNS = {
    "petrosian_radius_arcsec": ("arcsec", "phys.angSize", "Petrosian radius (semi-major axis, eta = 0.2) measured on the detection image"),
    "petrosian_flag": (None, "meta.code.qual", "'' measured, floor: not resolved, no_petro: none found, crowded: 70 % of the annulus masked, unobserved"),
    "petrosian_radius_circular_arcsec": ("arcsec", "phys.angSize", "Petrosian radius in circular annuli"),
    "ellipticity": (None, "phys.ellipticity", "1 - b/a"),
    "position_angle_deg": ("deg", "pos.posAng", "position angle of the major axis, east of north"),
    "x_centroid": ("pix", "pos.cartesian.x;instr.det", "centre used, FITS pixel (1-based)"),
    "y_centroid": ("pix", "pos.cartesian.y;instr.det", "centre used, FITS pixel (1-based)"),
    "size_used_arcsec": ("arcsec", "phys.angSize", "radius for the stamp: petrosian_radius_arcsec, or what replaces it"),
}


@dataclass(frozen=True)
class Sizes:
    """Sizes of N galaxies, in pixels: `radius` (NaN where none) and `circular`, axis `ratio`, `angle` (radians from +x), centre, flag, `sky` level."""

    radius: np.ndarray
    circular: np.ndarray
    ratio: np.ndarray
    angle: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flag: np.ndarray
    sky: np.ndarray


@dataclass
class _State:
    """What the iteration knows of each galaxy; arrays of shape (N,)."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    sky: np.ndarray
    ratio: np.ndarray = field(init=False)
    angle: np.ndarray = field(init=False)
    circular: np.ndarray = field(init=False)
    found: np.ndarray = field(init=False)
    share: np.ndarray = field(init=False)
    seen: np.ndarray = field(init=False)
    wing: wings.Wing = field(init=False)
    unsettled: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.x)
        self.ratio, self.angle, self.seen = np.ones(count), np.zeros(count), np.ones(count, dtype=bool)
        self.wing, self.unsettled = wings.no_wing(count), np.zeros(count, dtype=bool)
        self.circular, self.found, self.share = (np.full(count, np.nan) for _ in range(3))


def measure_array(
    image: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    guess: np.ndarray | float = 12.0,
    sky: np.ndarray | float | None = None,
    eta: float = 0.2,
    floor: float = 2.0,
    max_radius: float = 250.0,
    recentre: float = 2.0,
) -> Sizes:
    """Measure galaxies on an image in memory (or mapped).

    Parameters
    ----------
    image : ndarray, shape (H, W)
        NaN is not observed.
    x, y : ndarray, shape (N,)
        Centres, 0-based pixels.
    weight : ndarray, shape (H, W), optional
        Zero is not observed.
    guess : float or ndarray, shape (N,)
        Radius to start from, in pixels; it only decides how many rounds are needed.
    sky : float or ndarray, shape (N,), optional
        A known sky level; measured around each galaxy where not given.
    eta : float
    floor, max_radius : float
        Radii below are flagged ``floor`` and returned as they are; none is searched for above.
    recentre : float
        The centre may move by so many pixels to the centroid of the light.

    Returns
    -------
    Sizes
    """
    x, y = (np.array(v, dtype=np.float64) for v in (x, y))
    local = sky is None
    start = np.clip(np.nan_to_num(np.broadcast_to(np.asarray(guess, dtype=float), x.shape), nan=12.0), 3.0, max_radius)
    state = _State(x.copy(), y.copy(), start.copy(), np.broadcast_to(np.asarray(0.0 if local else sky, dtype=float), x.shape).copy())
    rows, columns = image.shape
    with np.errstate(invalid="ignore"):
        state.seen = (x >= -0.5) & (x < columns - 0.5) & (y >= -0.5) & (y < rows - 0.5)
    active = np.flatnonzero(state.seen)
    for step in range(10):
        if not len(active):
            break
        before = state.radius[active].copy()
        with threadpool_limits(1, user_api="blas"):  # the products are tiny
            _round(image, weight, state, active, x, y, local, eta, recentre if step else 0.0)
        found = state.found[active]
        # no crossing inside the grid: the galaxy is larger than was thought
        state.radius[active] = np.clip(np.where(np.isfinite(found), found, 1.6 * before), 1.5, max_radius)
        change = np.abs(state.radius[active] / before - 1)
        lost = ~np.isfinite(found) & (before >= max_radius)
        active = active[((change > 0.02) | state.unsettled[active]) & ~lost & state.seen[active]] if step else active[state.seen[active]]
    radius = np.where(state.seen, state.found, np.nan)
    flag = np.full(len(x), "", dtype="U10")
    flag[radius < floor] = "floor"
    flag[state.share < 0.3] = "crowded"
    flag[~np.isfinite(radius)] = "no_petro"
    flag[~state.seen] = "unobserved"
    return Sizes(radius, np.where(state.seen, state.circular, np.nan), state.ratio, state.angle, state.x, state.y, flag, state.sky)


def measure_sizes(
    mosaic: Mosaic,
    x_pix: np.ndarray,
    y_pix: np.ndarray,
    *,
    guess_arcsec: np.ndarray | None = None,
    fallback_arcsec: np.ndarray | float | None = None,
    **options: float,
) -> Table:
    """Measure galaxies on a detection mosaic.

    Parameters
    ----------
    mosaic : Mosaic
    x_pix, y_pix : ndarray, shape (N,)
        1-based FITS pixels, NaN or masked where unknown.
    guess_arcsec : ndarray, shape (N,), optional
        Radius to start from.
    fallback_arcsec : float or ndarray, optional
        Size to use where none is measured; the median of those measured, where not given.
    **options
        ``eta``, ``floor``, ``max_radius``, ``recentre`` (pixels) and ``sky`` of `measure_array`.

    Returns
    -------
    astropy.table.Table
        N rows, in order: petrosian_radius_arcsec (masked where there is none), petrosian_flag, petrosian_radius_circular_arcsec, ellipticity,
        position_angle_deg, x_centroid, y_centroid, size_used_arcsec.
    """
    scale = mosaic.pixel_scale_arcsec
    x, y = (np.ma.filled(np.ma.asarray(v).astype(float), np.nan) - 1 for v in (x_pix, y_pix))
    guess = 12.0 if guess_arcsec is None else np.ma.filled(np.ma.asarray(guess_arcsec).astype(float), np.nan) / scale
    sizes = measure_array(mosaic.pixels.array, x, y, weight=None if mosaic.weight is None else mosaic.weight.array, guess=guess, **options)
    arcsec = sizes.radius * scale
    known = np.isfinite(arcsec)
    if fallback_arcsec is None:
        fallback_arcsec = float(np.median(arcsec[known])) if known.any() else np.nan
    used = np.where(known, arcsec, np.ma.filled(np.ma.asarray(fallback_arcsec).astype(float), np.nan))
    shaped = known & np.isfinite(sizes.ratio)
    angle = (np.degrees(sizes.angle) - 90 - mosaic.rotation_deg) % 180
    table = Table(
        {
            "petrosian_radius_arcsec": MaskedColumn(arcsec, mask=~known),
            "petrosian_flag": sizes.flag.astype(str),
            "petrosian_radius_circular_arcsec": MaskedColumn(sizes.circular * scale, mask=~np.isfinite(sizes.circular)),
            "ellipticity": MaskedColumn(1 - sizes.ratio, mask=~shaped),
            "position_angle_deg": MaskedColumn(angle, mask=~(shaped & np.isfinite(angle))),
            "x_centroid": MaskedColumn(sizes.x + 1, mask=~np.isfinite(sizes.x)),
            "y_centroid": MaskedColumn(sizes.y + 1, mask=~np.isfinite(sizes.y)),
            "size_used_arcsec": MaskedColumn(used, mask=~np.isfinite(used)),
        }
    )
    describe(table, _COLUMNS)
    return table


def _round(
    image: np.ndarray, weight: np.ndarray | None, state: _State, rows: np.ndarray, x0: np.ndarray, y0: np.ndarray, local: bool, eta: float, recentre: float
) -> None:
    """One measurement of the galaxies `rows`, on grids made for their present radius; changes `state`."""
    outer, inner = Resampler(OUTER_GRID), Resampler(INNER_GRID)
    for part in _batches(state.radius, rows):
        scale = 2 * OUTER_REACH * state.radius[part] / OUTER_GRID
        wide, wide_good = _sample(image, weight, state, part, OUTER_REACH, outer)
        unit = OUTER_GRID / (2 * OUTER_REACH)  # the radius in grid pixels
        good = wide_good
        sigma = np.zeros(len(part))
        bare, known = wide, wings.Wing(*(v[part] for v in state.wing))
        if local and (known.amplitude > 0).any():
            squared = profiles.elliptical_squared(OUTER_GRID, state.ratio[part], state.angle[part])
            bare = wide - wings.wing_at(known, squared * scale[:, None] ** 2, eta).reshape(wide.shape)
        for _ in range(2 if local else 1):
            level, number, ring_at, sigma = profiles.ring_levels(bare, good, unit)
            if local:
                sky = profiles.ring_sky(level, number, ring_at, sigma, unit, known.amplitude > 0)
                state.sky[part] = np.where(np.isfinite(sky), sky, state.sky[part])
            noise = np.nan_to_num(sigma) / 3
            mask = profiles.neighbour_mask(wide - state.sky[part, None, None].astype(np.float32), wide_good, noise, unit)
            good = wide_good & ~mask
        fine, fine_good = _sample(image, weight, state, part, INNER_REACH, inner)
        fine = fine - state.sky[part, None, None].astype(np.float32)
        unit = INNER_GRID / (2 * INNER_REACH)
        # noise of a square of `smooth` fine pixels: that of one native pixel over the root of its area, where it is larger than one
        native = np.nan_to_num(sigma) * np.maximum(scale, 1)
        smooth = 7
        noise = native / np.maximum(smooth * 2 * INNER_REACH * state.radius[part] / INNER_GRID, 1)
        place = np.floor(((np.arange(INNER_GRID) + 0.5) / INNER_GRID - 0.5) * INNER_REACH / OUTER_REACH * OUTER_GRID + OUTER_GRID / 2).astype(int)
        fine_good = fine_good & ~(mask[:, place][:, :, place] | profiles.neighbour_mask(fine, fine_good, noise, unit, smooth))
        state.seen[part] = fine_good[:, INNER_GRID // 2 - 2 : INNER_GRID // 2 + 2, INNER_GRID // 2 - 2 : INNER_GRID // 2 + 2].any(axis=(1, 2))
        state.ratio[part], state.angle[part] = profiles.shape(fine, fine_good, unit, (state.ratio[part], state.angle[part]))
        to_pixels = state.radius[part] / unit
        crossing_of = partial(profiles.petrosian_crossing, pixel=1 / to_pixels, eta=eta, reach=SMOOTHING, smallest=round(unit / 4))
        intensity, within, share = profiles.radial_profile(fine, fine_good, state.ratio[part], state.angle[part])
        crossing = crossing_of(intensity, within, state.ratio[part])
        radius = np.where(np.isfinite(crossing), crossing, unit) * to_pixels
        at = np.maximum(np.arange(intensity.shape[1]), 1e-3) * to_pixels[:, None]
        error = _annulus_error(intensity, share, at, native, state.ratio[part], radius, INNER_REACH * state.radius[part])
        ring_error = np.where(number > 0, 1.25 * np.nan_to_num(sigma)[:, None] / np.sqrt(np.maximum(number, 1)), np.inf)
        wing, left = wings.fit_wing(
            intensity, error, at, level - state.sky[part, None], ring_error, ring_at * scale[:, None], state.ratio[part], known, radius, eta
        )
        change = np.nan_to_num(left) if local else np.zeros(len(part))
        state.sky[part] += change
        for kept, new in zip(state.wing, wing, strict=True):
            kept[part] = new
        with np.errstate(divide="ignore", invalid="ignore"):
            # error of the smoothed profile at the radius, against its level: noise makes the Sersic profile a guide, little noise does not
            relative = native / np.sqrt(4 * np.pi * SMOOTHING * state.ratio[part]) / radius / wing.amplitude
            state.unsettled[part] = np.abs(change) > (0.003 + 0.3 * relative) * wing.amplitude  # the sky still moves, by more than noise would matter
            trust = np.where(wing.amplitude > 0, relative**2 / (relative**2 + TRUSTED_ERROR**2), 0.0)
        guide = wings.wing_at(wing, at**2, eta).astype(np.float64)
        circular, circular_within, _ = profiles.radial_profile(fine, fine_good, np.ones(len(part)), state.angle[part])
        for name, ratio, annuli, inside in (("circular", np.ones(len(part)), circular, circular_within), ("found", state.ratio[part], intensity, within)):
            annuli, inside = annuli - change[:, None], inside - change[:, None]
            crossing = crossing_of(annuli, inside, ratio, model=guide, trust=trust)
            getattr(state, name)[part] = crossing * to_pixels
        at = np.clip(np.nan_to_num(crossing, nan=0).astype(int), 0, share.shape[1] - 1)
        state.share[part] = share[np.arange(len(part)), at]
        if recentre > 0:
            shift = profiles.centroid(fine, fine_good, unit) * to_pixels
            moved = np.stack([state.x[part] - x0[part], state.y[part] - y0[part]]) + shift
            moved *= np.minimum(1, recentre / np.maximum(np.hypot(*moved), 1e-12))
            state.x[part], state.y[part] = x0[part] + moved[0], y0[part] + moved[1]


def _annulus_error(
    intensity: np.ndarray, share: np.ndarray, at: np.ndarray, native: np.ndarray, ratio: np.ndarray, radius: np.ndarray, reach: np.ndarray
) -> np.ndarray:
    """Errors (B, K) of annuli at semi-major axes `at`, one grid pixel wide, for the fit of a wing: infinite for those that it should not use."""
    width = at[:, 2] - at[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = native[:, None] / np.sqrt(2 * np.pi * at * width[:, None] * ratio[:, None] * share)
    error = np.hypot(noise, 0.5 * intensity / at**2)  # the second: what pixels smear
    error[(at < WING_INSIDE * radius[:, None]) | (at > reach[:, None]) | (share <= 0)] = np.inf
    return error


def _batches(radius: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Galaxies of like size together, so many that their windows fit into a few tens of megabytes."""
    ordered = rows[np.argsort(radius[rows], kind="stable")]
    cost = 4.0 * ((2 * OUTER_REACH * radius[ordered] * 1.2) ** 2 + 12 * INNER_GRID**2)
    return np.split(ordered, np.flatnonzero(np.diff(np.floor(np.cumsum(cost) / _BATCH_BYTES))) + 1)


def _sample(image: np.ndarray, weight: np.ndarray | None, state: _State, rows: np.ndarray, reach: float, resampler: Resampler) -> tuple[np.ndarray, np.ndarray]:
    """The image around each galaxy on the grid of `resampler`, to `reach` radii; and which grid pixels were observed by more than half."""
    side = 2 * reach * state.radius[rows]
    centre = np.stack([state.y[rows], state.x[rows]])
    out = np.empty((len(rows), resampler.pixels, resampler.pixels), dtype=np.float32)
    good = np.empty(out.shape, dtype=bool)
    sizes = bucket_size(side)
    for n in np.unique(sizes):
        same = np.flatnonzero(sizes == n)
        first = np.floor(centre[:, same] - side[same] / 2 + 0.5).astype(np.int64)
        windows = read_windows(image, first[0], first[1], np.empty((len(same), n, n), dtype=np.float32))
        seen = np.isfinite(windows)
        if weight is not None:
            seen &= read_windows(weight, first[0], first[1], np.empty(windows.shape, dtype=np.float32)) > 0
        weights = resampler.weights(centre[:, same] - side[same] / 2 + 0.5 - first, side[same], int(n))
        if seen.all():
            out[same], good[same] = resampler.apply(weights, windows), True
            continue
        covered = resampler.apply(weights, seen.astype(np.float32)).astype(np.float64)
        light = resampler.apply(weights, np.where(seen, windows, 0).astype(np.float32))
        good[same] = covered > 0.5
        out[same] = np.where(good[same], light / np.maximum(covered, 0.5), 0)
    return out, good
