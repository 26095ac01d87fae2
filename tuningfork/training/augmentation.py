"""Random transforms of a whole batch at once, on the batch's own device: exact quarter turns and flips, then one affine resampling."""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from tuningfork.training.recipe import Augmentation

__all__ = ["augment", "d4_views", "number_of_views", "random_affine", "shifted_views", "views_of"]

_PADDING = {"nearest": "border", "reflect": "reflection", "zero": "zeros"}


def augment(images: Tensor, recipe: Augmentation, generator: torch.Generator, part: slice | None = None, count: int | None = None) -> Tensor:
    """Transform every image of a batch by its own random draw.

    Parameters
    ----------
    images : Tensor, shape (n, C, H, W), float
    recipe
        What is drawn, see `Augmentation`.
    generator
        A generator on the CPU: the draws are the same whatever device the images are on.
    part, count
        The images are this part of a batch of `count`: the draws are those that they get in the whole batch.

    Returns
    -------
    Tensor, shape (n, C, H, W)
        A new tensor (or `images` itself where the recipe asks for nothing). Quarter turns need H = W.
    """
    count, part = len(images) if count is None else count, slice(None) if part is None else part
    turns = mirrored = None
    if recipe.d4:
        turns = torch.randint(4, (count,), generator=generator)[part]
        mirrored = (torch.randint(2, (count,), generator=generator) * int(recipe.flips))[part]
    if recipe.rotation_deg or recipe.shift_fraction or recipe.zoom_range != (1.0, 1.0):
        theta = random_affine(count, recipe, generator)[part]
        if turns is not None and mirrored is not None:
            theta = _after_turns(theta, turns, mirrored)
        grid = _grid(theta.to(images.device, non_blocking=True), *images.shape[2:])
        return functional.grid_sample(images, grid, mode="bilinear", padding_mode=_PADDING[recipe.fill], align_corners=False)
    if recipe.flips and turns is None:
        across, down = torch.randint(2, (2, count), generator=generator)[:, part]
        turns, mirrored = 2 * down, across ^ down
    return images if turns is None or mirrored is None else _quarter_turns(images, turns, mirrored)


def random_affine(count: int, recipe: Augmentation, generator: torch.Generator) -> Tensor:
    """Draw (count, 2, 3) matrices that map output to input coordinates, as `torch.nn.functional.affine_grid` takes them.

    Rotation, flips, magnification and shift about the centre of the image; the images are square, so a rotation in these coordinates is one
    in pixels. Where `d4` has flipped already, no flip is drawn. The number of draws does not depend on the values of the recipe.
    """
    uniform = torch.rand((4, count), generator=generator, dtype=torch.float64)
    signs = torch.randint(2, (2, count), generator=generator, dtype=torch.float64) * 2 - 1
    angle = (2 * uniform[0] - 1) * math.radians(recipe.rotation_deg)
    low, high = recipe.zoom_range
    scale = 1 / (low + (high - low) * uniform[1])
    shift = (2 * uniform[2:] - 1) * (2 * recipe.shift_fraction)  # the side is 2 in these coordinates
    across, down = signs if recipe.flips and not recipe.d4 else torch.ones_like(signs)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = torch.stack([cos * across, -sin * down, shift[0], sin * across, cos * down, shift[1]], dim=1)
    return rows.reshape(count, 2, 3).float()


def d4_views(images: Tensor) -> Tensor:
    """The eight views of the symmetry group of the square: (n, C, H, H) to (8, n, C, H, H), the image itself first, its turns before their mirror images."""
    turned = [torch.rot90(images, k, (2, 3)) for k in range(4)]
    return torch.stack(turned + [view.flip(3) for view in turned])


def shifted_views(images: Tensor, pixels: int) -> Tensor:
    """The images, and the same moved by whole pixels down, up, right and left: (n, C, H, H) to (5, n, C, H, H); what enters is mirrored at the edge."""
    padded = functional.pad(images, (pixels,) * 4, mode="reflect")
    height, width = images.shape[2:]
    corners = [(pixels, pixels), (0, pixels), (2 * pixels, pixels), (pixels, 0), (pixels, 2 * pixels)]
    return torch.stack([padded[:, :, top : top + height, left : left + width] for top, left in corners])


def views_of(images: Tensor, symmetric: int, shifts_px: int = 0) -> Tensor:
    """What is averaged in a prediction: the first `symmetric` of `d4_views` (1: the image itself), each also shifted where `shifts_px` is not 0.

    (n, C, H, H) to (V, n, C, H, H), V = `symmetric` or five times as many: a set that turns and mirror images map to itself, so that the mean
    does not depend on how the stamp was turned.
    """
    moved = shifted_views(images, shifts_px) if shifts_px else images[None]
    if symmetric == 1:
        return moved
    return d4_views(moved.flatten(0, 1))[:symmetric].unflatten(1, moved.shape[:2]).flatten(0, 1)


def number_of_views(flips: bool) -> int:
    """How many of `d4_views` show the same object: eight, or the first four (the turns) where a mirror image is another one."""
    return 8 if flips else 4


def _grid(theta: Tensor, height: int, width: int) -> Tensor:
    """(n, height, width, 2): what `torch.nn.functional.affine_grid` gives (align_corners=False), three times faster on a CPU.

    The map is separable: a term of the column plus a term of the row.
    """
    x = (torch.arange(width, device=theta.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=theta.device) * 2 + 1) / height - 1
    columns = theta[:, None, :, 0] * x[:, None]
    rows = torch.addcmul(theta[:, None, :, 2], theta[:, None, :, 1], y[:, None])
    return rows[:, :, None, :] + columns[:, None, :, :]


def _quarter_turns(images: Tensor, turns: Tensor, mirrored: Tensor) -> Tensor:
    """Each image turned by so many quarters, then mirrored where asked: one gather, whatever the draws (a GPU is not asked to wait for them)."""
    table = _permutations(*images.shape[2:], images.device)
    chosen = table.index_select(0, (turns + 4 * mirrored).to(images.device, non_blocking=True))
    return images.flatten(2).gather(2, chosen[:, None, :].expand(-1, images.shape[1], -1)).view(images.shape)


@lru_cache(maxsize=8)
def _permutations(height: int, width: int, device: torch.device) -> Tensor:
    """(8, height * width): for each of `d4_views` the pixels of the image in the order in which the view shows them."""
    pixels = torch.arange(height * width).reshape(1, 1, height, width)
    turned = [torch.rot90(pixels, k, (2, 3)) for k in range(4)]
    return torch.stack([view.flatten() for view in turned + [view.flip(3) for view in turned]]).to(device)


def _after_turns(theta: Tensor, turns: Tensor, mirrored: Tensor) -> Tensor:
    """The maps (n, 2, 3) of a resampling and of the exact turn before it in one: turns map the grid of pixels onto itself, so nothing is resampled twice."""
    cos, sin = torch.tensor([1.0, 0.0, -1.0, 0.0])[turns], torch.tensor([0.0, 1.0, 0.0, -1.0])[turns]
    sign = 1.0 - 2.0 * mirrored.float()
    exact = torch.stack([cos * sign, -sin, sin * sign, cos], dim=1).reshape(-1, 2, 2)
    return exact @ theta
