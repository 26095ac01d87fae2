"""Galaxy-VAE: a variational autoencoder whose latents describe the shape of a galaxy.

Xu et al. 2023, MNRAS 526, 6391 (arXiv:2303.08627).
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuningfork.errors import ModelError
from tuningfork.networks.layers import check_count
from tuningfork.networks.registry import register

__all__ = ["GalaxyVae", "VaeOutput"]

NAME = "galaxy-vae"
CHANNELS = (32, 64, 128)
OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {"linear": lambda x: x, "softplus": functional.softplus, "relu": functional.relu}
UPSAMPLINGS = ("transposed", "bilinear")
REDUCTION = 64
"""Each of the three blocks of the encoder divides the side by 4."""


class VaeOutput(NamedTuple):
    """What the network gives for a batch."""

    reconstruction: Tensor
    mu: Tensor
    logvar: Tensor


def unpooled(x: Tensor, indices: Tensor) -> Tensor:
    """Twice the size, every value where the pooling found it: (N, C, h, w) to (N, C, 2h, 2w).

    As `torch.nn.functional.max_unpool2d`, which refuses to run where algorithms must be deterministic; windows that do not overlap have
    indices that are all different, so nothing is written twice.
    """
    count, channels, height, width = x.shape
    empty = x.new_zeros((count, channels, 4 * height * width))
    return empty.scatter(2, indices.flatten(2), x.flatten(2)).unflatten(2, (2 * height, 2 * width))


class EncoderBlock(nn.Module):
    """Convolution 3x3 with stride 2, maximum pooling, leaky ReLU; gives the maps and the pooling's indices."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, in, 4h, 4w) to maps and indices (N, out, h, w)."""
        x, indices = functional.max_pool2d(self.conv(x), 2, return_indices=True)
        return functional.leaky_relu(x, 0.01), indices


