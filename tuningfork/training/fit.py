"""A training under way: epochs and steps, early stopping, best weights, and what is saved after every epoch, and within it."""

import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from tuningfork.errors import Interrupted, ModelError
from tuningfork.training.adapt import SecondSample
from tuningfork.training.alignment import make_aligner
from tuningfork.training.arrays import name_some
from tuningfork.training.augmentation import augment
from tuningfork.training.data import TrainingData
from tuningfork.training.device import autocast
from tuningfork.training.distributed import Group
from tuningfork.training.draws import epoch_order
from tuningfork.training.ema import WeightAverage
from tuningfork.training.freezing import keep_frozen
from tuningfork.training.interrupt import Interruption, Wish
from tuningfork.training.losses import smoothed
from tuningfork.training.objective import Rows, make_objective
from tuningfork.training.optimisers import make_optimizer
from tuningfork.training.pixels import DeviceStamps
from tuningfork.training.recipe import Recipe
from tuningfork.training.record import HISTORY
from tuningfork.training.resume import ResumeFolder, UnderWay, all_generators, restore_generators
from tuningfork.training.schedules import set_step, warm_up_steps

__all__ = ["Fit"]

log = logging.getLogger(__name__)
COMPARED = 1024
"""Validation images of either sample that their discrepancy is taken of, at most: it takes memory with the square of them."""


