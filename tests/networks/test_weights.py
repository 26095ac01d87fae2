"""Weights go through safetensors files whole and unchanged, or not at all."""

import pickle
import shlex
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from tuningfork.errors import ModelError
from tuningfork.networks.registry import build
from tuningfork.networks.weights import load_weights, read_weights, save_weights


def network(seed=0, name="deep-clash", n_outputs=5, **options):
    sizes = (
        {"in_channels": 1, "n_outputs": n_outputs, "image_size": 80} if name == "deep-clash" else {"in_channels": 3, "n_outputs": n_outputs, "image_size": 64}
    )
    return build(name, **(sizes | ({"width": 0.1} if name == "deep-clash" else {}) | options), seed=seed)


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_weights_come_back_as_they_went(tmp_path):
    first, second = network(1), network(2)
    first.stem[0][2].running_mean.normal_()
    save_weights(first, tmp_path / "w.safetensors")
    assert not same(first, second)
    assert load_weights(second, tmp_path / "w.safetensors") == []
    assert same(first, second)


def test_the_same_weights_give_the_same_bytes_in_either_memory_format(tmp_path):
    module = network(1)
    save_weights(module, tmp_path / "a")
    save_weights(module.to(memory_format=torch.channels_last), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_of_another_network_are_refused_with_names_and_shapes(tmp_path):
    save_weights(network(1, "resnet18"), tmp_path / "w.safetensors")
    module = network(0)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(
        ModelError, match=r"w\.safetensors: weights of another network \(deep-clash wanted\): missing stem.*and \d+ more; not in the network bn1"
    ):
        load_weights(module, tmp_path / "w.safetensors")
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_another_width_is_refused_with_both_shapes():
    with pytest.raises(ModelError, match=r"of another shape stem\.0\.0\.weight 13x1x7x7 instead of 6x1x7x7"):
        load_weights(network(0), network(0, width=0.2).state_dict())


def test_other_targets_need_leave_to_keep_a_fresh_head():
    parent, child = network(1), network(2, n_outputs=3)
    fresh = child.output.weight.detach().clone()
    with pytest.raises(ModelError, match=r"output\.weight 5x102 instead of 3x102"):
        load_weights(child, parent.state_dict())
    assert load_weights(child, parent.state_dict(), allow_head_mismatch=True) == ["output.weight", "output.bias"]
    assert torch.equal(child.output.weight, fresh)
    assert torch.equal(child.stem[0][0].weight, parent.stem[0][0].weight)


def test_a_head_that_fits_is_loaded_even_where_it_need_not_fit():
    parent, child = network(1), network(2)
    assert load_weights(child, parent.state_dict(), allow_head_mismatch=True) == []
    assert same(parent, child)


def test_a_mismatch_in_the_body_is_an_error_whatever_the_head_may_do():
    with pytest.raises(ModelError, match="weights of another network"):
        load_weights(network(0), network(0, as_published=True).state_dict(), allow_head_mismatch=True)


def test_imagenet_weights_of_a_local_file_fit_the_body(tmp_path):
    parent = network(1, "resnet18")
    state = {key: value for key, value in parent.state_dict().items() if not key.startswith("head.") and not key.endswith("num_batches_tracked")}
    save_file(state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, tmp_path / "imagenet.safetensors")
    child = network(2, "resnet18", n_outputs=2)
    with pytest.raises(ModelError, match=r"missing head.*not in the network fc"):
        load_weights(child, tmp_path / "imagenet.safetensors")
    kept = load_weights(child, tmp_path / "imagenet.safetensors", allow_head_mismatch=True)
    assert kept and all(key.startswith("head.") for key in kept)
    assert torch.equal(child.layer4[1].conv2.weight, parent.layer4[1].conv2.weight)


def test_not_strict_loads_what_fits_and_says_what_does_not():
    parent, child = network(1), network(2, as_published=True)
    kept = load_weights(child, parent.state_dict(), strict=False)
    assert kept and all(key.startswith("inception4.") for key in kept)
    assert torch.equal(child.inception2.one[0].weight, parent.inception2.one[0].weight)


def test_nothing_that_fits_is_an_error_even_when_not_strict():
    with pytest.raises(ModelError, match="not one tensor fits"):
        load_weights(network(0), {"something": torch.zeros(3)}, strict=False)


def test_weights_that_are_not_finite_are_refused():
    state = network(1).state_dict()
    state["output.bias"] = state["output.bias"].clone()
    state["output.bias"][2] = float("nan")
    with pytest.raises(ModelError, match=r"not finite: in output\.bias"):
        load_weights(network(0), state)


def test_a_pickle_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('opened')",))

    for name, message in (("w.pt", r"w\.pt is a pickle, which can run any code"), ("w.safetensors", "not a whole safetensors file")):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(ModelError, match=message):
            load_weights(network(0), tmp_path / name)


def test_the_recipe_for_a_pickle_converts_it(tmp_path, monkeypatch):
    whole = network(1, "resnet18", head="linear")
    torch.save({"state_dict": {"model." + key: value for key, value in whole.state_dict().items()}, "epoch": 3}, tmp_path / "old.ckpt")
    with pytest.raises(ModelError) as caught:
        read_weights(tmp_path / "old.ckpt")
    recipe = str(caught.value).split("convert it where it comes from:\n  ")[1]
    python, flag, code = shlex.split(recipe)
    assert (python, flag) == ("python", "-c")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    found = read_weights(tmp_path / "old.safetensors")
    assert all(torch.equal(found["model." + key], value) for key, value in whole.state_dict().items()) and len(found) == len(whole.state_dict())


def _safetensors(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05\x00",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**9) + b"{}",
        struct.pack("<Q", 200_000_000) + b"{" * 1000,
        _safetensors(b"{"),
        _safetensors(b"\xff\xfe{}"),
        _safetensors(b'{"a": 5}'),
        _safetensors(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', b"\0" * 4),
        _safetensors(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 800]}}', b"\0" * 8),
        _safetensors(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}', b"\0" * 8),
        _safetensors(b'{"a": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 8]}}', b"\0" * 8),
        _safetensors(b'{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}', b"\0" * 8),
        _safetensors(b'{"a": {"dtype": "NONE", "shape": [2], "data_offsets": [0, 8]}}', b"\0" * 8),
    ],
    ids=lambda content: content[:24].hex() or "empty",
)
def test_hostile_headers_are_refused(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"w\.safetensors is not a whole safetensors file"):
        read_weights(tmp_path / "w.safetensors")


@settings(max_examples=40)
@given(st.binary(max_size=60), st.integers(0, 2**64 - 1), st.binary(max_size=20), st.integers(0, 200))
def test_any_bytes_are_weights_or_refused(tmp_path_factory, header, length, body, cut):
    path = tmp_path_factory.mktemp("bytes") / "w.safetensors"
    whole = save({"a": torch.arange(6.0).reshape(2, 3)})
    for content in (struct.pack("<Q", length) + header + body, _safetensors(header, body), whole[:cut], whole[: 8 + cut] + body + whole[8 + cut + len(body) :]):
        path.write_bytes(content)
        try:
            found = read_weights(path)
        except ModelError as error:
            assert str(path) in str(error)
        else:
            assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())


def test_a_file_cut_short_and_an_absent_one(tmp_path):
    save_weights(network(0), tmp_path / "whole")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:5000])
    with pytest.raises(ModelError, match="half is not a whole safetensors file"):
        read_weights(tmp_path / "half")
    with pytest.raises(ModelError, match="no weights at"):
        read_weights(tmp_path / "none")
