"""How far apart two sets of features are: the maximum mean discrepancy with several Gaussian kernels, as paper D aligns two surveys."""

import torch
from torch import Tensor

__all__ = ["mmd"]

KERNELS = 5


def mmd(first: Tensor, second: Tensor, *, unbiased: bool = False) -> Tensor:
    """Squared maximum mean discrepancy, summed over five Gaussian kernels.

    The kernels are exp(-d^2 / (h 2^i)), i = 0..4, with h a quarter of the mean squared distance of all different pairs of both sets together
    (no gradient goes through it), so that the scale of the features does not matter. Numbers from the notebooks of Xu et al. 2023 (MNRAS
    526, 6391), read in public source; the estimator is that of Gretton et al. 2012 (JMLR 13, 723), eq. 5 (biased) or 3 (unbiased).

    Parameters
    ----------
    first : Tensor, shape (n, F)
    second : Tensor, shape (m, F)
        At least two rows each, of any scale.
    unbiased : bool
        Leave out the pairs of a row with itself: the mean is then 0 for two samples of one distribution (and single values may be negative).
        As published they are in, which adds about 5 (1/n + 1/m) to every value, less what neighbours are alike.

    Returns
    -------
    Tensor
        A number; 0 for two equal sets (biased), at most 2 * 5.
    """
    count, other = len(first), len(second)
    together = torch.cat([first, second]).float()
    together = together - together.detach().mean(dim=0)  # distances from the Gram matrix lose digits far from the origin
    squares = together.square().sum(dim=1)
    distances = (squares[:, None] + squares[None, :] - 2 * together @ together.T).clamp_min(0)
    distances = distances * (1 - torch.eye(len(together), device=together.device))
    width = distances.detach().sum() / (len(together) * (len(together) - 1)) / 2 ** (KERNELS // 2)
    width = width.clamp_min(torch.finfo(torch.float32).tiny ** 0.5)
    kernel = torch.stack([torch.exp(-distances / (width * 2**i)) for i in range(KERNELS)]).sum(dim=0)
    within_first, within_second, between = kernel[:count, :count], kernel[count:, count:], kernel[:count, count:]
    if unbiased:
        a = (within_first.sum() - within_first.diagonal().sum()) / (count * (count - 1))
        b = (within_second.sum() - within_second.diagonal().sum()) / (other * (other - 1))
    else:
        a, b = within_first.mean(), within_second.mean()
    return a + b - 2 * between.mean()
