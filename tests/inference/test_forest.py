"""The forest on latents: galaxies out of the bag, every class in its column, the same trees every time."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from tuningfork.errors import ModelError
from tuningfork.inference.forest import LatentForest
from tuningfork.training.latents import LabelledLatents


def known(n=90, views=1, noise=0.7, seed=0, labels=None):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3 if labels is None else labels
    centres = np.array([[0, 0, 0, 0], [2, 0, 0, 0], [0, 2, 0, 0]])
    latents = (centres[labels][:, None] + rng.normal(0, noise, (n, views, 4))).astype(np.float32)
    names = np.array([f"g{i:03d}" for i in range(n)])
    return LabelledLatents(names, names, labels, latents)


def test_as_good_as_the_forest_of_scikit_learn_on_rows_it_has_not_seen():
    train, test = known(180), known(300, seed=1)
    own = LatentForest(train, 3, trees=100, seed=0).probabilities(test.latents, np.char.add("x", test.galaxy_id))[0]
    theirs = RandomForestClassifier(100, class_weight="balanced", random_state=0).fit(train.latents[:, 0], train.labels)
    theirs = theirs.predict_proba(test.latents[:, 0])
    right = [(p.argmax(axis=1) == test.labels).mean() for p in (own, theirs)]
    assert abs(right[0] - right[1]) < 0.03 and right[0] > 0.85
    assert np.abs(own - theirs).mean() < 0.05 and np.allclose(own.sum(axis=1), 1)


def test_out_of_bag_a_random_label_is_a_guess_and_in_the_bag_it_is_known():
    labels = np.random.default_rng(1).integers(0, 3, 150)
    data = known(150, labels=labels)
    data = LabelledLatents(data.object_id, data.galaxy_id, labels, known(150).latents)  # latents that know nothing of the labels
    forest = LatentForest(data, 3, trees=60, seed=0)
    fair = forest.probabilities(data.latents, data.galaxy_id)[0]
    unfair = forest.probabilities(data.latents, np.char.add("other", data.galaxy_id))[0]
    assert (unfair.argmax(axis=1) == labels).mean() > 0.95
    assert (fair.argmax(axis=1) == labels).mean() < 0.5


def test_out_of_bag_is_the_mean_of_the_trees_that_did_not_draw_the_galaxy():
    data = known(30)
    forest = LatentForest(data, 3, trees=25, seed=3)
    row = 7
    place = np.flatnonzero(forest.galaxies == data.galaxy_id[row])[0]
    fair = [tree.predict_proba(data.latents[row])[0] for tree, bag in zip(forest.trees, forest.in_bag, strict=True) if bag[place] == 0]
    assert 0 < len(fair) < 25
    np.testing.assert_allclose(forest.probabilities(data.latents, data.galaxy_id)[0, row], np.mean(fair, axis=0))


def test_views_of_a_galaxy_are_in_the_bag_together():
    labels = np.random.default_rng(1).integers(0, 2, 100)
    data = known(100, views=4, labels=labels)
    data = LabelledLatents(data.object_id, data.galaxy_id, labels, np.repeat(known(100).latents, 4, axis=1))
    fair = LatentForest(data, 2, trees=40, seed=0).probabilities(data.latents, data.galaxy_id)
    assert fair.shape == (4, 100, 2) and np.allclose(fair[0], fair[3])
    assert (fair[0].argmax(axis=1) == labels).mean() < 0.65, "a tree that draws single views would know the others by heart"


def test_the_same_seed_grows_the_same_forest_with_any_number_of_threads():
    data, new = known(60), known(20, seed=5)
    found = [LatentForest(data, 3, trees=20, seed=seed, threads=t).probabilities(new.latents, new.galaxy_id) for seed, t in ((1, 1), (1, 3), (2, 1))]
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    assert not np.allclose(found[0], found[2])


def test_rare_classes_count_as_much_and_absent_ones_have_no_probability():
    labels = np.where(np.arange(120) < 108, 0, 2)
    data, new = known(120, labels=labels, noise=1.0), known(60, labels=np.repeat([0, 2], 30), seed=9, noise=1.0)
    found = LatentForest(data, 4, trees=60, seed=0).probabilities(new.latents, np.char.add("x", new.galaxy_id))[0]
    assert (found[:, [1, 3]] == 0).all() and np.allclose(found.sum(axis=1), 1)
    with pytest.raises(ModelError, match="labels of one class"):
        LatentForest(known(10, labels=np.ones(10, int)), 3, trees=3, seed=0)


def test_a_forest_of_few_trees_says_nothing_where_all_have_drawn_a_galaxy():
    data = known(60)
    forest = LatentForest(data, 3, trees=2, seed=0)
    drawn = (forest.in_bag > 0).all(axis=0)
    assert drawn.any()
    assert (np.isnan(forest.probabilities(data.latents, data.galaxy_id)[0]).any(axis=1) == drawn).all()
