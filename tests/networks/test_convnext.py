"""ConvNeXt has timm's tensors and the published sizes, and computes what the paper says."""

import math

import pytest
import torch
from torch.nn import functional

from tuningfork.errors import ModelError
from tuningfork.networks.registry import build

# Parameters with 1000 classes: tiny to large as Liu et al. 2022 and torchvision say, the smaller ones as timm 1.0.31 counts them (run once, beside this).
COUNTS = {
    "convnext_atto": 3_695_520,
    "convnext_femto": 5_217_784,
    "convnext_pico": 9_045_672,
    "convnext_nano": 15_593_560,
    "convnext_tiny": 28_589_128,
    "convnext_small": 50_223_688,
    "convnext_base": 88_591_464,
    "convnext_large": 197_767_336,
}


def atto(**options):
    return build("convnext_atto", **({"in_channels": 3, "n_outputs": 4, "image_size": 64, "seed": 1} | options))


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_the_published_ones(name):
    with torch.device("meta"):
        network = build(name, in_channels=3, n_outputs=1000, image_size=224)
    assert sum(parameter.numel() for parameter in network.parameters()) == COUNTS[name]


@pytest.mark.parametrize(("name", "count"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)])
def test_resnets_with_the_plain_head_have_the_published_size(name, count):
    network = build(name, in_channels=3, n_outputs=1000, image_size=224, head="linear")
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize(("name", "dense"), [("convnext_nano", (320, 80, 1, 1)), ("convnext_tiny", (384, 96))])
def test_tensors_have_timms_names_and_shapes(name, dense):
    with torch.device("meta"):
        state = build(name, in_channels=3, n_outputs=7, image_size=64).state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    width = dense[1]
    block = {
        "gamma": (width,),
        "conv_dw.weight": (width, 1, 7, 7),
        "conv_dw.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "mlp.fc1.weight": dense,
        "mlp.fc1.bias": (4 * width,),
        "mlp.fc2.weight": (width, 4 * width, *dense[2:]),
        "mlp.fc2.bias": (width,),
    }
    assert {key.removeprefix("stages.0.blocks.1."): shape for key, shape in shapes.items() if key.startswith("stages.0.blocks.1.")} == block
    assert not any(key.startswith("stages.0.downsample") for key in shapes)
    expected = {
        "stem.0.weight": (width, 3, 4, 4),
        "stem.1.bias": (width,),
        "stages.1.downsample.0.weight": (width,),
        "stages.1.downsample.1.weight": (2 * width, width, 2, 2),
        "head.norm.weight": (8 * width,),
        "head.fc.weight": (7, 8 * width),
        "head.fc.bias": (7,),
    }
    assert {key: shapes[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["convnext_atto", "convnext_tiny"])
def test_a_block_is_what_the_paper_says(name):
    network = build(name, in_channels=1, n_outputs=2, image_size=32, seed=3, layer_scale=0.7)
    block = network.stages[0].blocks[1].double().eval()
    torch.manual_seed(1)
    state = {key: torch.randn_like(value) for key, value in block.state_dict().items()}
    block.load_state_dict(state)
    channels = len(state["gamma"])
    x = torch.randn(2, channels, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    # one channel after the other, one pixel's vector after the other
    planes = [functional.conv2d(x[:, c : c + 1], state["conv_dw.weight"][c : c + 1], state["conv_dw.bias"][c : c + 1], padding=3) for c in range(channels)]
    rows = torch.cat(planes, dim=1).movedim(1, -1).reshape(-1, channels)
    rows = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, correction=0, keepdim=True) + 1e-6).sqrt() * state["norm.weight"] + state["norm.bias"]
    hidden = rows @ state["mlp.fc1.weight"].reshape(4 * channels, channels).T + state["mlp.fc1.bias"]
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    rows = (hidden @ state["mlp.fc2.weight"].reshape(channels, 4 * channels).T + state["mlp.fc2.bias"]) * state["gamma"]
    expected = x + rows.reshape(2, 5, 6, channels).movedim(-1, 1)
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected)


