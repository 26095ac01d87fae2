"""Files in timm's names fit our networks: what differs is adapted by a rule, starts anew and is said, or is an error that lists it."""

import functools
import re

import pytest
import torch
from hypothesis import given as drawn_from
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.nn import functional

from tuningfork.errors import ModelError
from tuningfork.networks.pretrained import adapt_channels, fit_tensors, start_from_tensors
from tuningfork.networks.registry import build
from tuningfork.networks.weights import read_weights

HEADS = {"resnet18": "fc.", "convnext_atto": "head.fc."}


def network(name="convnext_atto", seed=0, in_channels=3, n_outputs=4, **options):
    return build(name, in_channels=in_channels, n_outputs=n_outputs, image_size=64, seed=seed, **options)


@functools.cache
def drawn(name, n_classes, in_channels):
    """Tensors as timm writes them, with the plain head and numbers unlike any first weights; shared by the tests, which copy what they change."""
    whole = network(name, in_channels=in_channels, n_outputs=n_classes, **({"head": "linear"} if name.startswith("resnet") else {}))
    shapes = {key: (value.shape, value.is_floating_point()) for key, value in whole.state_dict().items()}
    generator = torch.Generator().manual_seed(5)
    return {key: torch.rand(shape, generator=generator) * 0.1 + 0.05 if floats else torch.tensor(7) for key, (shape, floats) in shapes.items()}


def timm_file(name="convnext_atto", n_classes=1000, in_channels=3, prefix="", dtype=torch.float32):
    state = drawn(name, n_classes, in_channels)
    return {prefix + key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}


@pytest.mark.parametrize(
    ("name", "prefix"), [("resnet18", ""), ("resnet18", "model."), ("convnext_atto", ""), ("convnext_atto", "encoder."), ("convnext_atto", "module.backbone.")]
)
def test_a_file_fits_whatever_all_its_names_begin_with(tmp_path, caplog, name, prefix):
    given = timm_file(name, prefix=prefix)
    save_file(given, tmp_path / "w.safetensors")
    module = network(name)
    with caplog.at_level("INFO"):
        fitted = start_from_tensors(module, read_weights(tmp_path / "w.safetensors"), "w.safetensors")
    assert fitted.prefix == prefix
    state = module.state_dict()
    body = {key for key in state if not key.startswith(("head.fc.", "fc.", "head." if name == "resnet18" else "head.fc."))}
    assert all(torch.equal(state[key], given[prefix + key]) for key in body) and body == set(fitted.tensors)
    rest = {key for key in state if not key.endswith("num_batches_tracked")} - body
    assert rest and set(fitted.fresh) == rest, "the head starts anew"
    assert f"w.safetensors: {len(body)} tensors loaded" in caplog.text
    assert all(key in caplog.text for key in fitted.fresh)
    assert f"{HEADS[name]}weight" in caplog.text and "1000x" in caplog.text, "the head of the file is not dropped in silence"


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_a_head_of_the_same_size_is_taken(name):
    module = network(name, **({"head": "linear"} if name == "resnet18" else {}))
    given = timm_file(name, n_classes=4)
    fitted = start_from_tensors(module, given, "w")
    assert fitted.fresh == [] and fitted.notes == []
    assert all(torch.equal(value, given[key]) for key, value in module.state_dict().items())


def test_an_encoder_without_a_head_leaves_the_head_fresh():
    module = network()
    before = module.head.fc.weight.detach().clone()
    given = {key: value for key, value in timm_file().items() if not key.startswith("head.fc.")}
    fitted = start_from_tensors(module, given, "w")
    assert fitted.fresh == ["head.fc.weight", "head.fc.bias"] and torch.equal(module.head.fc.weight, before)
    assert fitted.notes[0] == ("the head starts anew: head.fc.weight (in the network 4x320, not in the file), head.fc.bias (in the network 4, not in the file)")


