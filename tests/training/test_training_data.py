"""Stamps and labels joined by id, and what is refused by name."""

import numpy as np
import pytest
import torch
from toy_sample import RECIPE, TARGETS, make_objects, make_store

from tuningfork.errors import ModelError, StampError
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.data import make_training_data
from tuningfork.training.normalisation import apply_normalisation
from tuningfork.training.recipe import make_recipe

CPU = torch.device("cpu")


def join(stamps, objects, targets=TARGETS, task="fractions", budget=2**30, normalisation="asinh_sky", **kwargs):
    spec = make_recipe({**RECIPE, "normalisation": {"name": normalisation}}).normalisation
    return make_training_data(stamps, objects, targets, task, spec, device=CPU, budget_bytes=budget, **kwargs)


def array_stamps(n=24, change=None):
    shard, objects = make_objects(n)
    pixels = shard.pixels.copy()
    if change:
        change(pixels, shard.scalars)
    return ArrayStamps(shard.object_id, pixels, shard.status, shard.scalars), objects


def test_rows_are_joined_by_id_whatever_the_order_of_the_table(tmp_path):
    stamps, objects = make_store(tmp_path)
    shuffle = np.random.default_rng(3).permutation(len(objects["object_id"]))
    data = join(stamps, {name: values[shuffle] for name, values in objects.items()})
    (images,) = data.images.batches([data.train])
    by_id = dict(zip(objects["object_id"], range(len(objects["object_id"])), strict=True))
    for row, image in zip(data.train, images, strict=True):
        i = by_id[data.object_id[row]]
        np.testing.assert_allclose(data.targets[row].numpy(), [objects[name][i] for name in TARGETS], atol=1e-6)
        index = stamps.index_of([data.object_id[row]])
        sky = [torch.from_numpy(stamps.scalars[name][index]) for name in ("sky", "sky_sigma")]
        assert torch.equal(image, apply_normalisation(data.normalisation, torch.from_numpy(stamps.take(index)), *sky)[0])
    assert {objects["split"][by_id[name]] for name in data.object_id[data.train]} == {"train"}


def test_a_set_too_large_for_memory_gives_the_same_batches(tmp_path):
    stamps, objects = make_store(tmp_path)
    resident, mapped = join(stamps, objects), join(stamps, objects, budget=1000)
    assert resident.images.resident and not mapped.images.resident
    order = [np.array([5, 3, 3, 20]), np.array([0]), np.arange(40)[::-1].copy()]
    for one, other in zip(resident.images.batches(order), mapped.images.batches(order), strict=True):
        assert torch.equal(one, other)


def test_only_usable_stamps_are_trained_on():
    stamps, objects = array_stamps()
    stamps.status[[0, 2]] = ["absent", "partial"]
    stamps.pixels[0] = 0
    data = join(stamps, objects)
    assert stamps.object_id[0] not in data.object_id and stamps.object_id[2] in data.object_id


def test_the_normalisation_knows_nothing_of_validation_and_test():
    def brighten(pixels, scalars):
        pixels[2::3] *= 50

    assert join(*array_stamps()).normalisation == join(*array_stamps(change=brighten)).normalisation


def test_regression_targets_are_standardised_by_the_training_rows():
    stamps, objects = array_stamps()
    data = join(stamps, objects, ["size"], "regression")
    on_train = objects["size"][objects["split"] == "train"]
    assert data.target_mean == pytest.approx([on_train.mean()]) and data.target_std == pytest.approx([on_train.std()])
    assert float(data.targets[data.train].mean()) == pytest.approx(0, abs=1e-6)


def test_classes_become_one_hot():
    stamps, objects = array_stamps()
    data = join(stamps, objects, TARGETS, "classes")
    assert [TARGETS[k] for k in data.targets.argmax(dim=1)] == objects["label"][np.isin(objects["split"], ["train", "validation"])].tolist()


def test_shuffled_labels_stay_on_their_side_of_the_split():
    stamps, objects = array_stamps()
    plain, shuffled = join(stamps, objects), join(stamps, objects, label_shuffle=np.random.default_rng(0))
    assert not torch.equal(plain.targets, shuffled.targets)
    for rows in (plain.train, plain.validation):
        assert sorted(plain.targets[rows].tolist()) == sorted(shuffled.targets[rows].tolist())


def nan_pixel(pixels, scalars):
    pixels[4, 0, 3, 3] = np.nan


def infinite_pixel(pixels, scalars):
    pixels[4, 0, 3, 3] = -np.inf


def constant(pixels, scalars):
    pixels[4] = 7


def no_sky(pixels, scalars):
    scalars["sky_sigma"][4] = 0


def sky_nan(pixels, scalars):
    scalars["sky"][4] = np.nan


@pytest.mark.parametrize("change", [nan_pixel, infinite_pixel, constant, no_sky, sky_nan])
def test_bad_stamps_that_the_store_calls_usable_are_named(change):
    with pytest.raises(ModelError, match="'toy_f160w_004'"):
        join(*array_stamps(change=change))


@pytest.mark.parametrize("bad", [-0.1, 0.7, np.nan])
def test_fractions_that_are_no_fractions_are_named(bad):
    stamps, objects = array_stamps()
    objects["p_small"][3] = bad
    with pytest.raises(ModelError, match="'toy_f160w_003'"):
        join(stamps, objects)


def test_labels_that_do_not_fit_are_named():
    stamps, objects = array_stamps()
    with pytest.raises(ModelError, match="no column 'p_smooth'"):
        join(stamps, objects, ["p_smooth", "p_large"])
    objects["label"][5] = "blob"
    with pytest.raises(ModelError, match="'blob' of 'toy_f160w_005' is none of the classes p_small"):
        join(stamps, objects, TARGETS, "classes")
    objects["size"][:] = 1.0
    with pytest.raises(ModelError, match="'size' is the same"):
        join(stamps, objects, ["size"], "regression")


def test_missing_stamps_duplicates_and_empty_sides_are_named():
    stamps, objects = array_stamps()
    renamed = {**objects, "object_id": np.where(np.arange(24) == 6, "ghost", objects["object_id"])}
    with pytest.raises(StampError, match="'ghost'"):
        join(stamps, renamed)
    doubled = {**objects, "object_id": np.where(np.arange(24) == 6, objects["object_id"][7], objects["object_id"])}
    with pytest.raises(ModelError, match=r"more than once.*'toy_f160w_007'"):
        join(stamps, doubled)
    with pytest.raises(ModelError, match="no validation object"):
        join(stamps, {**objects, "split": np.full(24, "train")})
    with pytest.raises(ModelError, match=r"no column 'split'"):
        join(stamps, {"object_id": objects["object_id"]})


def test_pictures_without_sky_say_which_normalisation_to_use():
    stamps, objects = array_stamps()
    with pytest.raises(ModelError, match="unit, imagenet or standard"):
        join(ArrayStamps(stamps.object_id, stamps.pixels), objects)
