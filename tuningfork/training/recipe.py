"""The training recipe: a plain dictionary (YAML) checked and completed into frozen data classes. No torch here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tuningfork.errors import ModelError
from tuningfork.training import checks

__all__ = ["Alignment", "Augmentation", "Elbo", "Forest", "Group", "Optimizer", "Recipe", "make_recipe"]

LOSSES = ("per_sample_rmse", "cross_entropy", "mse", "rmse", "quantile", "gaussian", "dirichlet_multinomial", "elbo")
OPTIMIZERS = ("adam", "adamw", "sgd", "adadelta")
SCHEDULES = ("constant", "cosine", "one_cycle")
FILLS = ("nearest", "reflect", "zero")
PRECISIONS = ("auto", "fp32", "bf16")
RECONSTRUCTIONS = ("sum", "mean", "mean_published")
ESTIMATORS = ("biased", "unbiased")
KEEP = ("best", "last")
NORMALISATIONS = {
    "asinh_sky": ("softening_sigma", "clip_percentile", "aperture_fraction"),
    "asinh_scaled": ("softening_sigma", "clip_percentile", "aperture_fraction", "inherit"),
    "minmax_published": (),
    "unit": (),
    "raw": (),
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
    more dimensions: the kernels, as a Keras kernel regulariser does. `layer_decay` is the factor on the learning rate from one of the network's
    groups of layers to the one before it, towards the images (1: the same rate for all); the factors of `groups` come on top.
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
    layer_decay: float = 1.0
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
class Elbo:
    """The loss of an autoencoder, ``loss: elbo``: reconstruction + beta * KL of each image, averaged over the images of the batch.

    Attributes
    ----------
    beta : float
        Weight of the Kullback-Leibler divergence, which is summed over the latents.
    reconstruction : {'sum', 'mean', 'mean_published'}
        ``sum``: squared errors summed over pixels and channels, as Xu et al. 2023 train (they sum over the batch too; the steps of Adam are
        the same). ``mean``: reconstruction and divergence both divided by the number of pixels: the same optimum, a loss of the order of the
        squared error of a pixel. ``mean_published``: squared errors averaged over the pixels beside a summed divergence, as their notebooks
        on domain adaptation do: the divergence then outweighs the image, and latents die.
    warm_up_epochs : int
        Epochs in which beta rises linearly from nothing; validation always takes the whole of it.
    """

    beta: float = 1.0
    reconstruction: str = "sum"
    warm_up_epochs: int = 0


@dataclass(frozen=True)
class Forest:
    """The random forest that gives an autoencoder's classes: `trees`; `views`: fitted to and averaged over the turned and mirrored views."""

    trees: int = 500
    views: bool = True


@dataclass(frozen=True)
class Alignment:
    """How features of a second sample are aligned, where a model has `adapt_to`.

    `estimator` of the discrepancy of method mmd: ``biased`` as published, or ``unbiased``. `frozen_source`: as published with it, the network that
    encodes the first sample is a frozen copy of the one that the training starts from, and the trained one sees the second sample only.
    `hidden`: units of the discriminator of method dann. In the first `warm_up_epochs` the weight of any method rises linearly from nothing;
    validation always takes the whole of it.
    """

    estimator: str = "biased"
    frozen_source: bool = False
    hidden: int = 100
    warm_up_epochs: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """How to train; see `make_recipe` for the dictionary it is made from.

    `draws_per_epoch` 1 visits every training row once an epoch in random order; any other value draws that many times N_train rows with
    replacement. `patience` 0 never stops early. `freeze` names parts or parameters, or is the number of the network's groups of layers, from
    the images on, that do not learn. `keep` is the epoch whose weights stay: that of the ``best`` validation loss, or the ``last``, as several
    published codes did. In the first `warm_up_epochs` (not necessarily whole) the learning rate rises linearly, step by step. `ema` is the decay
    of a moving average of the weights, which is then validated, chosen and saved (0: none; see `tuningfork.training.ema`).
    `label_smoothing` is the part of every training label that is spread evenly over all classes; validation takes the labels as they are.
    `quantiles` are the levels that loss ``quantile`` learns, ascending, with the median, which is the prediction; other losses ignore them.
    """

    loss: str = "cross_entropy"
    quantiles: tuple[float, ...] = (0.025, 0.16, 0.5, 0.84, 0.975)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: str = "constant"
    warm_up_epochs: float = 0.0
    batch_size: int = 32
    epochs: int = 100
    patience: int = 20
    draws_per_epoch: float = 1.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    normalisation: dict[str, Any] = field(default_factory=lambda: {"name": "asinh_sky"})
    precision: str = "auto"
    label_shuffle: bool = False
    ema: float = 0.0
    label_smoothing: float = 0.0
    freeze: tuple[str, ...] | int = ()
    keep: str = "best"
    elbo: Elbo = field(default_factory=Elbo)
    forest: Forest = field(default_factory=Forest)
    alignment: Alignment = field(default_factory=Alignment)

    @property
    def unsupervised(self) -> bool:
        """The network is an autoencoder: it learns from pixels alone."""
        return self.loss == "elbo"

    def as_dict(self) -> dict[str, Any]:
        """The complete recipe as JSON-able values."""
        plain = asdict(self)
        plain["quantiles"] = list(self.quantiles)
        plain["freeze"] = self.freeze if isinstance(self.freeze, int) else list(self.freeze)
        plain["augmentation"]["zoom"] = self.augmentation.zoom if isinstance(self.augmentation.zoom, int | float) else list(self.augmentation.zoom)
        return plain


