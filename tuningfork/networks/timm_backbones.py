"""Backbones of the timm library, an optional extra: `timm:<model>` builds that model with our number of channels and outputs.

timm is imported only when such a network is asked for.
"""

import difflib
from types import ModuleType
from typing import Any, ClassVar

from torch import Tensor, nn

from tuningfork.errors import ModelError
from tuningfork.networks.layers import ImageNetwork
from tuningfork.networks.registry import register

__all__ = ["TimmNetwork"]


class TimmNetwork(ImageNetwork):
    """A timm model behind the interface of our own networks; its tensors keep timm's names below `model.`.

    Parameters
    ----------
    model : str
        timm's name, such as ``convnext_nano``.
    in_channels, n_outputs, image_size : int
        Given to timm as `in_chans`, `num_classes` and, where the model takes one, `img_size`.
    dropout : float
        timm's `drop_rate`: dropout before the classifier.

    Raises
    ------
    ModelError
        timm is missing or does not import, knows no such model, or cannot build it for these images.
    """

    head_names: ClassVar[tuple[str, ...]] = ("model.head.", "model.fc.", "model.classifier.")
    fixed_size: ClassVar[bool] = False  # timm says itself which sizes a model takes
    weights_prefix: ClassVar[str] = "model."

    def __init__(self, model: str, *, in_channels: int, n_outputs: int, image_size: int, dropout: float = 0.0) -> None:
        name = f"timm:{model}"
        super().__init__(name, in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, smallest=1)
        timm = _import_timm(name)
        if not timm.is_model(model):
            near = difflib.get_close_matches(model, timm.list_models(), n=1)
            raise ModelError(f"timm has no model '{model}'" + (f" (did you mean '{near[0]}'?)" if near else ""))
        arguments: dict[str, Any] = {"pretrained": False, "in_chans": in_channels, "num_classes": n_outputs, "drop_rate": dropout}
        try:
            self.model: Any = _create(timm, model, arguments, image_size)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise ModelError(f"network '{name}' cannot be built for {in_channels} x {image_size} x {image_size} images: {error}") from error

    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to timm's feature maps or tokens."""
        return self.model.forward_features(images)

    def forward_head(self, features: Tensor) -> Tensor:
        """Features to logits (N, n_outputs)."""
        return self.model.forward_head(features)


def _create(timm: ModuleType, model: str, arguments: dict[str, Any], image_size: int) -> nn.Module:
    try:
        return timm.create_model(model, img_size=image_size, **arguments)
    except TypeError as error:
        # Convolutional models take images of any size and refuse the argument; any other TypeError is a fault.
        if "img_size" not in str(error):
            raise
        return timm.create_model(model, **arguments)


def _import_timm(name: str) -> ModuleType:
    try:
        import timm
    except ImportError as error:
        if (error.name or "timm").split(".")[0] == "timm":
            raise ModelError(f"network '{name}' needs the optional library timm: pip install tuningfork[timm]") from error
        raise ModelError(f"network '{name}': timm is installed but does not import ({error}); pip install tuningfork[timm] in a clean environment") from error
    except (RuntimeError, AttributeError) as error:
        # torchvision, which timm imports, fails so when its build does not fit the build of torch (CPU against CUDA).
        message = f"network '{name}': timm is installed but does not import ({error}); torch and torchvision must be builds of the same kind: "
        raise ModelError(message + "pip install tuningfork[timm] with both from one source") from error
    return timm


@register("timm:<model>")
def timm_model(*, model: str, in_channels: int, n_outputs: int, image_size: int, dropout: float = 0.0) -> TimmNetwork:
    """Build a backbone of timm; see `TimmNetwork`."""
    return TimmNetwork(model, in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, dropout=dropout)