class DecoderBlock(nn.Module):
    """Four times the side, in two steps of two; the first by the encoder's indices where there are any.

    Transposed, as published: nearest neighbour, then a transposed convolution with stride 2, whose odd and even pixels are made of different
    numbers of weights. Else bilinear, a convolution, and bilinear again: as many weights, and no such grid to unlearn.
    """

    def __init__(self, in_channels: int, out_channels: int, *, transposed: bool) -> None:
        super().__init__()
        self.transposed = transposed
        self.conv: nn.Module
        if transposed:
            self.conv = nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
        else:
            self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, indices: Tensor | None) -> Tensor:
        """(N, in, h, w) to (N, out, 4h, 4w)."""
        if indices is not None:
            x = unpooled(x, indices)
        elif self.transposed:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
        else:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = functional.leaky_relu(self.conv(x), 0.01)
        return x if self.transposed else functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class GalaxyVae(nn.Module):
    """Encoder, latent Gaussian and decoder: 443,507 trainable parameters at 40 latents, 812,267 at 100 (3 x 256 x 256 images).

    Parameters
    ----------
    in_channels, image_size : int
        As published: 3 and 256. The side must be a multiple of 64.
    latent : int
        Dimensions of the latent space.
    unpool : bool
        Undo the poolings with the encoder's own indices, as the published notebooks on domain adaptation do. The indices carry where the light
        is past the latents, and `decode` then needs those of an earlier `encode`.
    output : {'linear', 'softplus', 'relu'}
        What the last convolution goes through. ``relu`` as published: it cannot give the negative pixels of sky-subtracted noise, and has no
        gradient where it gives nothing. ``linear`` can, ``softplus`` stays above 0 with a gradient.

    upsampling : {'transposed', 'bilinear'}
        How the decoder grows: as published, or smoothly, which learns in a fraction of the steps (see `DecoderBlock`).

    Raises
    ------
    ModelError
        A side that is no multiple of 64, a count that makes no sense, or an unknown output or upsampling.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        image_size: int = 256,
        latent: int = 40,
        unpool: bool = False,
        output: str = "linear",
        upsampling: str = "transposed",
    ) -> None:
        super().__init__()
        check_count(NAME, in_channels=in_channels, image_size=image_size, latent=latent)
        if image_size % REDUCTION:
            raise ModelError(f"network '{NAME}' needs images of at least {REDUCTION} pixels a side and a multiple of it; image_size is {image_size}")
        for option, value, valid in (("output", output, tuple(OUTPUTS)), ("upsampling", upsampling, UPSAMPLINGS)):
            if value not in valid:
                raise ModelError(f"network '{NAME}': {option} {value!r} is not one of {', '.join(valid)}")
        self.name, self.in_channels, self.image_size, self.latent, self.unpool, self.output = NAME, in_channels, image_size, latent, unpool, output
        self.side = image_size // REDUCTION
        flat = CHANNELS[-1] * self.side**2
        self.encoder = nn.ModuleList(EncoderBlock(a, b) for a, b in itertools.pairwise((in_channels, *CHANNELS)))
        self.mu = nn.Linear(flat, latent)
        self.logvar = nn.Linear(flat, latent)
        self.expand = nn.Linear(latent, flat)
        back = (*CHANNELS[::-1], CHANNELS[0])
        self.decoder = nn.ModuleList(DecoderBlock(a, b, transposed=upsampling == "transposed") for a, b in itertools.pairwise(back))
        self.last = nn.Conv2d(CHANNELS[0], in_channels, 3, padding=1)

    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to the encoder's last maps (N, 128, H/64, W/64)."""
        return self._encode(images)[0]

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) to the mean and log variance of their latents, (N, latent) each."""
        flat = self._encode(images)[0].flatten(1)
        return self.mu(flat), self.logvar(flat)

    def encode_with_indices(self, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """As `encode`, and the indices of the three poolings that `decode` needs where `unpool` is set."""
        maps, indices = self._encode(images)
        flat = maps.flatten(1)
        return self.mu(flat), self.logvar(flat), indices

    def decode(self, z: Tensor, indices: list[Tensor] | None = None) -> Tensor:
        """Latents (N, latent) to images (N, C, H, W); not negative where `output` is relu or softplus.

        Raises
        ------
        ModelError
            The network was built with `unpool` and no indices are given, or the other way round.
        """
        if self.unpool != (indices is not None):
            wants = "needs the indices of encode_with_indices (unpool: true)" if self.unpool else "takes no indices (unpool: false)"
            raise ModelError(f"network '{NAME}': decode {wants}")
        x = self.expand(z).unflatten(1, (CHANNELS[-1], self.side, self.side))
        steps: list[Tensor | None] = [None] * len(CHANNELS) if indices is None else list(indices[::-1])
        for block, step in zip(self.decoder, steps, strict=True):
            x = block(x, step)
        return OUTPUTS[self.output](self.last(x))

    def draw(self, mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw of the latents, mu + exp(logvar / 2) * noise; the noise from `generator` where one is given."""
        noise = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
        return mu + torch.exp(0.5 * logvar) * noise

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> VaeOutput:
        """Images (N, C, H, W) to reconstruction, mean and log variance.

        The reconstruction is that of a draw of the latents while training and where a `generator` is given, else that of their mean.
        """
        mu, logvar, indices = self.encode_with_indices(images)
        z = self.draw(mu, logvar, generator) if self.training or generator is not None else mu
        return VaeOutput(self.decode(z, indices if self.unpool else None), mu, logvar)

    def _encode(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        wanted = (self.in_channels, self.image_size, self.image_size)
        if tuple(images.shape[1:]) != wanted:
            given = " x ".join(map(str, images.shape))
            raise ModelError(f"network '{NAME}' was built for images N x {' x '.join(map(str, wanted))}; it was given {given}")
        indices = []
        x = images
        for block in self.encoder:
            x, where = block(x)
            indices.append(where)
        return x, indices


@register("galaxy-vae")
def galaxy_vae(
    *,
    in_channels: int,
    n_outputs: int,
    image_size: int,
    latent: int = 40,
    unpool: bool = False,
    output: str = "linear",
    upsampling: str = "transposed",
) -> GalaxyVae:
    """Build the autoencoder of Xu et al. 2023; see `GalaxyVae`. It learns without labels: `n_outputs` is 0, or the number of latents."""
    if n_outputs not in (0, latent):
        raise ModelError(f"network '{NAME}' learns without labels: n_outputs must be 0 (or {latent}, its latents), not {n_outputs!r}; name no targets for it")
    return GalaxyVae(in_channels=in_channels, image_size=image_size, latent=latent, unpool=unpool, output=output, upsampling=upsampling)