def make_recipe(raw: Mapping[str, Any], task: str | None = None, votes: str = "exclusive") -> Recipe:
    """Check a recipe and fill in what it leaves out.

    Parameters
    ----------
    raw
        The merged YAML. Sections `optimizer`, `augmentation`, `normalisation`, `elbo`, `forest` and `alignment` are dictionaries; keys as in
        `Recipe`.
    task : {'fractions', 'classes', 'regression'}, optional
        Given, the loss is checked against it.
    votes : {'exclusive', 'independent'}
        Of task fractions: whether a classifier gave one answer, or could tick several boxes.

    Raises
    ------
    ModelError
        A key that no recipe has (the nearest valid one is named), a value of the wrong type or out of range, keys that contradict each other, or a
        loss or label smoothing that does not fit `task`.
    """
    checks.check_keys(raw, [f.name for f in fields(Recipe)], "recipe")
    values = dict(raw)
    optimizer = dict(checks.section(values, "optimizer"))
    checks.check_keys(optimizer, [f.name for f in fields(Optimizer)], "recipe.optimizer")
    groups = dict(checks.section(optimizer, "groups"))
    for prefix, group in groups.items():
        checks.check_keys(group, [f.name for f in fields(Group)], f"recipe.optimizer.groups.{prefix}")
    optimizer["groups"] = {str(prefix): _group(group) for prefix, group in groups.items()}
    recipe = Recipe(
        loss=checks.choice(values, "loss", LOSSES, Recipe.loss),
        quantiles=checks.levels(values, "quantiles", Recipe.quantiles),
        optimizer=_optimizer(optimizer),
        schedule=checks.choice(values, "schedule", SCHEDULES, Recipe.schedule),
        warm_up_epochs=checks.number(values, "warm_up_epochs", Recipe.warm_up_epochs, 0),
        batch_size=checks.whole(values, "batch_size", Recipe.batch_size, 1),
        epochs=checks.whole(values, "epochs", Recipe.epochs, 1),
        patience=checks.whole(values, "patience", Recipe.patience, 0),
        draws_per_epoch=checks.number(values, "draws_per_epoch", Recipe.draws_per_epoch, 0, exclusive=True),
        augmentation=_augmentation(checks.section(values, "augmentation")),
        normalisation=_normalisation(checks.section(values, "normalisation")),
        precision=checks.choice(values, "precision", PRECISIONS, Recipe.precision),
        label_shuffle=checks.flag(values, "label_shuffle", False),
        ema=checks.fraction(values, "ema", Recipe.ema),
        label_smoothing=checks.fraction(values, "label_smoothing", Recipe.label_smoothing),
        freeze=checks.parts(values, "freeze"),
        keep=checks.choice(values, "keep", KEEP, Recipe.keep),
        elbo=_elbo(checks.section(values, "elbo")),
        forest=_forest(checks.section(values, "forest")),
        alignment=_alignment(checks.section(values, "alignment")),
    )
    _check_together(recipe, task, votes)
    return recipe


def _check_together(recipe: Recipe, task: str | None, votes: str) -> None:
    """Refuse what is right key by key and wrong together, or for this task."""
    if recipe.unsupervised and task not in (None, "classes"):
        raise ModelError(f"recipe.loss: elbo learns latents, and a forest on them gives classes: it needs a sample with task classes, not {task}")
    if task == "regression" and recipe.loss == "cross_entropy":
        raise ModelError("recipe.loss: cross_entropy needs classes or fractions; use rmse or mse for a regression")
    if task == "regression" and recipe.loss == "per_sample_rmse":
        raise ModelError("recipe.loss: per_sample_rmse compares fractions; use rmse or mse for a regression")
    if recipe.loss in ("quantile", "gaussian") and task not in (None, "regression"):
        raise ModelError(f"recipe.loss: {recipe.loss} learns numbers and how sure they are: it needs task regression, not {task}")
    if recipe.loss == "dirichlet_multinomial" and task not in (None, "fractions"):
        raise ModelError(f"recipe.loss: dirichlet_multinomial learns from counts of votes: it needs task fractions, not {task}")
    if recipe.loss == "dirichlet_multinomial" and votes != "exclusive":
        raise ModelError(
            "recipe.loss: dirichlet_multinomial takes votes that exclude each other, and the sample says votes: independent (several boxes could be "
            "ticked, so the counts do not add up to the number of classifiers); use per_sample_rmse or cross_entropy"
        )
    if recipe.label_smoothing and (recipe.unsupervised or task not in (None, "classes")):
        what = "an autoencoder learns without labels" if recipe.unsupervised else f"the labels of task {task} are measured values"
        raise ModelError(f"recipe.label_smoothing: only classes are smoothed, and {what}; set label_smoothing: 0")
    if recipe.warm_up_epochs and recipe.schedule == "one_cycle":
        raise ModelError("recipe.warm_up_epochs: a one_cycle begins with a rise of its own; set warm_up_epochs: 0, or take schedule cosine or constant")
    if recipe.warm_up_epochs >= recipe.epochs:
        raise ModelError(f"recipe.warm_up_epochs: a warm-up of {recipe.warm_up_epochs:g} epochs leaves nothing of the {recipe.epochs} to train in")