def test_counters_that_a_file_lacks_are_said_and_stay_zero():
    module = network("resnet18")
    given = {key: value for key, value in timm_file("resnet18").items() if not key.endswith("num_batches_tracked")}
    fitted = start_from_tensors(module, given, "w")
    assert any(note.startswith("20 counters of batch normalisation") for note in fitted.notes)
    assert int(module.bn1.num_batches_tracked) == 0 and torch.equal(module.bn1.running_var, given["bn1.running_var"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_and_double_precision_are_read(tmp_path, dtype):
    given = timm_file(dtype=dtype)
    save_file(given, tmp_path / "w.safetensors")
    module = network()
    start_from_tensors(module, read_weights(tmp_path / "w.safetensors"), "w")
    assert all(value.dtype == torch.float32 for value in module.state_dict().values())
    assert torch.equal(module.stages[2].blocks[5].conv_dw.weight, given["stages.2.blocks.5.conv_dw.weight"].float())


@pytest.mark.parametrize("name", ["convnext_atto", "convnext_tiny"])
def test_dense_layers_fit_in_both_shapes(name):
    module = network(name).eval()
    own = module.state_dict()
    turned = {
        key: value.flatten(1) if value.ndim == 4 else value[:, :, None, None] for key, value in own.items() if ".mlp.fc" in key and key.endswith("weight")
    }
    fitted = fit_tensors(module, own | {key: value + 1 for key, value in turned.items()}, "w")
    assert len(turned) >= 24 and fitted.fresh == []
    assert all(torch.equal(fitted.tensors[key], own[key] + 1) for key in turned)
    assert fitted.notes == [f"{len(turned)} weights of dense layers were stored as 1x1 convolutions, or the other way round"]


# The first convolution -------------------------------------------------------------------------------------------


def test_kernels_of_other_channel_numbers_are_sums_or_repeats():
    weight = torch.arange(12.0).reshape(2, 3, 1, 2)
    assert adapt_channels(weight, 3) is weight
    assert adapt_channels(weight, 1).tolist() == [[[[6.0, 9.0]]], [[[24.0, 27.0]]]]
    assert adapt_channels(weight, 2).tolist() == (weight[:, :2] * 1.5).tolist()
    five = adapt_channels(weight, 5)
    assert torch.equal(five, torch.stack([weight[:, c] for c in (0, 1, 2, 0, 1)], dim=1) * 0.6)
    assert torch.equal(adapt_channels(weight[:, :1], 4), weight[:, :1].expand(-1, 4, -1, -1) / 4)


@pytest.mark.parametrize(
    ("name", "theirs", "ours"), [("resnet18", 3, 1), *(("convnext_atto", theirs, ours) for theirs, ours in ((3, 1), (3, 6), (1, 3), (3, 2), (3, 5)))]
)
def test_a_grey_image_excites_the_adapted_layer_as_before(name, theirs, ours):
    given = timm_file(name, in_channels=theirs)
    first = "conv1.weight" if name == "resnet18" else "stem.0.weight"
    fitted = fit_tensors(network(name, in_channels=ours), given, "w")
    assert any(note.startswith(f"{first}: adapted from {theirs} to {ours} channel(s): kernels ") for note in fitted.notes)
    grey = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    adapted = functional.conv2d(grey.expand(-1, ours, -1, -1), fitted.tensors[first])
    if ours == 1 or ours % theirs == 0:
        torch.testing.assert_close(adapted, functional.conv2d(grey.expand(-1, theirs, -1, -1), given[first]))
    else:
        by_hand = sum(functional.conv2d(grey, given[first][:, c % theirs, None]) for c in range(ours)) * theirs / ours
        torch.testing.assert_close(adapted, by_hand)


@pytest.mark.parametrize(
    ("name", "first", "channels"),
    [("resnet18", ["conv1.weight"], 5), ("convnext_atto", ["stem.0.weight", "stem.0.bias"], 5), ("convnext_atto", ["stem.0.weight", "stem.0.bias"], 3)],
)
def test_the_first_layer_starts_anew_where_that_is_asked(name, first, channels):
    module = network(name, in_channels=channels)
    before = {key: module.state_dict()[key].clone() for key in first}
    fitted = start_from_tensors(module, timm_file(name), "w", first_layer="fresh")
    assert fitted.fresh[: len(first)] == first
    assert all(torch.equal(module.state_dict()[key], value) for key, value in before.items())
    assert f"first_layer: fresh: {', '.join(first)} start(s) anew" in fitted.notes


def test_no_other_layer_is_adapted():
    given = timm_file()
    given["stages.1.downsample.1.weight"] = given["stages.1.downsample.1.weight"][:, :3]
    with pytest.raises(ModelError, match=r"stages\.1\.downsample\.1\.weight: in the file 80x3x2x2, in the network 80x40x2x2"):
        fit_tensors(network(), given, "w")


# What does not fit -----------------------------------------------------------------------------------------------


def test_every_mismatch_is_listed_and_nothing_is_changed():
    module = network("resnet18")
    before = {key: value.clone() for key, value in module.state_dict().items()}
    given = timm_file("resnet18")
    gone = [key for key in given if key.startswith("layer3.") and not key.endswith("num_batches_tracked")]
    for key in gone:
        del given[key]
    given |= {"bn1.weight": torch.ones(32), "layer9.weight": torch.ones(2, 3), "layer1.0.bn1.bias": torch.ones(64, dtype=torch.int64)}
    with pytest.raises(ModelError) as caught:
        start_from_tensors(module, given, "weights/w.safetensors")
    text = str(caught.value)
    assert text.startswith(f"weights/w.safetensors: weights of another network (resnet18 wanted). {len(gone) + 3} tensor(s) do not fit: ")
    lines = {line.strip() for line in text.splitlines()}
    assert {f"{key}: in the network {'x'.join(map(str, before[key].shape))}, not in the file" for key in gone} <= lines
    assert "bn1.weight: in the file 32, in the network 64" in lines
    assert "layer9.weight: in the file 2x3, not in the network" in lines
    assert "layer1.0.bn1.bias: in the file torch.int64, in the network torch.float32" in lines
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize(("name", "other"), [("resnet18", "convnext_atto"), ("convnext_atto", "resnet18"), ("convnext_atto", "convnext_pico")])
def test_weights_of_another_network_are_refused(name, other):
    with pytest.raises(ModelError, match=f"w: weights of another network \\({name} wanted\\)"):
        fit_tensors(network(name), timm_file(other), "w")


def test_an_empty_file_is_refused():
    with pytest.raises(ModelError, match="weights of another network"):
        fit_tensors(network(), {}, "w")


@pytest.mark.parametrize("prefix", ["encoder", "encoder."])
def test_what_is_outside_the_prefix_is_said(caplog, prefix):
    given = timm_file(prefix="encoder.") | {"decoder.weight": torch.ones(3), "head.fc.weight": torch.ones(34, 320)}
    with caplog.at_level("INFO"):
        fitted = start_from_tensors(network(), given, "w", prefix=prefix)
    assert fitted.prefix == "encoder." and "not used, outside 'encoder.': decoder.weight, head.fc.weight" in caplog.text


def test_without_it_the_prefix_is_suggested():
    given = timm_file(prefix="encoder.") | {"decoder.weight": torch.ones(3)}
    with pytest.raises(ModelError, match=r"130 tensor|128 of its names are the network's behind 'encoder\.': set from\.prefix to it"):
        fit_tensors(network(), given, "w")


def test_a_prefix_that_is_not_there():
    with pytest.raises(ModelError, match=r"from\.prefix: no tensor of w begins with 'encodr\.'; they begin with decoder, encoder"):
        fit_tensors(network(), timm_file(prefix="encoder.") | {"decoder.weight": torch.ones(3)}, "w", prefix="encodr")


def test_an_unknown_first_layer():
    with pytest.raises(ModelError, match=r"from\.first_layer: 'adpt' is not one of adapt, fresh"):
        fit_tensors(network(), timm_file(), "w", first_layer="adpt")


@pytest.mark.parametrize(("value", "dtype"), [(float("nan"), torch.float32), (float("inf"), torch.float16), (1e300, torch.float64)])
def test_numbers_that_are_not_finite_are_refused(value, dtype):
    given = timm_file()
    given["stem.1.bias"] = given["stem.1.bias"].to(dtype, copy=True)
    given["stem.1.bias"][3] = value
    with pytest.raises(ModelError, match=r"w: weights that are not finite: \n  stem\.1\.bias"):
        fit_tensors(network(), given, "w")


def test_networks_of_timm_itself_take_its_files():
    class Wrapped(torch.nn.Module):
        """Behaves as `timm_backbones.TimmNetwork`, whose parameters stand below ``model.``."""

        weights_prefix, head_names, name, in_channels = "model.", ("model.fc.",), "timm:plain", 2

        def __init__(self):
            super().__init__()
            self.model = torch.nn.ModuleDict({"conv": torch.nn.Conv2d(2, 4, 3), "fc": torch.nn.Linear(4, 3)})

    given = {"conv.weight": torch.rand(4, 3, 3, 3), "conv.bias": torch.rand(4), "fc.weight": torch.rand(1000, 4), "fc.bias": torch.rand(1000)}
    for prefix in ("", "model."):
        module = Wrapped()
        fitted = start_from_tensors(module, {prefix + key: value for key, value in given.items()}, "w")
        assert fitted.fresh == ["model.fc.weight", "model.fc.bias"]
        assert torch.equal(module.model["conv"].weight, given["conv.weight"][:, :2] * 1.5)


class Tiny(torch.nn.Module):
    """The parts that the rules know: a first convolution, counters, a dense layer in the body, a head."""

    head_names, name, in_channels = ("fc.",), "tiny", 2

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3)
        self.dense, self.fc = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)


