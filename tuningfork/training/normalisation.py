"""Pixel values to network inputs: fitted on the training set once, saved with the model as plain JSON, applied stamp by stamp.

Whatever is applied depends on the stamp and on the fitted numbers alone, never on the other stamps of a batch.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tuningfork.errors import ModelError

__all__ = ["NEEDS_SKY", "apply_normalisation", "fit_normalisation"]

NEEDS_SKY = ("asinh_sky",)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FIXED = ("minmax_published", "unit")


def fit_normalisation(spec: Mapping[str, Any], images: Tensor, sky: Tensor | None = None, sky_sigma: Tensor | None = None) -> dict[str, Any]:
    """Fit a normalisation on stamps of the training set.

    Parameters
    ----------
    spec
        ``name`` and its options, as `recipe.make_recipe` completes them.
    images : Tensor, shape (N, C, H, W)
        Training stamps in the store's own units (a random subset of a few thousand is enough).
    sky, sky_sigma : Tensor, shape (N,)
        Local sky and its standard deviation a pixel, in the units of the images; needed by ``asinh_sky``.

    Returns
    -------
    dict
        JSON-able, what `apply_normalisation` takes and ``model.json`` holds.

    Raises
    ------
    ModelError
        Unknown name, no sky where one is needed, or a set of stamps that all look alike.
    """
    name = spec["name"]
    if name in _FIXED:
        return {"name": name}
    if name == "imagenet":
        if images.shape[1] != 3:
            raise ModelError(f"normalisation imagenet is for three channels; the stamps have {images.shape[1]}: use unit, standard or asinh_sky")
        return {"name": name, "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    if name == "standard":
        values = images.double()
        mean, std = values.mean(dim=(0, 2, 3)), values.std(dim=(0, 2, 3), correction=0)
        if not bool((std > 0).all()):
            raise ModelError("normalisation standard: the training stamps are constant in one channel")
        return {"name": name, "mean": mean.tolist(), "std": std.tolist()}
    if name != "asinh_sky":
        raise ModelError(f"unknown normalisation {name!r}; they are asinh_sky, standard, imagenet, {', '.join(_FIXED)}")
    fitted = {**spec, "low": 0.0, "scale": 1.0}
    stretched = _stretch(images.float(), *_need_sky(sky, sky_sigma, images), spec["softening_sigma"])
    peak = _aperture_peak(stretched, spec["clip_percentile"], spec["aperture_fraction"])
    # the scale is one number for all: the brightness of a galaxy against its sky stays in the input, in about the unit range
    scale = float(_percentile(peak.flatten(), 99.0))
    low = float(_percentile(stretched[: max(1, 2**22 // stretched[0].numel())].flatten(), 0.1))
    if not scale > 0:
        raise ModelError("normalisation asinh_sky: no training stamp has a source above its sky")
    return {**fitted, "low": low / scale, "scale": scale}


def apply_normalisation(fitted: Mapping[str, Any], images: Tensor, sky: Tensor | None = None, sky_sigma: Tensor | None = None) -> Tensor:
    """Normalise a batch on its own device.

    ``asinh_sky``
        asinh((I - sky) / (k sky_sigma)), clipped above at a percentile of the stamp's own central aperture (a circle about the middle with a
        radius of `aperture_fraction` of the side: one Petrosian radius in a stamp of four), so that a bright neighbour outside it neither
        rescales the galaxy nor outshines it; clipped below at a fitted value; divided by one fitted scale.
    ``minmax_published``
        Each image stretched from its minimum to its maximum in 8 bits, then /255, as the published CLASH code did (Perez-Carrasco et al.
        2019): set by the brightest pixel of the stamp, whatever it is. A constant image becomes zero.
    ``unit``
        I / 255.
    ``imagenet``, ``standard``
        (I - mean) / std a channel: of ImageNet after I / 255, or of the training set.

    Parameters
    ----------
    fitted
        What `fit_normalisation` returned.
    images : Tensor, shape (n, C, H, W), any dtype
    sky, sky_sigma : Tensor, shape (n,)

    Returns
    -------
    Tensor, shape (n, C, H, W), float32
    """
    name = fitted["name"]
    images = images.float()
    if name == "asinh_sky":
        stretched = _stretch(images, *_need_sky(sky, sky_sigma, images), fitted["softening_sigma"])
        peak = _aperture_peak(stretched, fitted["clip_percentile"], fitted["aperture_fraction"])
        low = fitted["low"] * fitted["scale"]
        return torch.minimum(stretched, peak[:, :, None, None]).clamp_(min=low).mul_(1 / fitted["scale"])
    if name == "minmax_published":
        flat = images.flatten(1)
        low, high = (bound[:, None, None, None] for bound in (flat.amin(dim=1), flat.amax(dim=1)))
        span = torch.where(high > low, high - low, torch.ones_like(high))
        return ((images - low) * (255 / span) + 0.5).floor_().mul_(1 / 255)
    if name == "unit":
        return images * (1 / 255)
    if name in ("imagenet", "standard"):
        mean, std = (torch.tensor(fitted[key], dtype=torch.float32, device=images.device)[None, :, None, None] for key in ("mean", "std"))
        if mean.shape[1] != images.shape[1]:
            raise ModelError(f"the normalisation was fitted on {mean.shape[1]} channel(s), the stamps have {images.shape[1]}")
        return (images * (1 / 255) - mean) / std if name == "imagenet" else (images - mean) / std
    raise ModelError(f"unknown normalisation {name!r}")


def _need_sky(sky: Tensor | None, sky_sigma: Tensor | None, images: Tensor) -> tuple[Tensor, Tensor]:
    if sky is None or sky_sigma is None:
        raise ModelError("normalisation asinh_sky needs the columns sky and sky_sigma of every stamp; for pictures use unit, imagenet or standard")
    return sky.float().to(images.device), sky_sigma.float().to(images.device)


def _stretch(images: Tensor, sky: Tensor, sky_sigma: Tensor, softening: float) -> Tensor:
    shape = (len(images), 1, 1, 1)
    return ((images - sky.reshape(shape)) / (sky_sigma * softening).reshape(shape)).asinh_()


def _aperture_peak(stretched: Tensor, percentile: float, fraction: float) -> Tensor:
    """(n, C): the percentile of the pixels of the central aperture of every stamp and channel."""
    inside = _aperture(stretched.shape[2], stretched.shape[3], fraction).to(stretched.device)
    return _percentile(stretched.flatten(2)[:, :, inside], percentile)


@lru_cache(maxsize=8)
def _aperture(height: int, width: int, fraction: float) -> Tensor:
    """Flat indices of the pixels within `fraction` of the (shorter) side of the stamp's centre."""
    y = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    radius = max(fraction * min(height, width), 1.0)
    return (y[:, None] ** 2 + x[None, :] ** 2 <= radius**2).flatten().nonzero().squeeze(1)


def _percentile(values: Tensor, percentile: float) -> Tensor:
    """The element nearest to the percentile along the last axis (an order statistic: exact on every device, and cheaper than `torch.quantile`)."""
    count = values.shape[-1]
    from_top = min(max(count - round(percentile / 100 * (count - 1)), 1), count)
    return values.topk(from_top, dim=-1).values[..., -1] if from_top * 4 < count else values.kthvalue(count - from_top + 1, dim=-1).values
