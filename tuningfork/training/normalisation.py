"""Pixel values to network inputs: fitted on the training set once, saved with the model as plain JSON, applied stamp by stamp.

Whatever is applied depends on the stamp and on the fitted numbers alone, never on the other stamps of a batch.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tuningfork.errors import ModelError

__all__ = ["NEEDS_SKY", "apply_normalisation", "fit_normalisation", "reuse"]

NEEDS_SKY = ("asinh_sky",)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BORDER = 0.1
"""Width of the border that a band's sky and noise are measured on, as a part of the side."""
_FIXED = ("minmax_published", "unit", "raw")


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
    if name == "asinh_scaled":
        return _fit_scaled(spec, images.float())
    if name != "asinh_sky":
        raise ModelError(f"unknown normalisation {name!r}; they are asinh_sky, asinh_scaled, standard, imagenet, {', '.join(_FIXED)}")
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
    ``asinh_scaled``
        asinh((I - sky_b) / (k sigma_b)) a band, with a sky and a noise of the band that were fitted once (the survey's typical border pixels),
        mapped to 0..1 by two more fitted numbers a band and clipped there: the same function for every stamp, so that brightness and colour
        stay in the input, and negative noise pixels lie above zero. For calibrated images of one unit; after a transfer the parent's
        numbers hold (`reuse`), so that two surveys are stretched alike.
    ``minmax_published``
        Each image stretched from its minimum to its maximum in 8 bits, then /255, as the published CLASH code did (Perez-Carrasco et al.
        2019): set by the brightest pixel of the stamp, whatever it is. A constant image becomes zero.
    ``unit``
        I / 255.
    ``raw``
        I, as the published code of Xu et al. 2023 does: the brightest stars then decide the loss.
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
    if name == "asinh_scaled":
        _same_bands(len(fitted["sigma"]), images)
        sky_b, width, low_b, high = (
            torch.tensor(fitted[key], dtype=torch.float32, device=images.device)[None, :, None, None] for key in ("sky", "sigma", "low", "high")
        )
        stretched = ((images - sky_b) / (width * fitted["softening_sigma"])).asinh_()
        return stretched.sub_(low_b).mul_(1 / (high - low_b)).clamp_(0, 1)
    if name == "minmax_published":
        flat = images.flatten(1)
        low, high = (bound[:, None, None, None] for bound in (flat.amin(dim=1), flat.amax(dim=1)))
        span = torch.where(high > low, high - low, torch.ones_like(high))
        return ((images - low) * (255 / span) + 0.5).floor_().mul_(1 / 255)
    if name == "unit":
        return images * (1 / 255)
    if name == "raw":
        return images
    if name in ("imagenet", "standard"):
        mean, std = (torch.tensor(fitted[key], dtype=torch.float32, device=images.device)[None, :, None, None] for key in ("mean", "std"))
        _same_bands(mean.shape[1], images)
        return (images * (1 / 255) - mean) / std if name == "imagenet" else (images - mean) / std
    raise ModelError(f"unknown normalisation {name!r}")


def reuse(spec: Mapping[str, Any], parent: Mapping[str, Any] | None, channels: int) -> dict[str, Any] | None:
    """A parent's fitted normalisation, where this recipe takes it over: the same asinh in every survey that a network sees.

    Returns
    -------
    dict or None
        None where there is no parent, or its normalisation is of another kind, of other numbers or for another number of bands, or the recipe
        says ``inherit: false``.
    """
    if spec["name"] != "asinh_scaled" or not spec.get("inherit") or not parent or parent.get("name") != "asinh_scaled":
        return None
    same = all(parent.get(key) == spec[key] for key in ("softening_sigma", "clip_percentile", "aperture_fraction"))
    return dict(parent) if same and len(parent["sigma"]) == channels else None


def _fit_scaled(spec: Mapping[str, Any], images: Tensor) -> dict[str, Any]:
    """Sky and noise of each band: medians over stamps of the border's median and 1.4826 times its median deviation, then the range."""
    side = images.shape[-1]
    width = max(1, round(BORDER * side))
    edge = torch.ones(images.shape[2:], dtype=torch.bool)
    edge[width:-width, width:-width] = False
    border = images.flatten(2)[:, :, edge.flatten().to(images.device)]
    middle = border.median(dim=2).values
    noise = 1.4826 * (border - middle[:, :, None]).abs().median(dim=2).values
    # a stamp without noise (a part of it was never observed, or a model image) says nothing about the survey's
    noise = torch.where(noise > 0, noise, torch.full_like(noise, torch.nan))
    sky, sigma = middle.median(dim=0).values, noise.nanmedian(dim=0).values
    if not bool((sigma > 0).all()):
        raise ModelError("normalisation asinh_scaled: the borders of the training stamps have no noise in one band; for pictures (JPEG, PNG) use unit")
    stretched = ((images - sky[None, :, None, None]) / (sigma * spec["softening_sigma"])[None, :, None, None]).asinh_()
    peak = _aperture_peak(stretched, spec["clip_percentile"], spec["aperture_fraction"])
    high = _percentile(peak.T.contiguous(), 99.0)
    some = stretched[: max(1, 2**22 // stretched[0].numel())]
    low = _percentile(some.transpose(0, 1).flatten(1).contiguous(), 0.1)
    if not bool((high > low).all()):
        raise ModelError("normalisation asinh_scaled: no training stamp has a source above its sky in one band")
    return {**spec, "sky": sky.tolist(), "sigma": sigma.tolist(), "low": low.tolist(), "high": high.tolist()}


def _same_bands(fitted: int, images: Tensor) -> None:
    if fitted != images.shape[1]:
        raise ModelError(f"the normalisation was fitted on {fitted} channel(s), the stamps have {images.shape[1]}")


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
