"""What a training minimises: numbers and features of every image, and from these the loss of a batch or of all validation rows at once."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tuningfork.errors import ModelError
from tuningfork.training.losses import make_loss
from tuningfork.training.recipe import Elbo, Recipe

__all__ = ["ElboObjective", "Objective", "Rows", "Supervised", "kl_divergence", "last_dense", "make_objective"]


class Rows(NamedTuple):
    """`values` (n, P) that the loss is made of, float32; `features` (n, F) that a second sample is aligned by, None where none are wanted."""

    values: Tensor
    features: Tensor | None


class Objective(Protocol):
    """A loss that can be taken over any rows: of a batch while training, of the whole set for validation; `n_features` is 0 where none are wanted."""

    columns: tuple[str, ...]
    n_features: int

    def rows(self, module: nn.Module, images: Tensor, generator: torch.Generator | None = None) -> Rows:
        """Call the network for images (n, C, H, W)."""
        ...

    def loss(self, values: Tensor, targets: Tensor | None, epoch: int | None = None) -> Tensor:
        """The mean loss of rows; `epoch` given, as it is weighted in that epoch of the training."""
        ...

    def parts(self, values: Tensor) -> dict[str, float]:
        """Means of the parts of the loss, by the names in `columns`."""
        ...


def make_objective(recipe: Recipe, task: str, module: nn.Module, *, features: bool = False) -> Objective:
    """The objective of a recipe for this network.

    Parameters
    ----------
    features
        The features of every image are wanted too: the latent means of an autoencoder, else what goes into the last dense layer.

    Raises
    ------
    ModelError
        The loss is not one for this network, or the network has no layer that features could be taken from.
    """
    is_autoencoder = hasattr(module, "encode_with_indices") and hasattr(module, "decode")
    name = getattr(module, "name", type(module).__name__)
    if recipe.unsupervised:
        if not is_autoencoder:
            raise ModelError(f"recipe.loss: elbo trains an autoencoder (network galaxy-vae); {name} gives no image back")
        return ElboObjective(recipe.elbo, int(module.latent))  # type: ignore[arg-type]
    if is_autoencoder:
        raise ModelError(f"recipe.loss: {name} is an autoencoder and learns with loss elbo, not {recipe.loss}")
    return Supervised(recipe, task, last_dense(module, name) if features else None)


class Supervised:
    """Raw outputs against targets; features are the inputs of the layer `last`, the outputs' own."""

    columns: tuple[str, ...] = ()

    def __init__(self, recipe: Recipe, task: str, last: nn.Linear | None) -> None:
        self.n_features = 0 if last is None else last.in_features
        self._loss = make_loss(recipe.loss, task, recipe.quantiles)
        self._seen: list[Tensor] = []
        if last is not None:
            last.register_forward_pre_hook(lambda _, inputs: self._seen.append(inputs[0]))

    def rows(self, module: nn.Module, images: Tensor, generator: torch.Generator | None = None) -> Rows:
        """Raw outputs (n, M), as many as the head of the loss has."""
        outputs = module(images)
        features = self._seen.pop().flatten(1).float() if self._seen else None
        return Rows(outputs.float(), features)

    def loss(self, values: Tensor, targets: Tensor | None, epoch: int | None = None) -> Tensor:
        """The recipe's loss."""
        assert targets is not None, "a supervised loss needs targets"
        return self._loss(values, targets)

    def parts(self, values: Tensor) -> dict[str, float]:
        """The loss has no parts."""
        return {}


class ElboObjective:
    """The evidence lower bound of a variational autoencoder, negative: reconstruction and divergence of every image; see `recipe.Elbo`."""

    columns: tuple[str, ...] = ("reconstruction", "kl")

    def __init__(self, spec: Elbo, n_features: int = 0) -> None:
        self.spec, self.n_features = spec, n_features

    def rows(self, module: nn.Module, images: Tensor, generator: torch.Generator | None = None) -> Rows:
        """Weighed parts (n, 2): squared error and divergence, as `reconstruction` says, through one draw of the latents."""
        out = module(images, generator)
        error = (out.reconstruction.float() - images).square().flatten(1).sum(dim=1)
        kl = kl_divergence(out.mu, out.logvar)
        pixels = images[0].numel()
        if self.spec.reconstruction != "sum":
            error = error / pixels
        if self.spec.reconstruction == "mean":
            kl = kl / pixels
        return Rows(torch.stack([error, kl], dim=1), out.mu.float())

    def loss(self, values: Tensor, targets: Tensor | None = None, epoch: int | None = None) -> Tensor:
        """Mean over images of reconstruction + beta * divergence; beta rises over the first epochs where the recipe says so."""
        beta, warm_up = self.spec.beta, self.spec.warm_up_epochs
        if epoch is not None and epoch <= warm_up:
            beta *= epoch / (warm_up + 1)
        return (values[:, 0] + beta * values[:, 1]).mean()

    def parts(self, values: Tensor) -> dict[str, float]:
        """Means of both parts."""
        means = values.double().mean(dim=0).tolist()
        return dict(zip(self.columns, means, strict=True))


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """Divergence of N(mu, exp(logvar)) from N(0, 1), nats, summed over the latents: (n, d), (n, d) to (n,)."""
    mu, logvar = mu.float(), logvar.float()
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(dim=1)


def last_dense(module: nn.Module, name: str) -> nn.Linear:
    """The dense layer that gives the outputs: the last one among the network's head; `ModelError` where there is none."""
    head = tuple(getattr(module, "head_names", ()))
    found = [layer for path, layer in module.named_modules() if isinstance(layer, nn.Linear) and (not head or f"{path}.".startswith(head))]
    if not found:
        raise ModelError(f"network {name} has no dense layer at its end, so no features before it; use another network, or leave out adapt_to and features")
    return found[-1]