def test_stem_halvings_and_head():
    network = atto(in_channels=2).eval()
    images = torch.randn(2, 2, 64, 64)
    with torch.no_grad():
        stem = network.stem(images)
        assert stem.shape == (2, 40, 16, 16)
        torch.testing.assert_close(stem.mean(dim=1), torch.zeros(2, 16, 16), atol=1e-5, rtol=0)
        maps = network.forward_features(images)
        assert maps.shape == (2, 320, 2, 2)
        vector = maps.mean(dim=(2, 3))
        centred = (vector - vector.mean(1, keepdim=True)) / (vector.var(1, correction=0, keepdim=True) + 1e-6).sqrt()
        torch.testing.assert_close(network(images), centred @ network.head.fc.weight.T, atol=1e-5, rtol=1e-4)
        layout = network.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(layout, network(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("side", [32, 64, 75])
def test_images_of_any_size_from_32_pixels_on(side):
    network = atto(image_size=side)
    logits = network(torch.randn(2, 3, side, side))
    assert logits.shape == (2, 4)
    logits.square().sum().backward()
    assert all(parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()) for parameter in network.parameters())
    with pytest.raises(ModelError, match="'convnext_atto' needs images of at least 32 x 32 pixels; image_size is 31"):
        atto(image_size=31)


def test_stochastic_depth_skips_blocks_in_training_alone_and_keeps_the_mean():
    network = atto(stochastic_depth=0.5, layer_scale=1.0)
    drops = [block.drop for stage in network.stages for block in stage.blocks]
    assert drops == pytest.approx([0.5 * i / 11 for i in range(12)])
    block = network.stages[3].blocks[1]
    x = torch.randn(1, 320, 1, 1).expand(1000, -1, -1, -1)
    torch.manual_seed(4)
    with torch.no_grad():
        change = block.eval()(x[:1]) - x[:1]
        found = block.train()(x) - x
    skipped = (found == 0).flatten(1).all(dim=1)
    assert abs(float(skipped.float().mean()) - 0.5) < 0.06
    torch.testing.assert_close(found[~skipped], 2 * change.expand(int((~skipped).sum()), -1, -1, -1), atol=1e-4, rtol=1e-3)


def test_layer_groups_hold_every_parameter_once_in_order():
    network = atto()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = [[names.pop(id(parameter)) for parameter in group] for group in network.layer_groups()]
    assert not names
    starts = ["stem.", "stages.0.", "stages.1.", "stages.2.", "stages.3.", "head."]
    assert [{name[: len(start)] for name in group} for group, start in zip(groups, starts, strict=True)] == [{start} for start in starts]


@pytest.mark.parametrize(("option", "value"), [("stochastic_depth", 1.0), ("stochastic_depth", -0.1), ("layer_scale", 0.0), ("layer_scale", float("nan"))])
def test_options_that_make_no_sense_are_named(option, value):
    with pytest.raises(ModelError, match=f"'convnext_atto': {option} must be a number"):
        atto(**{option: value})


def test_a_resnet_with_the_plain_head():
    network = build("resnet18", in_channels=1, n_outputs=3, image_size=32, head="linear").eval()
    with torch.no_grad():
        maps = network.forward_features(torch.randn(2, 1, 32, 32))
        torch.testing.assert_close(network.forward_head(maps), maps.flatten(2).mean(2) @ network.fc.weight.T + network.fc.bias)
    assert {name.split(".")[0] for name, _ in network.named_parameters()} == {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"}
    assert [parameter.shape for parameter in network.layer_groups()[2]] == [(3, 512), (3,)]
    with pytest.raises(ModelError, match="'resnet18': head must be one of concat_pool, linear, not 'liner'"):
        build("resnet18", in_channels=1, n_outputs=3, image_size=32, head="liner")
