"""Structural similarity of two sets of images: how well an autoencoder gives an image back."""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ssim"]

TAPS = 11
K1, K2 = 0.01, 0.03


def ssim(first: Tensor, second: Tensor, *, sigma: float = 1.5, data_range: float = 1.0) -> Tensor:
    """Mean structural similarity of each pair of images.

    Means, variances and the covariance in a Gaussian window of 11 taps at every place where the window is wholly inside the image, averaged
    over places and channels (Wang et al. 2004, IEEE Trans. Image Process. 13, 600). Xu et al. 2023 take sigma = 10 pixels, nearly a flat
    window; the default is that of Wang et al.

    Parameters
    ----------
    first, second : Tensor, shape (n, C, H, W), float
        At least 11 pixels a side.
    sigma : float
        Of the window, pixels.
    data_range : float
        Span of the pixel values.

    Returns
    -------
    Tensor, shape (n,), float64
        1 where the images are equal.
    """
    first, second = first.double(), second.double()
    channels = first.shape[1]
    offset = torch.arange(TAPS, dtype=torch.float64, device=first.device) - TAPS // 2
    window = torch.exp(-offset.square() / (2 * sigma**2))
    window = window / window.sum()

    def blurred(images: Tensor) -> Tensor:
        down = functional.conv2d(images, window[None, None, :, None].expand(channels, 1, TAPS, 1), groups=channels)
        return functional.conv2d(down, window[None, None, None, :].expand(channels, 1, 1, TAPS), groups=channels)

    mean_1, mean_2 = blurred(first), blurred(second)
    variance_1 = blurred(first.square()) - mean_1.square()
    variance_2 = blurred(second.square()) - mean_2.square()
    covariance = blurred(first * second) - mean_1 * mean_2
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    similarity = (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2) / ((mean_1.square() + mean_2.square() + c1) * (variance_1 + variance_2 + c2))
    return similarity.flatten(1).mean(dim=1)
