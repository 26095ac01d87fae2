"""One call that trains a model: stamps and labels in, ``weights.safetensors``, ``history.csv`` and ``model.json`` out."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tuningfork.errors import ModelError
from tuningfork.files import digest_of
from tuningfork.networks import registry
from tuningfork.networks.weights import load_weights
from tuningfork.training.adapt import SecondSample, make_second_sample
from tuningfork.training.arrays import Stamps, name_some
from tuningfork.training.augmentation import number_of_views
from tuningfork.training.data import TrainingData, make_training_data
from tuningfork.training.device import choose_device, choose_precision, describe_machine, describe_run, session
from tuningfork.training.distributed import find_group
from tuningfork.training.fit import Fit
from tuningfork.training.freezing import freeze
from tuningfork.training.heads import head_of
from tuningfork.training.interrupt import Interruption
from tuningfork.training.latents import label_latents
from tuningfork.training.launch import launch
from tuningfork.training.memory import memory_budget
from tuningfork.training.parents import find_parent
from tuningfork.training.recipe import Recipe, make_recipe
from tuningfork.training.record import HISTORY, write_model
from tuningfork.training.resume import ResumeFolder

__all__ = ["TrainingResult", "train"]

log = logging.getLogger(__name__)
LABELS, DRAWS, DROPOUT, WEIGHTS = range(4)


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to; `history` has one dictionary an epoch, `resumed_from` the epoch that a resume state held (0: none)."""

    out_dir: Path
    epochs_run: int
    best_epoch: int
    best_validation_loss: float
    history: list[dict[str, float]]
    resumed_from: int
    fresh_tensors: list[str]


