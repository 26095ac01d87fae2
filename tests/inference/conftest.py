"""The toy sample of the training tests, and a model trained on it once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """(folder of a trained model, its stamps, its objects); not to be changed."""
    from toy_sample import NETWORK, RECIPE, TARGETS, make_store

    from tuningfork.training.loop import train

    folder = tmp_path_factory.mktemp("trained")
    stamps, objects = make_store(folder)
    places = {"out_dir": folder / "model", "resume_dir": folder / "resume"}
    train(network=NETWORK, stamps=stamps, objects=objects, targets=TARGETS, task="fractions", recipe=RECIPE, seed=1, threads=1, **places)
    return folder / "model", stamps, objects
