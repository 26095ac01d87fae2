"""A model comes back from its folder as it was, or says what is wrong."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tuningfork.errors import ModelError
from tuningfork.inference.load import load_model
from tuningfork.networks.registry import build
from tuningfork.networks.weights import save_weights
from tuningfork.stamps.store import usable
from tuningfork.training.losses import make_loss
from tuningfork.training.normalisation import apply_normalisation


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained[0], tmp_path / "copy")


def edit(folder, **changes):
    about = json.loads((folder / "model.json").read_text())
    about.update(changes)
    (folder / "model.json").write_text(json.dumps({key: value for key, value in about.items() if value != "gone"}))


def test_the_loaded_model_has_the_validation_loss_that_was_recorded(trained):
    folder, stamps, objects = trained
    model = load_model(folder, "cpu")
    rows = stamps.index_of(objects["object_id"][objects["split"] == "validation"])
    assert usable(stamps.status[rows]).all()
    sky = [torch.from_numpy(stamps.scalars[name][rows]) for name in ("sky", "sky_sigma")]
    with torch.inference_mode():
        outputs = model.network(apply_normalisation(model.normalisation, torch.from_numpy(stamps.take(rows)), *sky))
    truth = np.stack([objects[name][objects["split"] == "validation"] for name in model.targets], axis=1)
    loss = float(make_loss("per_sample_rmse", "fractions")(outputs, torch.from_numpy(truth).float()))
    assert loss == pytest.approx(model.info["training"]["best_validation_loss"], rel=1e-5)


def test_weights_of_another_network_are_refused(copy):
    save_weights(build("deep-clash", in_channels=1, n_outputs=3, image_size=48, seed=1, width=0.1), copy / "weights.safetensors")
    with pytest.raises(ModelError, match=r"weights of another network \(deep-clash wanted\).*stem"):
        load_model(copy)


def test_exchanged_weights_of_the_same_network_are_noticed(copy):
    tensors = load_file(copy / "weights.safetensors")
    save_file({name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}, copy / "weights.safetensors")
    with pytest.raises(ModelError, match=r"not the weights that model\.json was written with"):
        load_model(copy)


def test_truncated_weights_are_refused(copy):
    weights = copy / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        load_model(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 7}, "format 7; this version reads format 1"),
        ({"normalisation": "gone"}, "no normalisation in it"),
        ({"network": {"name": "deep-clsh", "options": {}}}, "deep-clash"),
        ({"network": {"name": "deep-clash", "options": {"widht": 1}}}, "widht"),
        ({"task": "regression"}, "without target_mean"),
    ],
)
def test_a_description_that_describes_no_model_is_refused(copy, changes, message):
    edit(copy, **changes)
    with pytest.raises(ModelError, match=message):
        load_model(copy)


def test_no_model_there(tmp_path, copy):
    with pytest.raises(ModelError, match=r"no model\.json there"):
        load_model(tmp_path)
    (copy / "model.json").write_text("{")
    with pytest.raises(ModelError, match="not readable as JSON"):
        load_model(copy)


def test_a_device_that_is_not_there(trained):
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="device 'cuda' is not there"):
            load_model(trained[0], "cuda")
    with pytest.raises(ModelError, match="device 'gpu7'"):
        load_model(trained[0], "gpu7")
