"""The dropout of byte masks against torch's own: the same distribution, the same rule for gradients and modes, other draws."""

import pytest
import torch
from torch import nn

from tuningfork.networks import registry
from tuningfork.networks.layers import Dropout, keep_mask

RATES = [0.25, 0.4, 0.5, 0.9, 1e-6, 1 - 1e-6]


def run(layer: nn.Module, x: torch.Tensor, seed: int) -> torch.Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return layer(x)


@pytest.mark.parametrize("p", [0.25, 0.4, 0.5])
def test_rate_and_scale_are_those_of_torch(p):
    """Zeros within five standard deviations of n p, and the mean of ones kept within five of 1, as torch's own are."""
    n = 400_000
    for layer in (Dropout(p), nn.Dropout(p)):
        out = run(layer, torch.ones(n), 1)
        zeros = float((out == 0).sum())
        assert abs(zeros - n * p) < 5 * (n * p * (1 - p)) ** 0.5
        assert abs(float(out.double().mean()) - 1) < 5 * (p / (1 - p) / n) ** 0.5
        kept = out[out != 0].unique()
        assert len(kept) == 1 and float(kept) == pytest.approx(1 / (1 - p), rel=1e-4)


@pytest.mark.parametrize("p", RATES)
def test_the_scale_is_that_of_the_rate_which_is_drawn(p):
    """The expectation is kept exactly: values kept are multiplied by levels / (levels - dropped), and `dropped` of `levels` draws are zero."""
    levels = 2**8 if (p * 2**8).is_integer() else 2**16
    scale = float(keep_mask(torch.empty(200_000), p, torch.Generator().manual_seed(0)).max())
    if scale > 0:
        dropped = levels - levels / scale
        assert dropped == pytest.approx(round(dropped), abs=0.01) and 1 <= round(dropped) <= levels - 1
        assert round(dropped) / levels == pytest.approx(p, abs=1 / levels)


def test_neighbours_are_dropped_independently():
    """Eight values share one draw of 64 bits: pairs at every distance up to ten agree as often as independent ones do."""
    n, p = 400_000, 0.4
    zero = (keep_mask(torch.empty(n), p, torch.Generator().manual_seed(2)) == 0).double()
    for distance in range(1, 11):
        both = float((zero[:-distance] * zero[distance:]).mean())
        assert abs(both - p * p) < 5 * (p * p * (1 - p * p) / n) ** 0.5 * 2**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.25, 0.4])
def test_the_gradient_passes_where_the_value_does(p, dtype):
    x = torch.randn(3, 5, 7, 9, dtype=dtype, generator=torch.Generator().manual_seed(1)).requires_grad_()
    out = run(Dropout(p), x, 3)
    out.sum().backward()
    assert out.dtype == dtype
    torch.testing.assert_close(x.grad * x, out)
    assert ((x.grad == 0) == (out == 0)).all()


def test_layouts_are_kept_and_the_draw_follows_the_seed():
    plain = torch.ones(4, 3, 6, 5)
    last = plain.contiguous(memory_format=torch.channels_last)
    assert run(Dropout(0.4), last, 1).is_contiguous(memory_format=torch.channels_last) and run(Dropout(0.4), plain, 1).is_contiguous()
    assert run(Dropout(0.4), plain[:, :, ::2], 1).shape == (4, 3, 3, 5)
    assert run(Dropout(0.4), torch.ones(1, 1).expand(50, 40), 1).unique().numel() == 2
    for x in (plain, last, torch.ones(0, 4), torch.ones(13)):
        torch.testing.assert_close(run(Dropout(0.4), x, 1), run(Dropout(0.4), x, 1))
    assert not torch.equal(run(Dropout(0.4), plain, 1), run(Dropout(0.4), plain, 2))
    threads = torch.get_num_threads()
    try:
        alone = run(Dropout(0.4), torch.ones(500, 400), 1)
        torch.set_num_threads(max(2, threads))
        assert torch.equal(alone, run(Dropout(0.4), torch.ones(500, 400), 1))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("p", [0.0, 1.0, 0.4])
def test_modes_and_extremes_are_those_of_torch(p):
    x = torch.randn(20)
    assert torch.equal(Dropout(p).eval()(x), nn.Dropout(p).eval()(x))
    if p in (0.0, 1.0):
        assert torch.equal(Dropout(p)(x), nn.Dropout(p)(x))
    with pytest.raises(ValueError, match="probability"):
        Dropout(1.5)


@pytest.mark.parametrize("name, size", [("deepshadows", 64), ("deep-clash", 80), ("galaxy10", 80), ("resnet18", 32)])
def test_the_published_networks_have_it_and_no_tensor_more(name, size):
    network = registry.build(name, in_channels=3, n_outputs=2, image_size=size, seed=0)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert layers and all(type(layer) is Dropout for layer in layers)
    assert not any(list(layer.state_dict()) for layer in layers)
