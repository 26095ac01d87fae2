"""timm is optional: absent or broken it gives one clear error, present it gives networks like our own."""

import importlib.util
import subprocess
import sys
import types

import pytest
import torch

from tuningfork.errors import ModelError
from tuningfork.networks.registry import build
from tuningfork.networks.weights import load_weights


def test_absent_timm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"'timm:convnext_nano' needs the optional library timm: pip install tuningfork\[timm\]"):
        build("timm:convnext_nano", in_channels=1, n_outputs=5, image_size=80)


@pytest.mark.parametrize("body", ["raise RuntimeError('operator torchvision::nms does not exist')", "import a_library_that_is_not_there"])
def test_timm_that_does_not_import_says_why(tmp_path, monkeypatch, body):
    (tmp_path / "timm.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(ModelError, match=r"timm is installed but does not import \(.*(nms|a_library).*tuningfork\[timm\]"):
        build("timm:resnet18", in_channels=1, n_outputs=5, image_size=80)


class Plain(torch.nn.Module):
    """A network with the interface of timm's convolutional ones."""

    def __init__(self, in_chans, num_classes):
        super().__init__()
        self.conv = torch.nn.Conv2d(in_chans, 4, 3)
        self.fc = torch.nn.Linear(4, num_classes)

    def forward_features(self, x):
        return self.conv(x)

    def forward_head(self, x):
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def stand_in(monkeypatch):
    def create_model(name, *, pretrained, in_chans, num_classes, drop_rate, **more):
        if more:
            raise TypeError(f"__init__() got an unexpected keyword argument '{next(iter(more))}'")
        return Plain(in_chans, num_classes)

    timm = types.ModuleType("timm")
    timm.create_model, timm.is_model, timm.list_models = create_model, lambda name: name == "plain", lambda: ["plain"]
    monkeypatch.setitem(sys.modules, "timm", timm)


def test_a_model_without_img_size_is_built_without_it(stand_in):
    network = build("timm:plain", in_channels=2, n_outputs=3, image_size=16)
    assert network(torch.zeros(2, 2, 16, 16)).shape == (2, 3)


def test_weights_with_timms_own_names_fit(stand_in):
    network = build("timm:plain", in_channels=2, n_outputs=3, image_size=16)
    assert load_weights(network, Plain(2, 1000).state_dict(), allow_head_mismatch=True) == ["model.fc.weight", "model.fc.bias"]


def test_an_unknown_model_suggests_the_nearest(stand_in):
    with pytest.raises(ModelError, match=r"timm has no model 'plian' \(did you mean 'plain'\?\)"):
        build("timm:plian", in_channels=2, n_outputs=3, image_size=16)


def test_real_timm_where_it_imports():
    if importlib.util.find_spec("timm") is None or subprocess.run([sys.executable, "-c", "import timm"], capture_output=True).returncode:
        pytest.skip("timm is not installed, or does not import beside this torch")
    network = build("timm:resnet18", in_channels=1, n_outputs=5, image_size=64).eval()
    assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 5)
