"""The autoencoder: shapes, draws, unpooling by the encoder's indices, and independence of one instance from the next."""

import pytest
import torch

from tuningfork.errors import ModelError
from tuningfork.networks.galaxy_vae import unpooled
from tuningfork.networks.registry import build


def vae(**options):
    return build("galaxy-vae", **({"in_channels": 3, "n_outputs": 0, "image_size": 64, "seed": 2} | options))


def images(n=3):
    return torch.rand(n, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("unpool", [False, True])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_gives_reconstruction_mean_and_log_variance_with_finite_gradients(unpool, upsampling):
    network = vae(latent=7, unpool=unpool, upsampling=upsampling).train()
    out = network(images(), torch.Generator().manual_seed(0))
    assert out.reconstruction.shape == (3, 3, 64, 64)
    assert out.mu.shape == out.logvar.shape == (3, 7)
    loss = (out.reconstruction - images()).square().sum() - 0.5 * (1 + out.logvar - out.mu.square() - out.logvar.exp()).sum()
    loss.backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()) and float(parameter.grad.abs().sum()) > 0, key


def test_published_sizes_at_256_pixels():
    network = build("galaxy-vae", in_channels=3, n_outputs=0, image_size=256).eval()
    assert network.forward_features(torch.zeros(1, 3, 256, 256)).shape == (1, 128, 4, 4)
    assert network(torch.zeros(1, 3, 256, 256)).reconstruction.shape == (1, 3, 256, 256)


def test_evaluation_is_the_decoded_mean():
    network = vae().eval()
    with torch.no_grad():
        out = network(images())
        mu, logvar = network.encode(images())
        assert torch.equal(out.mu, mu) and torch.equal(out.logvar, logvar)
        torch.testing.assert_close(out.reconstruction, network.decode(mu))


def test_draws_come_from_the_generator_alone():
    network = vae().train()
    with torch.no_grad():
        one, same, other = (network(images(), torch.Generator().manual_seed(s)).reconstruction for s in (5, 5, 6))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_draws_have_the_mean_and_variance_of_the_latents():
    network = vae(latent=2)
    mu, logvar = torch.tensor([[3.0, -1.0]]).expand(20_000, 2), torch.log(torch.tensor([[4.0, 0.25]])).expand(20_000, 2)
    z = network.draw(mu, logvar, torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(0), torch.tensor([3.0, -1.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(z.std(0), torch.tensor([2.0, 0.5]), rtol=0.03, atol=0)


def test_published_reconstructions_are_not_negative_and_linear_ones_are_free():
    with torch.no_grad():
        for output, lowest in (("relu", 0.0), ("softplus", 0.0), ("linear", -10.0)):
            network = vae(output=output).eval()
            network.last.bias.fill_(-1.0)
            assert lowest <= float(network(images()).reconstruction.min())
            assert (float(network(images()).reconstruction.min()) < 0) == (output == "linear")
    with pytest.raises(ModelError, match="upsampling 'cubic' is not one of transposed, bilinear"):
        vae(upsampling="cubic")
    with pytest.raises(ModelError, match="output 'tanh' is not one of linear, softplus, relu"):
        vae(output="tanh")


@pytest.mark.parametrize("size", [64, 128])
def test_a_side_of_any_multiple_of_64(size):
    network = vae(image_size=size, in_channels=2).eval()
    assert network(torch.zeros(1, 2, size, size)).reconstruction.shape == (1, 2, size, size)


def test_a_generator_draws_in_evaluation_too():
    network = vae().eval()
    with torch.no_grad():
        one, same, mean = (network(images(), generator).reconstruction for generator in (torch.Generator(), torch.Generator(), None))
    assert torch.equal(one, same) and not torch.equal(one, mean)


def test_unpooling_puts_the_light_where_the_encoder_found_it():
    network = vae(unpool=True).eval()
    with torch.no_grad():
        mu, _, indices = network.encode_with_indices(images())
        _, _, others = network.encode_with_indices(images().flip(3))
        assert [tuple(i.shape[1:]) for i in indices] == [(32, 16, 16), (64, 4, 4), (128, 1, 1)]
        assert not torch.equal(network.decode(mu, indices), network.decode(mu, others))


def test_unpooling_is_that_of_torch():
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pooled, indices = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(unpooled(pooled, indices), torch.nn.functional.max_unpool2d(pooled, indices, [2, 2]))


def test_decode_says_when_indices_are_missing_or_too_many():
    with pytest.raises(ModelError, match="needs the indices"):
        vae(unpool=True).decode(torch.zeros(1, 40))
    network = vae()
    with pytest.raises(ModelError, match="takes no indices"):
        network.decode(torch.zeros(1, 40), network.encode_with_indices(images(1))[2])


@pytest.mark.parametrize("unpool", [False, True])
def test_channels_last_and_bf16_autocast(unpool):
    network = vae(unpool=unpool).eval()
    with torch.no_grad():
        plain = network(images())
        with torch.autocast("cpu", torch.bfloat16):
            half = network(images())
        last = network.to(memory_format=torch.channels_last)(images().to(memory_format=torch.channels_last))
    torch.testing.assert_close(last.mu, plain.mu, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(last.reconstruction, plain.reconstruction, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(half.mu.float(), plain.mu, rtol=0.1, atol=0.02)
    assert bool(torch.isfinite(half.reconstruction).all())


def test_a_second_instance_is_built_like_the_first():
    shapes = [[tuple(p.shape) for p in vae().parameters()] for _ in range(3)]
    assert shapes[0] == shapes[1] == shapes[2]
    for upsampling in ("transposed", "bilinear"):
        assert sum(p.numel() for p in vae(image_size=256, upsampling=upsampling).parameters()) == 443_507


@pytest.mark.parametrize("size", [0, 32, 63, 80, 200])
def test_a_side_that_the_poolings_do_not_divide_is_refused(size):
    with pytest.raises(ModelError, match="image_size"):
        vae(image_size=size)


def test_images_of_another_size_and_labels_are_refused():
    with pytest.raises(ModelError, match="built for images N x 3 x 64 x 64; it was given 1 x 3 x 128 x 64"):
        vae()(torch.zeros(1, 3, 128, 64))
    with pytest.raises(ModelError, match="learns without labels"):
        vae(n_outputs=5)
    assert vae(n_outputs=40).latent == 40
