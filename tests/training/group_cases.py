"""Trainings of one configuration each, to be run by one process or by several that share it: started by torchrun as a program."""

import json
import logging
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from toy_sample import RECIPE, TARGETS, make_objects, toy_learner
from toy_survey import CLASSES, make_survey
from toy_survey import RECIPE as SURVEY_RECIPE

from tuningfork.networks import registry
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.distributed import Group, find_group
from tuningfork.training.loop import train


def normed_learner(*, in_channels: int, n_outputs: int, image_size: int) -> nn.Module:
    """The same with batch normalisation of maps and of rows."""
    body, head = toy_learner(in_channels=in_channels, n_outputs=n_outputs, image_size=image_size), list[nn.Module]()
    for layer in body:
        head.append(layer)
        if isinstance(layer, nn.Conv2d):
            head.append(nn.BatchNorm2d(layer.out_channels))
    head.insert(-1, nn.BatchNorm1d(32))
    return nn.Sequential(*head)


CASES = {
    # 37 training rows: batches of 7 leave one of 2, and 7 is no multiple of 2
    "sums": ("toy", {"batch_size": 7}, {}),
    "rmse": ("toy", {"loss": "rmse", "ema": 0.9, "schedule": "cosine", "batch_size": 8, "draws_per_epoch": 1.5}, {"task": "regression", "targets": ["size"]}),
    "normed": ("normed", {"batch_size": 9, "optimizer": {"name": "sgd", "learning_rate": 0.005}}, {}),
    "single": ("toy", {"batch_size": 1, "augmentation": {"d4": True, "flips": True}}, {}),
    "adapted": ("toy", {**SURVEY_RECIPE, "loss": "cross_entropy", "batch_size": 9}, {"adapt": {"method": "mmd", "paired": True}}),
    # plain steps: with Adam the size of the adversary's gradient would not matter
    "adversary": (
        "toy",
        {**SURVEY_RECIPE, "loss": "cross_entropy", "batch_size": 9, "optimizer": {"name": "sgd", "learning_rate": 0.1}},
        {"adapt": {"method": "dann", "weight": 30.0}},
    ),
}
"""Networks without dropout: what several processes do then is what one does, up to rounding."""


def fit(folder: Path, case: str, **more):
    """Train a case into `folder`."""
    registry._BUILDERS.update({"toy": toy_learner, "normed": normed_learner})
    network, recipe, changes = CASES[case]
    given = {"network": {"name": network}, "task": "fractions", "targets": TARGETS, "seed": 5, "threads": 1, "device": "cpu", **changes, **more}
    if adapt := given.pop("adapt", None):
        (stamps, objects), (second, others) = make_survey(45), make_survey(45, second=True)
        given |= {"targets": CLASSES, "task": "classes", "adapt_stamps": second, "adapt_objects": others}
        given |= {"adapt_to": {"sample": "north", "weight": 1.0, **adapt}}
    else:
        shard, objects = make_objects(55)
        stamps = ArrayStamps(shard.object_id, shard.pixels, shard.status, shard.scalars)
    recipe = {**RECIPE, "epochs": 2, **recipe}
    return train(stamps=stamps, objects=objects, recipe={**recipe, "epochs": 2}, out_dir=folder / case, resume_dir=folder / f"{case}.resume", **given)


def gradients(group: Group) -> dict[str, torch.Tensor]:
    """Of a network with batch normalisation, float64, for a loss that is no mean over rows: of seven rows, of which a process has its part."""
    network = registry.build("normed", in_channels=1, n_outputs=2, image_size=48, seed=0).double().train()
    images = torch.rand(7, 1, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    learner = group.wrap(group.synchronised(network))
    outputs = group.whole(learner(images[group.part(7)]), 7)
    ((outputs - 1).square().mean().sqrt() * group.size).backward()
    found = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    return found | {name: buffer for name, buffer in network.named_buffers()}


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    torch.set_num_threads(1)
    folder, rank = Path(sys.argv[1]), os.environ["RANK"]
    for name in CASES:
        result = fit(folder, name)
        (folder / f"{name}.{rank}.json").write_text(json.dumps(result.history))
    save_file(gradients(find_group()), folder / f"gradients.{rank}.safetensors")