def train(
    *,
    network: Mapping[str, Any],
    stamps: Stamps,
    objects: Mapping[str, np.ndarray],
    targets: Sequence[str],
    task: str,
    recipe: Recipe | Mapping[str, Any],
    seed: int,
    out_dir: str | Path,
    resume_dir: str | Path,
    parent_weights: str | Path | None = None,
    parent_file: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    threads: int | None = None,
    code: str = "",
    name: str | None = None,
    data: Mapping[str, str] | None = None,
    simulated: bool = False,
    label_column: str = "label",
    memory_mb: int | None = None,
    placement: str = "auto",
    adapt_stamps: Stamps | None = None,
    adapt_objects: Mapping[str, np.ndarray] | None = None,
    adapt_to: Mapping[str, Any] | None = None,
    processes: int = 1,
    save_minutes: float = 10.0,
    handed: bool = False,
    votes: str = "exclusive",
    label_errors: Mapping[str, str] | None = None,
) -> TrainingResult:
    """Train a network on the ``train`` rows, choose the best epoch on the ``validation`` rows, write the model.

    With loss ``elbo`` rows without a label train and validate as well, as their ``side`` says, and the latent means of the labelled training
    rows are kept in the file of the weights, for the forest that gives the classes.

    Parameters
    ----------
    network
        ``{"name": ..., "options": {...}}`` of `tuningfork.networks.registry`.
    stamps
        The stamps, a `StampSet` or an `ArrayStamps`.
    objects
        Columns of the table of objects: ``object_id``, ``split``, and the targets.
    targets, task
        Target columns (for task ``classes``: class names, in `label_column`), and ``fractions``, ``classes`` or ``regression``.
    recipe
        A recipe, or the dictionary of one.
    seed
        Initial weights, draws, augmentation and dropout all follow from it.
    out_dir
        Gets ``weights.safetensors`` (of the best epoch), ``history.csv`` and, last, ``model.json``.
    resume_dir
        State after every epoch; if one is there and fits, the run goes on from it. Removed when the model is in place.
    parent_weights
        Start from these weights (transfer). Where a ``model.json`` beside them names other targets, the head starts anew.
    parent_file
        Where the weights are no model of this project: how to read them (``prefix``, ``first_layer``; see `tuningfork.networks.pretrained`).
    device, threads
        Default: the GPU if there is one; torch's own number of threads.
    code, name, data, simulated
        Recorded in ``model.json``: fingerprint of the code, the model's name (default: that of the folder), {sample: digest}, origin.
    memory_mb
        Memory of the job: half of it may hold stamps.
    placement
        Where the stamps are kept: ``auto`` (by their size), ``resident`` or ``streamed``; see `tuningfork.training.pixels.DeviceStamps`. The
        weights are the same, bit for bit.
    adapt_stamps, adapt_objects, adapt_to
        Domain adaptation: stamps and table of a second sample, whose labels are not used, and the section of the configuration
        (``sample``, ``method``, ``weight``, ``paired``). The loss is then that of the first sample (of an autoencoder: the mean of both
        samples') plus the alignment of both samples' features in a batch (`tuningfork.training.alignment`).
    processes
        As many processes of this machine, one for each GPU, train together: they are started here, unless torchrun has started them already
        (then this says nothing). A batch is that of the recipe, and shared among them; see `tuningfork.training.distributed`.
    save_minutes
        The state is saved within an epoch as well, whenever so many minutes have gone by.
    handed
        A mirror image of an object would have another label (clockwise spirals): the recipe's flips are turned off, and the model knows it.
    votes
        Of task fractions: ``exclusive`` or ``independent``; counts of votes can be learned from the former alone.
    label_errors
        Target -> column with the standard deviation of its label, for loss ``gaussian``; other losses ignore it.

    Returns
    -------
    TrainingResult
        In every process of a group; the first one has written the model.

    Raises
    ------
    ModelError
        The recipe, the labels, the stamps or the parent's weights are wrong, or the training diverged (the ids of the batch are named; the
        state of the last good epoch stays in `resume_dir`).
    Interrupted
        A signal asked the training to stop (SIGTERM, SIGINT, SIGUSR1, SIGXCPU); the state is saved in `resume_dir`.
    """
    given = dict(locals())
    if processes > 1 and find_group().size == 1:
        return launch(given, processes)
    recipe = make_recipe(recipe.as_dict() if isinstance(recipe, Recipe) else recipe, task, votes)
    head = head_of(recipe.loss, task, len(targets), recipe.quantiles)
    group = find_group()
    where = choose_device(device, group.local_rank)
    seeds = [int(value) for value in np.random.SeedSequence(seed).generate_state(4, np.uint64) >> 1]
    parent = find_parent(parent_weights, parent_file)
    if adapt_to and (adapt_stamps is None or adapt_objects is None):
        raise ModelError("adapt_to: the stamps and the objects of the second sample are missing")
    if recipe.alignment.frozen_source and adapt_to and not (recipe.unsupervised and parent):
        raise ModelError("recipe.alignment.frozen_source: a frozen copy of the start encodes the first sample: it needs loss elbo and a model in 'from'")
    if handed and recipe.augmentation.flips:
        log.info("the sample is handed: no image is mirrored, in training and in prediction (recipe.augmentation.flips is turned off)")
        recipe = replace(recipe, augmentation=replace(recipe.augmentation, flips=False))
    budget = memory_budget(where, memory_mb) // (2 if adapt_to else 1) // (group.size if where.type == "cpu" else 1)
    with group.joined(where), session(where, threads, seeds[DROPOUT] + group.rank):
        training_data = make_training_data(
            stamps,
            objects,
            targets,
            task,
            recipe.normalisation,
            device=where,
            budget_bytes=budget,
            placement=placement,
            label_shuffle=np.random.default_rng(seeds[LABELS]) if recipe.label_shuffle else None,
            label_column=label_column,
            unlabelled=recipe.unsupervised,
            parent_normalisation=None if parent is None else parent.about.get("normalisation"),
            counts=recipe.loss == "dirichlet_multinomial",
            label_errors=label_errors if recipe.loss == "gaussian" else None,
        )
        if recipe.unsupervised:
            _check_labels(training_data, targets)
        second = None
        if adapt_to and adapt_stamps is not None and adapt_objects is not None:
            second = make_second_sample(training_data, objects, adapt_stamps, adapt_objects, adapt_to, device=where, budget_bytes=budget, placement=placement)
        channels, side = stamps.shape[0], stamps.shape[-1]
        options = dict(network.get("options") or {})
        n_outputs = 0 if recipe.unsupervised else head.n_outputs
        module = _build(recipe, network["name"], in_channels=channels, n_outputs=n_outputs, image_size=side, seed=seeds[WEIGHTS], **options)
        fresh, started = parent.load(module, network, targets, head) if parent is not None else ([], None)
        module = group.synchronised(module.to(where, memory_format=torch.channels_last))  # type: ignore[call-overload]
        source = copy.deepcopy(module).requires_grad_(False).eval() if second is not None and recipe.alignment.frozen_source else None
        frozen = freeze(module, recipe.freeze)
        if unlearnt := [name for name in frozen if parent is None or name in fresh]:
            log.warning("recipe: freeze: %d frozen tensor(s) keep their random first weights, no parent has given any: %s", len(unlearnt), name_some(unlearnt))
        precision = choose_precision(recipe.precision, where)
        fingerprint = digest_of(
            {
                "recipe": recipe.as_dict(),
                "seed": seed,
                "network": {"name": network["name"], "options": options},
                "targets": list(targets),
                "data": _data_digest(training_data),
                "adapt_to": None if second is None else [dict(adapt_to or {}), _second_digest(second)],
                "parent": parent and parent.key,
                "code": code,
                "precision": precision,
            }
        )
        log.info("training on %s", describe_run(where, precision, group.size, training_data.images.resident))
        fit = Fit(module, training_data, recipe, task, where, precision, seeds[DRAWS], ResumeFolder(resume_dir, fingerprint), second, source, group=group)
        resumed_from = fit.resume()
        with Interruption(save_minutes) as fit.interruption:
            fit.run()
        load_weights(module, fit.resume_folder.best(fit.best_epoch))
        further: dict[str, torch.Tensor] = {}
        about: dict[str, Any] = {}
        if recipe.unsupervised:
            views = number_of_views(recipe.augmentation.flips) if recipe.forest.views else 1
            # The labels are of the first sample: a network that never saw it would sort them wrongly.
            kept = label_latents(module if source is None else source, training_data, views)
            further = kept.tensors()
            about = {"latents": kept.latents.shape[2], "active_units": fit.active_units(), "n_labelled": len(kept.labels)}
        best = fit.history[fit.best_epoch - 1]
        about |= {name: best[name] for name in fit.columns if name not in HISTORY}
        record = {
            "name": name or Path(out_dir).name,
            "network": {"name": network["name"], "options": options},
            "in_channels": channels,
            "n_outputs": n_outputs,
            "image_size": side,
            "pixel_type": str(np.dtype(stamps.dtype)),
            "targets": list(targets),
            "task": task,
            **({} if recipe.unsupervised else {"head": head.record()}),
            "target_mean": training_data.target_mean,
            "target_std": training_data.target_std,
            "normalisation": training_data.normalisation,
            "training": {
                "recipe": recipe.as_dict(),
                "seed": seed,
                "precision": precision,
                "epochs_run": len(fit.history),
                "best_epoch": fit.best_epoch,
                "best_validation_loss": fit.best_loss,
                "n_train": len(training_data.train),
                "n_validation": len(training_data.validation),
                **about,
                **({} if second is None else {"adapt_to": {**(adapt_to or {}), "n_train": len(second.train), "n_validation": len(second.validation)}}),
            },
            "data": dict(data or {}),
            "parent": started,
            "code": code,
            "versions": describe_machine(where),
            "simulated": simulated,
        }
        if group.first:
            write_model(Path(out_dir), module, record, fit.history, further)
            fit.resume_folder.remove()
        group.wait()
    return TrainingResult(Path(out_dir), len(fit.history), fit.best_epoch, fit.best_loss, fit.history, resumed_from, fresh)