def _group(values: Mapping[str, Any]) -> Group:
    decay = None if values.get("weight_decay") is None else checks.number(values, "weight_decay", 0.0, 0)
    return Group(checks.number(values, "learning_rate_factor", 1.0, 0), decay)


def _optimizer(values: Mapping[str, Any]) -> Optimizer:
    return Optimizer(
        name=checks.choice(values, "name", OPTIMIZERS, Optimizer.name),
        learning_rate=checks.number(values, "learning_rate", Optimizer.learning_rate, 0, exclusive=True),
        weight_decay=checks.number(values, "weight_decay", 0.0, 0),
        momentum=checks.number(values, "momentum", Optimizer.momentum, 0, 1),
        beta1=checks.number(values, "beta1", Optimizer.beta1, 0, 1),
        beta2=checks.number(values, "beta2", Optimizer.beta2, 0, 1),
        rho=checks.number(values, "rho", Optimizer.rho, 0, 1),
        eps=None if values.get("eps") is None else checks.number(values, "eps", 1e-8, 0, exclusive=True),
        decay_biases=checks.flag(values, "decay_biases", True),
        layer_decay=checks.number(values, "layer_decay", Optimizer.layer_decay, 0, 1, exclusive=True),
        groups=values["groups"],
    )


def _elbo(values: Mapping[str, Any]) -> Elbo:
    checks.check_keys(values, [f.name for f in fields(Elbo)], "recipe.elbo")
    return Elbo(
        beta=checks.number(values, "beta", Elbo.beta, 0),
        reconstruction=checks.choice(values, "reconstruction", RECONSTRUCTIONS, Elbo.reconstruction),
        warm_up_epochs=checks.whole(values, "warm_up_epochs", Elbo.warm_up_epochs, 0),
    )


def _forest(values: Mapping[str, Any]) -> Forest:
    checks.check_keys(values, [f.name for f in fields(Forest)], "recipe.forest")
    return Forest(trees=checks.whole(values, "trees", Forest.trees, 1), views=checks.flag(values, "views", Forest.views))


def _alignment(values: Mapping[str, Any]) -> Alignment:
    checks.check_keys(values, [f.name for f in fields(Alignment)], "recipe.alignment")
    return Alignment(
        estimator=checks.choice(values, "estimator", ESTIMATORS, Alignment.estimator),
        frozen_source=checks.flag(values, "frozen_source", Alignment.frozen_source),
        hidden=checks.whole(values, "hidden", Alignment.hidden, 1),
        warm_up_epochs=checks.number(values, "warm_up_epochs", Alignment.warm_up_epochs, 0),
    )


def _augmentation(values: Mapping[str, Any]) -> Augmentation:
    checks.check_keys(values, [f.name for f in fields(Augmentation)], "recipe.augmentation")
    zoom = values.get("zoom", 0.0)
    if isinstance(zoom, list | tuple):
        if len(zoom) != 2 or not all(checks.is_number(value) for value in zoom) or not 0 < zoom[0] <= zoom[1]:
            raise ModelError(f"recipe.augmentation.zoom: {zoom!r} is not a pair 0 < low <= high")
        zoom = (float(zoom[0]), float(zoom[1]))
    else:
        zoom = checks.number(values, "zoom", 0.0, 0, 0.95)
    return Augmentation(
        rotation_deg=checks.number(values, "rotation_deg", 0.0, 0, 360),
        flips=checks.flag(values, "flips", False),
        shift_fraction=checks.number(values, "shift_fraction", 0.0, 0, 1),
        zoom=zoom,
        fill=checks.choice(values, "fill", FILLS, "nearest"),
        d4=checks.flag(values, "d4", False),
    )


def _normalisation(values: Mapping[str, Any]) -> dict[str, Any]:
    name = checks.choice(values, "name", tuple(NORMALISATIONS), "asinh_sky")
    checks.check_keys(values, ["name", *{key for keys in NORMALISATIONS.values() for key in keys}], "recipe.normalisation")
    if name not in ("asinh_sky", "asinh_scaled"):
        # the numbers of another normalisation may stand in a preset that a model merges over: they mean nothing here
        return {"name": name}
    inherit = {"inherit": checks.flag(values, "inherit", True)} if name == "asinh_scaled" else {}
    return {
        "name": name,
        **inherit,
        "softening_sigma": checks.number(values, "softening_sigma", 3.0, 0, exclusive=True),
        "clip_percentile": checks.number(values, "clip_percentile", 99.5, 50, 100),
        "aperture_fraction": checks.number(values, "aperture_fraction", 0.25, 0, 0.5, exclusive=True),
    }
