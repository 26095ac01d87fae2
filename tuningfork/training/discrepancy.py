"""How far apart two sets of features are: the maximum mean discrepancy, as paper D aligns two surveys, and the distance of their covariances (CORAL)."""

import torch
from torch import Tensor

__all__ = ["FEWEST", "coral", "mmd"]

FEWEST = 2
"""Rows that a set needs to have a spread."""
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


def coral(first: Tensor, second: Tensor) -> Tensor:
    """Squared Frobenius distance of the covariances of two sets, over 4 F^2: the loss of Deep CORAL (Sun & Saenko 2016, ECCV workshops, eq. 1).

    The covariances are those with n - 1 (their eq. 2 and 3). Means are not compared, and features ten times as large count ten thousand times:
    the published loss is like that.

    Parameters
    ----------
    first : Tensor, shape (n, F)
    second : Tensor, shape (m, F)
        At least two rows each.

    Returns
    -------
    Tensor
        A float32 number, at least 0; taken in float64, since it is a small difference of large sums. Of the (n + m)^2 inner products of rows,
        not of F^2 covariances: batches are smaller than feature vectors.
    """
    rows = torch.cat([(part.double() - part.double().mean(dim=0)) / (len(part) - 1) ** 0.5 for part in (first, second)])
    sign = torch.cat([rows.new_ones(len(first)), -rows.new_ones(len(second))])
    # |A'A - B'B|^2 = |AA'|^2 + |BB'|^2 - 2 |AB'|^2
    squared = sign @ (rows @ rows.T).square() @ sign
    return (squared / (4 * first.shape[1] ** 2)).clamp_min(0).float()
