"""The published networks: their sizes as their papers' code gives them, and what every one of them must do."""

import math

import pytest
import torch
from torch import nn

from tuningfork.errors import ModelError
from tuningfork.networks.deepshadows import decay_groups
from tuningfork.networks.registry import build

SMALL = {
    # name: in_channels, n_outputs, image_size, smallest, options that keep the test quick
    "deep-clash": (1, 5, 80, 48, {"width": 0.25}),
    "deepshadows": (3, 3, 64, 8, {"width": 0.5}),
    "galaxy10": (3, 1, 96, 78, {"width": 0.25}),
    "resnet18": (3, 2, 32, 1, {}),
    "resnet34": (2, 1, 32, 1, {}),
    "resnet50": (3, 4, 32, 1, {}),
}


def trainable(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def small(name: str, seed: int = 0, **changes) -> nn.Module:
    in_channels, n_outputs, image_size, _, options = SMALL[name]
    return build(name, **({"in_channels": in_channels, "n_outputs": n_outputs, "image_size": image_size, "seed": seed} | options | changes))


def images(name: str, n: int = 4) -> torch.Tensor:
    in_channels, _, image_size, _, _ = SMALL[name]
    return torch.rand(n, in_channels, image_size, image_size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("name", "in_channels", "n_outputs", "image_size", "options", "expected"),
    [
        ("deep-clash", 1, 5, 80, {}, 5_124_237),
        ("deep-clash", 1, 5, 80, {"as_published": True}, 5_154_765),
        ("deepshadows", 3, 1, 64, {}, 4_220_161),
        ("deepshadows", 3, 3, 64, {}, 4_222_211),
        ("galaxy-vae", 3, 0, 256, {}, 443_507),
        ("galaxy-vae", 3, 0, 256, {"latent": 100}, 812_267),
        ("galaxy10", 3, 1, 256, {}, 1_015_361),
    ],
)
def test_trainable_parameters_as_published(name, in_channels, n_outputs, image_size, options, expected):
    assert trainable(build(name, in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, **options)) == expected


@pytest.mark.parametrize(("name", "imagenet_total", "features"), [("resnet18", 11_689_512, 512), ("resnet34", 21_797_672, 512), ("resnet50", 25_557_032, 2048)])
def test_resnet_bodies_have_the_size_of_the_imagenet_models(name, imagenet_total, features):
    network = build(name, in_channels=3, n_outputs=5, image_size=128)
    assert trainable(network) - trainable(network.head) == imagenet_total - (features * 1000 + 1000)
    assert trainable(network.head) == 2 * 2 * features + (2 * features * 512 + 512) + 2 * 512 + (512 * 5 + 5)


def test_deep_clash_keeps_the_published_sizes_of_maps():
    network = build("deep-clash", in_channels=1, n_outputs=5, image_size=80).eval()
    x = torch.zeros(1, 1, 80, 80)
    stem = network.stem(x)
    assert stem.shape == (1, 128, 16, 16)
    two = network.inception2(network.inception1(stem))
    assert [network.inception1.out_channels, network.inception2.out_channels, two.shape[-1]] == [240, 480, 16]
    assert [getattr(network, f"inception{i}").out_channels for i in (3, 4, 5, 6)] == [512, 512, 544, 528]
    assert network.forward_features(x).shape == (1, 528, 4, 4)
    assert network.dense[1].in_features == 1024


def test_as_published_repeats_the_3x3_tower():
    block = build("deep-clash", in_channels=1, n_outputs=5, image_size=80, as_published=True, seed=1).eval().inception3
    maps = block(torch.rand(2, 480, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert maps.shape == (2, 672, 8, 8)
    assert torch.equal(maps[:, :208], maps[:, 208:416])


def test_galaxy10_and_deepshadows_keep_the_published_sizes_of_maps():
    assert build("galaxy10", in_channels=3, n_outputs=1, image_size=256).eval().forward_features(torch.zeros(1, 3, 256, 256)).shape == (1, 256, 12, 12)
    assert build("deepshadows", in_channels=3, n_outputs=1, image_size=64).eval().forward_features(torch.zeros(1, 3, 64, 64)).shape == (1, 64, 8, 8)


@pytest.mark.parametrize("name", SMALL)
def test_logits_of_the_right_shape_and_finite_gradients_everywhere(name):
    network = small(name).train()
    logits = network(images(name))
    assert logits.shape == (4, SMALL[name][1])
    (logits**2).sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()), key
        assert float(parameter.grad.abs().sum()) > 0, f"{key} is not connected to the output"


@pytest.mark.parametrize("name", SMALL)
def test_forward_is_head_after_features(name):
    network, x = small(name).eval(), images(name)
    with torch.no_grad():
        assert torch.equal(network(x), network.forward_head(network.forward_features(x)))


@pytest.mark.parametrize("name", SMALL)
def test_logits_are_no_probabilities(name):
    network, x = small(name, n_outputs=3).eval(), images(name)
    with torch.no_grad():
        parameters = [p for key, p in network.named_parameters() if key.startswith(network.head_names) and p.shape[0] == 3]
        for parameter in parameters:
            parameter.mul_(50).sub_(1)
        logits = network(x)
    assert float(logits.min()) < 0
    assert not torch.allclose(logits.sum(1), torch.ones(4), atol=0.1)


@pytest.mark.parametrize("name", SMALL)
def test_one_image_does_not_depend_on_the_others_when_predicting(name):
    network, x = small(name).eval(), images(name)
    with torch.no_grad():
        torch.testing.assert_close(network(x)[:1], network(x[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_channels_last_and_bf16_autocast_agree_with_float32(name):
    network, x = small(name).eval(), images(name)
    with torch.no_grad():
        plain = network(x)
        last = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x)
    torch.testing.assert_close(last, plain, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(half.float(), plain, rtol=0.1, atol=0.1 * float(plain.abs().max()) + 0.02)


@pytest.mark.parametrize("name", [name for name in SMALL if SMALL[name][3] > 1])
def test_the_smallest_image_works_and_one_pixel_less_is_refused(name):
    in_channels, n_outputs, _, smallest, _ = SMALL[name]
    assert small(name, image_size=smallest).eval()(torch.zeros(2, in_channels, smallest, smallest)).shape == (2, n_outputs)
    with pytest.raises(ModelError, match=rf"'{name}' needs images of at least {smallest} x {smallest} pixels; image_size is {smallest - 1}"):
        small(name, image_size=smallest - 1)


def test_resnets_take_images_of_any_size():
    network = small("resnet18").eval()
    assert [tuple(network(torch.zeros(2, 3, side, side)).shape) for side in (1, 2, 8, 65)] == [(2, 2)] * 4


@pytest.mark.parametrize("name", ["deep-clash", "deepshadows", "galaxy10"])
def test_images_of_another_size_are_refused_with_both_shapes(name):
    in_channels, _, size, _, _ = SMALL[name]
    with pytest.raises(ModelError, match=rf"built for images N x {in_channels}x{size}x{size}; it was given 1 x {in_channels} x {size + 1} x {size}"):
        small(name)(torch.zeros(1, in_channels, size + 1, size))


@pytest.mark.parametrize("name", SMALL)
def test_another_number_of_channels_is_refused(name):
    _, _, size, _, _ = SMALL[name]
    with pytest.raises(ModelError, match="it was given 1 x 7"):
        small(name)(torch.zeros(1, 7, size, size))


@pytest.mark.parametrize("name", ["deep-clash", "deepshadows", "galaxy10"])
def test_initial_weights_are_those_of_keras(name):
    network = small(name)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            receptive = math.prod(layer.weight.shape[2:])
            limit = math.sqrt(6 / (receptive * (layer.weight.shape[0] + layer.weight.shape[1])))
            assert float(layer.weight.detach().abs().max()) <= limit
            assert not bool(layer.bias.any())
            if layer.weight.numel() > 2000:
                assert float(layer.weight.detach().std()) == pytest.approx(limit / math.sqrt(3), rel=0.1)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all((layer.eps, layer.momentum) == (1e-3, 0.01) for layer in norms)
    assert bool(norms) == (name != "galaxy10")


def test_deep_clash_normalises_only_the_first_three_blocks():
    network = small("deep-clash")
    counts = [sum(isinstance(layer, nn.BatchNorm2d) for layer in getattr(network, f"inception{i}").modules()) for i in range(1, 7)]
    assert counts == [6, 6, 6, 0, 0, 0]


@pytest.mark.parametrize("name", ["deep-clash", "deepshadows", "galaxy10"])
def test_width_scales_the_channels_and_never_to_none(name):
    quarter, whole, thinnest = (trainable(small(name, width=width)) for width in (0.25, 1.0, 1e-9))
    assert 12 < whole / quarter < 20 and thinnest < 5000
    in_channels, n_outputs, size, _, _ = SMALL[name]
    assert small(name, width=1e-9).eval()(torch.zeros(2, in_channels, size, size)).shape == (2, n_outputs)


def test_decay_groups_do_what_l2_terms_in_the_loss_do():
    network = small("deepshadows").double()
    penalty = sum(
        (0.13 * layer.weight.square().sum() for layer in network.blocks.modules() if isinstance(layer, nn.Conv2d)), torch.zeros((), dtype=torch.double)
    )
    penalty = penalty + 0.12 * network.dense.weight.square().sum()
    expected = torch.autograd.grad(penalty, list(network.parameters()), allow_unused=True, materialize_grads=True)
    named = dict(zip(network.parameters(), expected, strict=True))
    before = {p: p.detach().clone() for p in named}
    optimiser = torch.optim.SGD(decay_groups(network), lr=1e-3)
    for parameter in named:
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for parameter, gradient in named.items():
        torch.testing.assert_close(parameter.detach(), before[parameter] - 1e-3 * gradient)


def test_resnet_layer_groups_hold_every_parameter_once():
    network = small("resnet34")
    groups = network.layer_groups()
    assert sorted(id(p) for group in groups for p in group) == sorted(id(p) for p in network.parameters())
    assert {id(p) for p in groups[2]} == {id(p) for p in network.head.parameters()}


@pytest.mark.parametrize(("name", "depths", "convolutions"), [("resnet18", (2, 2, 2, 2), 2), ("resnet34", (3, 4, 6, 3), 2), ("resnet50", (3, 4, 6, 3), 3)])
def test_resnet_bodies_bear_the_names_of_the_imagenet_files(name, depths, convolutions):
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    expected = {"conv1.weight"} | {f"bn1.{x}" for x in norm}
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            for j in range(1, convolutions + 1):
                expected |= {f"layer{stage}.{i}.conv{j}.weight"} | {f"layer{stage}.{i}.bn{j}.{x}" for x in norm}
        if stage > 1 or convolutions == 3:
            expected |= {f"layer{stage}.0.downsample.0.weight"} | {f"layer{stage}.0.downsample.1.{x}" for x in norm}
    network = build(name, in_channels=3, n_outputs=1, image_size=64)
    assert {key for key in network.state_dict() if not key.startswith("head.")} == expected


def test_resnet50_strides_in_the_3x3_convolution():
    block = build("resnet50", in_channels=3, n_outputs=1, image_size=64).layer2[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))


def test_concat_pool_head_sees_mean_and_maximum():
    network = small("resnet18").eval()
    maps = torch.zeros(2, 512, 2, 2)
    maps[1, :, 0, 0] = 4.0
    seen = []
    network.head.bn1.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    network.forward_head(maps)
    assert torch.equal(seen[0][1], torch.cat([torch.ones(512), torch.full((512,), 4.0)]))