def _build(recipe: Recipe, name: str, **sizes: Any) -> nn.Module:
    try:
        return registry.build(name, **sizes)
    except ModelError as error:
        if recipe.unsupervised and name != "galaxy-vae":
            raise ModelError(f"recipe.loss: elbo trains an autoencoder, such as network galaxy-vae, not {name} ({error})") from error
        raise


def _check_labels(data: TrainingData, targets: Sequence[str]) -> None:
    """Say before the training what the forest after it will lack."""
    counts = data.targets[torch.from_numpy(data.train).to(data.targets.device)].sum(dim=0).long().tolist()
    if sum(count > 0 for count in counts) < 2:
        found = ", ".join(f"{name} {count}" for name, count in zip(targets, counts, strict=True))
        raise ModelError(f"the forest on the latents needs labelled training objects of at least two classes; there are {found}")
    if without := [name for name, count in zip(targets, counts, strict=True) if not count]:
        log.warning("no labelled training object of class %s: its probability will be 0 everywhere", ", ".join(without))


def _second_digest(second: SecondSample) -> str:
    """Digest of who the network is adapted to."""
    sides = [second.object_id[rows].tolist() for rows in (second.train, second.validation)]
    return digest_of([sides, None if second.partner is None else second.partner.tolist()])


def _data_digest(data: TrainingData) -> str:
    """Digest of who is trained on, with which labels and which normalisation."""
    sides = [[[str(data.object_id[row]), data.targets[row].tolist()] for row in rows] for rows in (data.train, data.validation)]
    return digest_of([sides, data.normalisation])
