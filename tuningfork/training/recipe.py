"""The training recipe: a plain dictionary (YAML) checked and completed into frozen data classes. No torch here."""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tuningfork.errors import ModelError

__all__ = ["Augmentation", "Group", "Optimizer", "Recipe", "make_recipe"]

LOSSES = ("per_sample_rmse", "cross_entropy", "mse", "rmse")
OPTIMIZERS = ("adam", "adamw", "sgd", "adadelta")
SCHEDULES = ("constant", "cosine", "one_cycle")
FILLS = ("nearest", "reflect", "zero")
PRECISIONS = ("auto", "fp32", "bf16")
NORMALISATIONS = {
    "asinh_sky": ("softening_sigma", "clip_percentile", "aperture_fraction"),
    "minmax_published": (),
    "unit": (),
    "imagenet": (),
    "standard": (),
}


@dataclass(frozen=True)
class Group:
    """What differs for the parameters whose names start with one prefix: a factor on the learning rate, and their own weight decay."""

    learning_rate_factor: float = 1.0
    weight_decay: float | None = None


@dataclass(frozen=True)
class Optimizer:
    """An optimiser and its numbers; those that an optimiser does not know are ignored by it.

    `eps` is None for torch's default (1e-8; 1e-7, as Keras, for adadelta). `decay_biases: false` keeps weight decay to tensors of two or
    more dimensions: the kernels, as a Keras kernel regulariser does.
    """

    name: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    rho: float = 0.95
    eps: float | None = None
    decay_biases: bool = True
    groups: dict[str, Group] = field(default_factory=dict)


@dataclass(frozen=True)
class Augmentation:
    """Random transforms of the training images, drawn anew for every image.

    Attributes
    ----------
    rotation_deg : float
        Rotation by a uniform angle in +-rotation_deg.
    flips : bool
        Horizontal and vertical flips, each with probability 1/2; false keeps the handedness.
    shift_fraction : float
        Shift by a uniform fraction of the side in +-shift_fraction, each axis.
    zoom : float or (low, high)
        Magnification uniform in 1 +- zoom, or in low..high.
    fill : {'nearest', 'reflect', 'zero'}
        What stands beyond the border.
    d4 : bool
        Quarter turns (and flips, where allowed) as exact permutations of the pixels, before the rest.
    """

    rotation_deg: float = 0.0
    flips: bool = False
    shift_fraction: float = 0.0
    zoom: float | tuple[float, float] = 0.0
    fill: str = "nearest"
    d4: bool = False

    @property
    def zoom_range(self) -> tuple[float, float]:
        """Lowest and highest magnification."""
        return (1 - self.zoom, 1 + self.zoom) if isinstance(self.zoom, int | float) else self.zoom


