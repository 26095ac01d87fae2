"""The learning rate of every step, against torch's own schedulers and numbers worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, SequentialLR
from toy_sample import NETWORK, RECIPE, TARGETS, make_store

from tuningfork.training.loop import train
from tuningfork.training.schedules import schedule_factors, set_step, warm_up_steps


def test_schedules_at_their_corners():
    assert schedule_factors("constant", 7, 10) == (1.0, None)
    assert schedule_factors("cosine", 0, 10)[0] == 1 and schedule_factors("cosine", 10, 10)[0] == pytest.approx(0)
    corners = {0: (0.1, 0.95), 425: (1.0, 0.85), 850: (0.1, 0.95), 1000: (0.001, 0.95)}
    for step, expected in corners.items():
        assert schedule_factors("one_cycle", step, 1000) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize(("total", "warm_up"), [(40, 0), (40, 7), (13, 12)])
def test_a_warm_up_is_torchs_sequence_of_schedulers(schedule, total, warm_up):
    parameter = torch.nn.Parameter(torch.zeros(1))
    theirs, ours = (torch.optim.SGD([{"params": [parameter], "lr": 0.3, "base_lr": 0.3}]) for _ in range(2))
    after = CosineAnnealingLR(theirs, total - warm_up) if schedule == "cosine" else ConstantLR(theirs, 1.0)
    rise = LinearLR(theirs, 1 / (warm_up + 1), 1.0, warm_up) if warm_up else None
    scheduler = SequentialLR(theirs, [rise, after], [warm_up]) if rise else after
    for step in range(total):
        rate = set_step(ours, schedule, step, total, warm_up)
        assert rate == ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9, abs=1e-12)
        theirs.step()
        scheduler.step()


@given(st.integers(1, 300), st.data())
def test_a_warm_up_rises_to_one_and_the_cosine_falls_from_there(total, data):
    warm_up = data.draw(st.integers(0, total - 1))
    factors = np.array([schedule_factors("cosine", step, total, warm_up)[0] for step in range(total)])
    assert factors[warm_up] == 1 and (factors > 0).all()
    assert (np.diff(factors[: warm_up + 1]) > 0).all() and (np.diff(factors[warm_up:]) < 0).all()
    assert np.diff(factors[: warm_up + 1]) == pytest.approx(1 / (warm_up + 1))


def test_warm_ups_of_parts_of_an_epoch_are_whole_steps():
    assert [warm_up_steps(epochs, 7) for epochs in (0, 0.5, 1, 1.5, 3)] == [0, 4, 7, 10, 21]


def test_the_recipe_warms_up_step_by_step(tmp_path):
    stamps, objects = make_store(tmp_path)
    recipe = {**RECIPE, "schedule": "cosine", "warm_up_epochs": 1.5, "epochs": 4, "draws_per_epoch": 2.0}
    places = {"out_dir": tmp_path / "model", "resume_dir": tmp_path / "resume"}
    result = train(network=NETWORK, stamps=stamps, objects=objects, targets=TARGETS, task="fractions", recipe=recipe, seed=3, threads=1, **places)
    # four steps an epoch: six of warm-up, ten of cosine; the history has the rate of each epoch's last step
    falling = [0.5 * (1 + np.cos(np.pi * step / 10)) for step in (1, 5, 9)]
    assert [row["learning_rate"] / 3e-3 for row in result.history] == pytest.approx([4 / 7, *falling])
