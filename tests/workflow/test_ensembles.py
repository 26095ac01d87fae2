"""The graph of an ensemble: every member is a training of its own, and a new one changes no other."""

from pathlib import Path

import pytest
import yaml

from tuningfork.config import load
from tuningfork.workflow import Workflow


def _workflow(repository: Path, **changes: object) -> Workflow:
    raw = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    raw["models"]["metallicity"] |= changes
    return Workflow(load(raw, [], repository / "config" / "recipes"), repository)


def test_members_differ_from_the_main_network_in_one_thing_each(repository: Path) -> None:
    ensemble = {"seeds": 2, "sizes": [32], "networks": [{"name": "resnet18"}]}
    wf = _workflow(repository, ensemble=ensemble, seed=5)
    names = [f"metallicity.{end}" for end in ("seed1", "seed2", "size32", "network1")]
    assert wf.members("metallicity") == names
    main = wf.training("metallicity")
    changed = [{key: value for key, value in wf.training(name).items() if main.get(key) != value} for name in names]
    assert changed == [{"seed": 6}, {"seed": 7}, {"size": 32}, {"network": {"name": "resnet18", "options": {}}}]
    assert wf.network_modules("metallicity", *names) == ["tuningfork.networks.deep_clash", "tuningfork.networks.resnet"]
    assert wf.prediction("metallicity", "sdss") == {"members": 4, "sizes": [None, None, None, 32, None], "shifts_px": 0}
    assert wf.evaluation("metallicity")["histories"] == ["metallicity", *names]


def test_a_further_member_leaves_the_trainings_there_are_alone(repository: Path) -> None:
    before = _workflow(repository, folds=2, ensemble={"seeds": 1, "sizes": [48], "networks": [{"name": "resnet18"}]})
    more = {"seeds": 3, "sizes": [32, 48], "networks": [{"name": "resnet18"}, {"name": "deep-clash"}], "shifts_px": 1}
    after = _workflow(repository, folds=2, ensemble=more, calibration={"coverage": 0.95})
    for name in before.plans:
        assert before.training(name) == after.training(name), name
    assert set(after.plans) - set(before.plans) == {f"metallicity.{end}" for end in ("seed2", "seed3", "size32", "network2")}
    assert before.networks("metallicity", "sdss")[-2:] == ["metallicity.fold0", "metallicity.fold1"]
    assert not [name for name in before.networks("metallicity", "des") if "fold" in name]


def test_without_an_ensemble_nothing_is_new_in_a_training(repository: Path) -> None:
    wf = _workflow(repository)
    assert set(wf.training("metallicity")) == {"sample", "task", "targets", "network", "recipe", "seed", "fold", "folds", "split_seed", "simulated"}
    assert wf.members("metallicity") == []


@pytest.mark.parametrize(("calibration", "expected"), [({"coverage": 0.68}, 0.68), ({}, 0.9)])
def test_a_calibration_knows_the_sample_that_was_trained_on(repository: Path, calibration: dict, expected: float) -> None:
    wf = _workflow(repository, calibration=calibration)
    assert wf.calibration("metallicity") == {
        "model": "metallicity",
        "sample": "sdss",
        "task": "regression",
        "targets": ["oh_p50"],
        "coverage": expected,
        "temperature": None,
        "class_conditional": False,
    }
    assert wf.calibration("vae-adapted")["sample"] == "decals"  # judged on another survey, calibrated on its own
