"""Networks are found by name, without torch by the configuration and with it by the registry, and a wrong request says what is right."""

import ast
import subprocess
import sys

import pytest
import torch

from tuningfork.errors import ModelError
from tuningfork.networks import registry
from tuningfork.networks.registry import available, build, register

PUBLISHED = {"deep-clash", "deepshadows", "galaxy-vae", "galaxy10", "resnet18", "resnet34", "resnet50"}


def test_names_read_from_the_source_are_the_registered_names(repository):
    names = []
    for path in (repository / "tuningfork" / "networks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for decorator in getattr(node, "decorator_list", []):
                if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "register":
                    names.append(ast.literal_eval(decorator.args[0]))
    assert sorted(names) == available()
    assert set(names) >= PUBLISHED


def test_no_network_imports_torchvision_or_timm():
    code = "import sys; from tuningfork.networks.registry import available; available(); print(sorted({'torchvision', 'timm'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ModelError, match=r"no network is called 'deep_clash' \(did you mean 'deep-clash'\?\)"):
        build("deep_clash", in_channels=1, n_outputs=5, image_size=80)


@pytest.mark.parametrize("name", ["timm:", "timm:<model>"])
def test_the_pattern_of_timm_is_no_network(name):
    with pytest.raises(ModelError, match="no network is called"):
        build(name, in_channels=1, n_outputs=5, image_size=80)


def test_unknown_option_suggests_the_nearest():
    with pytest.raises(ModelError, match=r"no option 'widht' \(did you mean 'width'\?\); its options: as_published, width"):
        build("deep-clash", in_channels=1, n_outputs=5, image_size=80, widht=0.5)


@pytest.mark.parametrize("key", ["in_channels", "n_outputs", "image_size"])
@pytest.mark.parametrize("value", [0, -3, 2.5, True, "5"])
@pytest.mark.parametrize("name", ["deep-clash", "resnet18"])
def test_counts_that_make_no_sense_are_named(name, key, value):
    with pytest.raises(ModelError, match=key):
        build(name, **({"in_channels": 1, "n_outputs": 5, "image_size": 80} | {key: value}))


@pytest.mark.parametrize("width", [0, -1.0, float("nan"), float("inf"), "wide", True])
@pytest.mark.parametrize("name", ["deep-clash", "deepshadows", "galaxy10"])
def test_width_must_be_a_positive_number(name, width):
    with pytest.raises(ModelError, match="width must be a positive number"):
        build(name, in_channels=1, n_outputs=5, image_size=80, width=width)


def test_two_builders_cannot_share_a_name(monkeypatch):
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    available()
    with pytest.raises(ModelError, match="registered twice"):

        @register("deep-clash")
        def other(**_):
            return torch.nn.Identity()


def test_a_new_network_is_one_decorated_function(monkeypatch):
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))

    @register("one-layer")
    def one_layer(*, in_channels, n_outputs, image_size, bias=True):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(in_channels * image_size**2, n_outputs, bias=bias))

    assert "one-layer" in available()
    network = build("one-layer", in_channels=2, n_outputs=3, image_size=4, bias=False)
    assert network(torch.zeros(5, 2, 4, 4)).shape == (5, 3)


def test_seeds_give_the_same_weights_and_leave_the_global_generator_alone():
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, same, other = (build("deepshadows", in_channels=3, n_outputs=1, image_size=16, width=0.25, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["dense.weight"], other["dense.weight"])


def test_without_a_seed_the_global_generator_decides():
    drawn = []
    for _ in range(2):
        torch.manual_seed(11)
        drawn.append(build("galaxy-vae", in_channels=1, n_outputs=0, image_size=64).mu.weight)
    assert torch.equal(*drawn)