@dataclass
class Fit:
    """A training under way: the network and all that changes with it from epoch to epoch.

    With a `second` sample its features are aligned with the first one's. `source` then is the frozen network that encodes the first sample,
    where the recipe asks for one. Where it asks for a moving average of the weights, that is the network that is validated and kept.
    `under_way` is the epoch that has begun and not ended. Every process of a `group` has a fit, and each takes its part of every batch.
    """

    module: nn.Module
    data: TrainingData
    recipe: Recipe
    task: str
    device: torch.device
    precision: str
    seed: int
    resume_folder: ResumeFolder
    second: SecondSample | None = None
    source: nn.Module | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    best_loss: float = float("inf")
    best_epoch: int = 0
    group: Group = field(default_factory=Group)
    interruption: Interruption = field(default_factory=Interruption)
    under_way: UnderWay | None = None

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        self.objective = make_objective(self.recipe, self.task, self.module, features=self.second is not None)
        self.aligner = None
        if self.second is not None:
            self.aligner = make_aligner(self.second.method, self.second.weight, self.recipe, self.objective.n_features, self.seed, self.device)
        self.columns = (*HISTORY, *self.objective.columns, *(self.aligner.columns if self.aligner else ()))
        self.optimizer = make_optimizer(self.module, self.recipe, self._beside)
        batches = len(epoch_order(self.data.train, self.recipe, torch.Generator()))
        self.total_steps = batches * self.recipe.epochs
        self.warm_up = warm_up_steps(self.recipe.warm_up_epochs, batches)
        # after the objective, whose hooks the average must have too
        self.average = WeightAverage(self.module, self.recipe.ema) if self.recipe.ema else None
        self.learner = self.group.wrap(self.module)

    @property
    def judged(self) -> nn.Module:
        """The network that is validated, chosen and saved: the average of the weights, or the one that learns."""
        return self.module if self.average is None else self.average.module

    @property
    def finished(self) -> bool:
        """All epochs are done, or none has been better for too long."""
        epoch, patience = len(self.history), self.recipe.patience
        return epoch >= self.recipe.epochs or (patience > 0 and epoch - self.best_epoch >= patience)

    def resume(self) -> int:
        """Take up a saved state; the number of whole epochs that it holds, 0 where there is none."""
        state = self.resume_folder.load(self.device, clean=self.group.first)
        if state is None:
            return 0
        self.module.load_state_dict(state["module"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.aligner is not None:
            self.aligner.load_state_dict(state["aligner"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        restore_generators(state, self.group, self.device)
        self.best_loss, self.best_epoch = state["best_loss"], state["best_epoch"]
        self.history = [dict(zip(self.columns, row, strict=True)) for row in state["history"]]
        self.under_way = UnderWay.from_state(state["under_way"])
        done = f"step {len(self.under_way.losses)} of epoch {len(self.history) + 1}" if self.under_way else f"epoch {len(self.history)}"
        log.info("going on after %s of %s", done, self.resume_folder.path)
        return len(self.history)

    def save(self) -> None:
        """Write the state, after an epoch or between two steps of one; every process takes part, the first one writes."""
        generators = all_generators(self.group, self.device)
        if self.group.first:
            state = {
                "module": self.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.get_state(),
                "best_loss": self.best_loss,
                "best_epoch": self.best_epoch,
                "history": [[row[name] for name in self.columns] for row in self.history],
                "under_way": None if self.under_way is None else self.under_way.as_state(),
                **generators,
            }
            if self.average is not None:
                state["average"] = self.average.state_dict()
            if self.aligner is not None:
                state["aligner"] = self.aligner.state_dict()
            self.resume_folder.save(state)
        self.interruption.saved()
        self.group.wait()

    def run(self) -> None:
        """Train until `finished`.

        Raises
        ------
        Interrupted
            The `interruption` asked to stop, and the state is saved.
        """
        on_terminal = sys.stderr.isatty() and self.group.first
        while not self.finished:
            epoch = len(self.history) + 1
            rate, train_loss = self._train_epoch(epoch, on_terminal)
            seconds_training = self._seconds
            validation_loss, parts = self._agree(*self.validate())
            if validation_loss < self.best_loss or self.recipe.keep == "last":
                self.best_loss, self.best_epoch = validation_loss, epoch
                if self.group.first:
                    self.resume_folder.save_best(self.judged, epoch)
            seconds = self._seconds
            row = dict(zip(HISTORY, (epoch, rate, train_loss, validation_loss, seconds), strict=True)) | parts
            self.history.append({name: row[name] for name in self.columns})
            self.under_way = None
            self.save()
            log.log(
                logging.DEBUG if on_terminal else logging.INFO,
                "epoch %d of at most %d: training loss %.5f, validation loss %.5f%s (best %.5f in epoch %d), %.0f img/s, %.1f s",
                *(epoch, self.recipe.epochs, train_loss, validation_loss),
                *("".join(f", {name} {value:.5g}" for name, value in parts.items()), self.best_loss, self.best_epoch),
                *(self._images_per_epoch / seconds_training, seconds),
            )
            if self._wish() is Wish.STOP:
                self._stop(f"epoch {epoch}")

    @property
    def _beside(self) -> list[nn.Parameter]:
        """What learns beside the network."""
        return self.aligner.parameters() if self.aligner else []

    @property
    def _progress(self) -> float:
        """Part of the training that is done, were it to take all its epochs."""
        steps = (0, 0) if self.under_way is None else (len(self.under_way.order), len(self.under_way.losses))
        return (len(self.history) * steps[0] + steps[1]) / self.total_steps

    @property
    def _seconds(self) -> float:
        return 0.0 if self.under_way is None else self.under_way.seconds

    def _agree(self, loss: float, parts: dict[str, float]) -> tuple[float, dict[str, float]]:
        """The first process's numbers: the last bits of another's may differ, and all must choose the same epoch."""
        loss, *values = self.group.agreed([loss, *parts.values()])
        return loss, dict(zip(parts, values, strict=True))

    def _wish(self) -> Wish:
        return Wish(self.group.most(self.interruption.wish))

    def _heed(self) -> None:
        """Within an epoch, between two steps: save where that is asked for, and stop where that is."""
        wish = self._wish()
        if wish is Wish.NOTHING or self.under_way is None:
            return
        self._check_finite(self.under_way)
        self.save()
        if wish is Wish.STOP:
            self._stop(f"step {len(self.under_way.losses)} of {len(self.under_way.order)} of epoch {len(self.history) + 1}")

    def _stop(self, where: str) -> None:
        by = "another process" if self.interruption.signal is None else self.interruption.signal.name
        raise Interrupted(f"stopped by {by}: saved after {where} in {self.resume_folder.path}; run again to go on from there")

    def _check_finite(self, under_way: UnderWay) -> np.ndarray:
        """Losses of the steps so far. On a GPU they are looked at here alone: a look at every step would wait for the device."""
        values = torch.stack(under_way.losses).double().cpu().numpy()
        if not np.isfinite(values).all():
            self._diverged(under_way.order[int(np.argmin(np.isfinite(values)))], len(self.history) + 1)
        return values

    def _draw(self, under_way: UnderWay) -> None:
        """Draw the rows of all batches of an epoch, and those of the second sample beside them, as at its beginning."""
        now = self.generator.get_state()
        self.generator.set_state(under_way.generator)
        under_way.order = epoch_order(self.data.train, self.recipe, self.generator)
        under_way.beside = [None] * len(under_way.order) if self.second is None else self.second.beside(under_way.order, self.generator)
        if under_way.losses:
            self.generator.set_state(now)
        self._images_per_epoch = sum(map(len, under_way.order)) + sum(len(rows) for rows in under_way.beside if rows is not None)

    def _train_epoch(self, epoch: int, on_terminal: bool) -> tuple[float, float]:
        """One epoch, or what is left of the one under way; the last learning rate and the mean loss."""
        under_way = self.under_way = self.under_way or UnderWay(self.generator.get_state())
        self.module.train()
        keep_frozen(self.module, self.recipe.freeze)
        self._draw(under_way)
        done, count = len(under_way.losses), len(under_way.order)
        rate = set_step(self.optimizer, self.recipe.schedule, epoch * count - 1, self.total_steps, self.warm_up)
        best = f"best {self.best_loss:.4f}" if self.best_epoch else ""
        with tqdm(total=self._images_per_epoch, unit="img", desc=f"epoch {epoch} {best}", disable=not on_terminal, leave=False, file=sys.stderr) as bar:
            for step, (images, other) in enumerate(self._batches(under_way), done):
                rows, beside = under_way.order[step], under_way.beside[step]
                rate = set_step(self.optimizer, self.recipe.schedule, (epoch - 1) * count + step, self.total_steps, self.warm_up)
                under_way.losses.append(self._step(rows, images, other, epoch, beside))
                if on_terminal and step % 10 == 0:
                    bar.set_postfix_str(f"loss {float(under_way.losses[-1]):.4f}")
                bar.update(len(rows) + (0 if beside is None else len(beside)))
                self._heed()
        return rate, float(np.average(self._check_finite(under_way), weights=[len(rows) for rows in under_way.order]))

    def _batches(self, under_way: UnderWay) -> Iterable[tuple[torch.Tensor, torch.Tensor | None]]:
        """This process's part of the batches that are left of an epoch, and of the second sample's beside them."""
        done = len(under_way.losses)
        images = self.data.images.batches(self.group.mine(under_way.order[done:]))
        beside = [rows for rows in under_way.beside[done:] if rows is not None]
        others = [None] * len(under_way.order[done:]) if self.second is None else self.second.images.batches(self.group.mine(beside))
        return zip(images, others, strict=True)

    def _step(self, rows: np.ndarray, images: torch.Tensor, other: torch.Tensor | None, epoch: int, beside: np.ndarray | None = None) -> torch.Tensor:
        """One step with the batch `rows` and, of a second sample, `beside`; `images` and `other` are this process's part of them."""
        images = augment(images, self.recipe.augmentation, self.generator, self.group.part(len(rows)), len(rows))
        if other is not None and beside is not None:
            other = augment(other, self.recipe.augmentation, self.generator, self.group.part(len(beside)), len(beside))
        targets = smoothed(self.data.targets[torch.from_numpy(rows).to(self.device, non_blocking=True)], self.recipe.label_smoothing)
        first, second = self._call(images, other)
        if self.group.size > 1:
            first, second = self._whole(first, len(rows)), None if second is None or beside is None else self._whole(second, len(beside))
        loss = self._total(first, second, targets, epoch, self._progress)[0]
        if self.device.type == "cpu" and not torch.isfinite(loss):
            self._diverged(rows, epoch, first.values)
        self.optimizer.zero_grad(set_to_none=True)
        # the gradients of several processes are averaged, and their sum is wanted
        (loss * self.group.size if self.group.size > 1 else loss).backward()
        self.group.once(self._beside)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        return loss.detach()

    def _whole(self, rows: Rows, count: int) -> Rows:
        """Rows of the whole batch from those of every process."""
        return Rows(self.group.whole(rows.values, count), None if rows.features is None else self.group.whole(rows.features, count))

    def _call(self, images: torch.Tensor, other: torch.Tensor | None) -> tuple[Rows, Rows | None]:
        """Both samples through the network, at once: batch normalisation sees them as one batch."""
        count = len(images)
        if other is None:
            with autocast(self.device, self.precision):
                return self.objective.rows(self.learner, images.contiguous(memory_format=torch.channels_last)), None
        if self.source is not None:
            with autocast(self.device, self.precision), torch.no_grad():
                first = self.objective.rows(self.source, images.contiguous(memory_format=torch.channels_last))
            with autocast(self.device, self.precision):
                return first, self.objective.rows(self.learner, other.contiguous(memory_format=torch.channels_last))
        both = torch.cat([images, other]).contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.precision):
            values, features = self.objective.rows(self.learner, both)
        return Rows(values[:count], None if features is None else features[:count]), Rows(values[count:], None if features is None else features[count:])

    def _total(
        self, first: Rows, second: Rows | None, targets: torch.Tensor, epoch: int | None = None, progress: float | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss, and what is reported of the alignment in it; as weighted in this epoch and at this part of the training, else the whole of both."""
        loss = self.objective.loss(first.values, targets, epoch)
        if second is None or self.aligner is None:
            return loss, {}
        if self.recipe.unsupervised:
            loss = (loss + self.objective.loss(second.values, None, epoch)) / 2
        assert first.features is not None and second.features is not None
        aligned = self.aligner.loss(first.features, second.features, progress)
        return loss + aligned.loss, aligned.parts

    @torch.inference_mode()
    def validate(self) -> tuple[float, dict[str, float]]:
        """The loss over all validation rows at once (a mean over batches would depend on how they are cut), and its parts."""
        first = self._rows_of(self.source or self.judged, self.data.images, self.data.validation)
        second = None if self.second is None else self._rows_of(self.judged, self.second.images, self.second.validation)
        targets = self.data.targets[torch.from_numpy(self.data.validation).to(self.device)]
        total, aligned = self._total(_thinned(first), None if second is None else _thinned(second), targets)
        loss = float(total)
        if not np.isfinite(loss):
            self._diverged(self.data.validation, len(self.history) + 1, first.values)
        values = first.values if second is None else torch.cat([first.values, second.values])
        return loss, self.objective.parts(values) | {name: float(value) for name, value in aligned.items()}

    @torch.inference_mode()
    def active_units(self) -> int:
        """Latents of an autoencoder that carry something: variance of their mean over the validation images above 0.01 (Burda et al. 2016).

        The images are those that the network learned from: with a frozen source, the second sample's.
        """
        seen = self.data if self.source is None or self.second is None else self.second
        features = self._rows_of(self.module, seen.images, seen.validation).features
        assert features is not None
        return int((features.double().var(dim=0, correction=0) > 0.01).sum())

    def _rows_of(self, module: nn.Module, images: DeviceStamps, rows: np.ndarray) -> Rows:
        """Values and features of these rows in evaluation mode; draws of latents are the same at every call.

        Several processes share the rows, but for an autoencoder, whose draws go through them all.
        """
        module.eval()
        noise = torch.Generator(device=self.device).manual_seed(self.seed)
        size, shared = max(self.recipe.batch_size, 64), self.group.size > 1 and not self.recipe.unsupervised
        mine = rows[self.group.part(len(rows))] if shared else rows
        found = []
        for batch in images.batches([mine[start : start + size] for start in range(0, max(len(mine), 1), size)]):
            with autocast(self.device, self.precision):
                found.append(self.objective.rows(module, batch.contiguous(memory_format=torch.channels_last), noise))
            if self.group.size == 1:
                self._heed()
        features = None if found[0].features is None else torch.cat([part.features for part in found if part.features is not None])
        together = Rows(torch.cat([part.values for part in found]), features)
        return self._whole(together, len(rows)) if shared else together

    def _diverged(self, rows: np.ndarray, epoch: int, outputs: torch.Tensor | None = None) -> None:
        ids = self.data.object_id[rows]
        if outputs is not None:
            broken = ~torch.isfinite(outputs.detach().float()).all(dim=1).cpu().numpy()
            ids = ids[broken] if broken.any() else ids
        kept = f"the weights of epoch {self.best_epoch} are in {self.resume_folder.best(self.best_epoch)}" if self.best_epoch else "no epoch had finished"
        raise ModelError(
            f"the loss is not finite in epoch {epoch}, in a batch with {name_some(ids)}: look at these stamps, or lower the learning rate "
            f"({self.recipe.optimizer.learning_rate:g}); {kept}"
        )


def _thinned(rows: Rows) -> Rows:
    """The same values, and the features of at most `COMPARED` rows, evenly spread."""
    if rows.features is None or len(rows.features) <= COMPARED:
        return rows
    return Rows(rows.values, rows.features[torch.linspace(0, len(rows.features) - 1, COMPARED).round().long().to(rows.features.device)])