SHAPES = st.lists(st.integers(0, 4), max_size=5).map(tuple) | st.sampled_from([(3, 1, 3, 3), (3, 3, 3, 3), (4, 3, 1, 1), (5, 4)])
NAMES = st.sampled_from([*Tiny().state_dict(), "fc.scale", "fcx", "bn2.weight", "", ".", "a.conv1.weight"])


@drawn_from(
    st.dictionaries(NAMES, SHAPES, max_size=5), st.sets(NAMES, max_size=3), st.sampled_from(["", "e.", "a.b."]), st.sampled_from([None, "", "e", "a.b"])
)
def test_every_tensor_of_both_sides_is_taken_or_named(changed, gone, begin, prefix):
    module = Tiny()
    given = {begin + key: torch.full(value.shape, 2, dtype=value.dtype) for key, value in module.state_dict().items() if key not in gone}
    given |= {begin + key: torch.ones(shape) for key, shape in changed.items()}
    before = {key: value.clone() for key, value in module.state_dict().items()}
    try:
        fitted = start_from_tensors(module, given, "w", prefix=prefix)
    except ModelError as error:
        assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
        assert re.search(r"^w: weights of another network|^from\.prefix", str(error))
        return
    text, taken = " ".join(fitted.notes), fitted.tensors
    state = module.state_dict()
    for key in given:
        own = key.removeprefix(fitted.prefix)
        assert own in taken or own in text, "what the file has is taken or named"
    for key, value in state.items():
        assert key in taken or (torch.equal(value, before[key]) and (key in fitted.fresh or key.endswith("num_batches_tracked")))
        assert key not in fitted.fresh or key.startswith("fc."), "only the head may start anew"