@dataclass(frozen=True)
class Recipe:
    """How to train; see `make_recipe` for the dictionary it is made from.

    `draws_per_epoch` 1 visits every training row once an epoch in random order; any other value draws that many times N_train rows with
    replacement. `patience` 0 never stops early. `freeze` names parameters by prefix.
    """

    loss: str = "cross_entropy"
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: str = "constant"
    batch_size: int = 32
    epochs: int = 100
    patience: int = 20
    draws_per_epoch: float = 1.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    normalisation: dict[str, Any] = field(default_factory=lambda: {"name": "asinh_sky"})
    precision: str = "auto"
    label_shuffle: bool = False
    freeze: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The complete recipe as JSON-able values."""
        plain = asdict(self)
        plain["freeze"] = list(self.freeze)
        plain["augmentation"]["zoom"] = self.augmentation.zoom if isinstance(self.augmentation.zoom, int | float) else list(self.augmentation.zoom)
        return plain


def make_recipe(raw: Mapping[str, Any], task: str | None = None) -> Recipe:
    """Check a recipe and fill in what it leaves out.

    Parameters
    ----------
    raw
        The merged YAML. Sections `optimizer`, `augmentation` and `normalisation` are dictionaries; keys as in `Recipe`.
    task : {'fractions', 'classes', 'regression'}, optional
        Given, the loss is checked against it.

    Raises
    ------
    ModelError
        A key that no recipe has (the nearest valid one is named), a value of the wrong type or out of range, or a loss that does not fit `task`.
    """
    _check_keys(raw, [f.name for f in fields(Recipe)], "recipe")
    values = dict(raw)
    optimizer = dict(_section(values, "optimizer"))
    _check_keys(optimizer, [f.name for f in fields(Optimizer)], "recipe.optimizer")
    groups = dict(_section(optimizer, "groups"))
    for prefix, group in groups.items():
        _check_keys(group, [f.name for f in fields(Group)], f"recipe.optimizer.groups.{prefix}")
    optimizer["groups"] = {str(prefix): _group(group) for prefix, group in groups.items()}
    recipe = Recipe(
        loss=_choice(values, "loss", LOSSES, Recipe.loss),
        optimizer=_optimizer(optimizer),
        schedule=_choice(values, "schedule", SCHEDULES, Recipe.schedule),
        batch_size=_whole(values, "batch_size", Recipe.batch_size, 1),
        epochs=_whole(values, "epochs", Recipe.epochs, 1),
        patience=_whole(values, "patience", Recipe.patience, 0),
        draws_per_epoch=_number(values, "draws_per_epoch", Recipe.draws_per_epoch, 0, exclusive=True),
        augmentation=_augmentation(_section(values, "augmentation")),
        normalisation=_normalisation(_section(values, "normalisation")),
        precision=_choice(values, "precision", PRECISIONS, Recipe.precision),
        label_shuffle=_flag(values, "label_shuffle", False),
        freeze=_names(values.get("freeze")),
    )
    if task == "regression" and recipe.loss == "cross_entropy":
        raise ModelError("recipe.loss: cross_entropy needs classes or fractions; use rmse or mse for a regression")
    if task == "regression" and recipe.loss == "per_sample_rmse":
        raise ModelError("recipe.loss: per_sample_rmse compares fractions; use rmse or mse for a regression")
    return recipe


def _group(values: Mapping[str, Any]) -> Group:
    decay = None if values.get("weight_decay") is None else _number(values, "weight_decay", 0.0, 0)
    return Group(_number(values, "learning_rate_factor", 1.0, 0), decay)


def _optimizer(values: Mapping[str, Any]) -> Optimizer:
    return Optimizer(
        name=_choice(values, "name", OPTIMIZERS, Optimizer.name),
        learning_rate=_number(values, "learning_rate", Optimizer.learning_rate, 0, exclusive=True),
        weight_decay=_number(values, "weight_decay", 0.0, 0),
        momentum=_number(values, "momentum", Optimizer.momentum, 0, 1),
        beta1=_number(values, "beta1", Optimizer.beta1, 0, 1),
        beta2=_number(values, "beta2", Optimizer.beta2, 0, 1),
        rho=_number(values, "rho", Optimizer.rho, 0, 1),
        eps=None if values.get("eps") is None else _number(values, "eps", 1e-8, 0, exclusive=True),
        decay_biases=_flag(values, "decay_biases", True),
        groups=values["groups"],
    )


def _augmentation(values: Mapping[str, Any]) -> Augmentation:
    _check_keys(values, [f.name for f in fields(Augmentation)], "recipe.augmentation")
    zoom = values.get("zoom", 0.0)
    if isinstance(zoom, list | tuple):
        if len(zoom) != 2 or not all(_is_number(value) for value in zoom) or not 0 < zoom[0] <= zoom[1]:
            raise ModelError(f"recipe.augmentation.zoom: {zoom!r} is not a pair 0 < low <= high")
        zoom = (float(zoom[0]), float(zoom[1]))
    else:
        zoom = _number(values, "zoom", 0.0, 0, 0.95)
    return Augmentation(
        rotation_deg=_number(values, "rotation_deg", 0.0, 0, 360),
        flips=_flag(values, "flips", False),
        shift_fraction=_number(values, "shift_fraction", 0.0, 0, 1),
        zoom=zoom,
        fill=_choice(values, "fill", FILLS, "nearest"),
        d4=_flag(values, "d4", False),
    )


def _normalisation(values: Mapping[str, Any]) -> dict[str, Any]:
    name = _choice(values, "name", tuple(NORMALISATIONS), "asinh_sky")
    _check_keys(values, ["name", *{key for keys in NORMALISATIONS.values() for key in keys}], "recipe.normalisation")
    if name != "asinh_sky":
        # the numbers of another normalisation may stand in a preset that a model merges over: they mean nothing here
        return {"name": name}
    return {
        "name": name,
        "softening_sigma": _number(values, "softening_sigma", 3.0, 0, exclusive=True),
        "clip_percentile": _number(values, "clip_percentile", 99.5, 50, 100),
        "aperture_fraction": _number(values, "aperture_fraction", 0.25, 0, 0.5, exclusive=True),
    }


def _check_keys(values: Any, valid: Iterable[str], where: str) -> None:
    if not isinstance(values, Mapping):
        raise ModelError(f"{where}: {values!r} is not a section with keys")
    valid = list(valid)
    for key in values:
        if key not in valid:
            near = difflib.get_close_matches(str(key), valid, n=1, cutoff=0.5)
            raise ModelError(f"{where}.{key}: unknown key; " + (f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(valid)}"))


def _section(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = values.get(key)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise ModelError(f"recipe.{key}: {section!r} is not a section with keys")
    return section


def _choice(values: Mapping[str, Any], key: str, valid: tuple[str, ...], default: str) -> str:
    value = values.get(key, default)
    if value not in valid:
        near = difflib.get_close_matches(str(value), valid, n=1, cutoff=0.4)
        raise ModelError(f"recipe: {key}: {value!r} is not one of {', '.join(valid)}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(values: Mapping[str, Any], key: str, default: float, low: float, high: float = math.inf, *, exclusive: bool = False) -> float:
    value = values.get(key, default)
    if isinstance(value, str):  # YAML 1.1 reads 5e-5, without a point, as text
        try:
            value = float(value)
        except ValueError:
            pass
    if not _is_number(value) or not low <= value <= high or (exclusive and value == low):
        span = f"{'above' if exclusive else 'at least'} {low:g}" + (f" and at most {high:g}" if math.isfinite(high) else "")
        raise ModelError(f"recipe: {key}: {value!r} is not a number {span}")
    return float(value)


def _whole(values: Mapping[str, Any], key: str, default: int, low: int) -> int:
    value = values.get(key, default)
    if not _is_number(value) or value != int(value) or value < low:
        raise ModelError(f"recipe: {key}: {value!r} is not a whole number of at least {low}")
    return int(value)


def _flag(values: Mapping[str, Any], key: str, default: bool) -> bool:
    value = values.get(key, default)
    if not isinstance(value, bool):
        raise ModelError(f"recipe: {key}: {value!r} is not true or false")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise ModelError(f"recipe: freeze: {value!r} is not a list of parameter names")
    return tuple(value)
