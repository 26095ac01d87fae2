"""The recipe: completed, checked, and clear about what is wrong."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.errors import ModelError
from tuningfork.training.recipe import Recipe, make_recipe


def test_the_shipped_preset_is_the_published_recipe(repository):
    recipe = make_recipe(yaml.safe_load((repository / "config/recipes/clash.yaml").read_text()), "fractions")
    assert (recipe.loss, recipe.optimizer.name, recipe.optimizer.learning_rate) == ("per_sample_rmse", "adam", 5e-5)
    assert (recipe.epochs, recipe.patience, recipe.draws_per_epoch) == (1000, 50, 4.0)
    assert recipe.augmentation.rotation_deg == 360 and recipe.augmentation.flips and recipe.augmentation.shift_fraction == 0.05


@pytest.mark.parametrize(
    ("name", "task", "loss", "optimizer", "rate", "batch", "epochs"),
    [
        ("galaxy_vae", "classes", "elbo", "adam", 1e-5, 512, 50),
        ("deepshadows", "classes", "cross_entropy", "adadelta", 0.1, 64, 100),
        ("metallicity", "regression", "rmse", "sgd", 0.1, 64, 70),
        ("galaxy10", "classes", "cross_entropy", "adam", 1e-3, 8, 30),
    ],
)
def test_presets_have_the_published_settings(repository, name, task, loss, optimizer, rate, batch, epochs):
    recipe = make_recipe(yaml.safe_load((repository / f"config/recipes/{name}.yaml").read_text()), task)
    assert (recipe.loss, recipe.optimizer.name, recipe.optimizer.learning_rate, recipe.batch_size, recipe.epochs) == (loss, optimizer, rate, batch, epochs)


def test_deepshadows_decays_its_kernels_as_published(repository):
    from tuningfork.networks.deepshadows import decay_groups
    from tuningfork.networks.registry import build
    from tuningfork.training.optimisers import make_optimizer

    recipe = make_recipe(yaml.safe_load((repository / "config/recipes/deepshadows.yaml").read_text()), "classes")
    network = build("deepshadows", in_channels=3, n_outputs=2, image_size=64)
    wanted = {id(parameter): group["weight_decay"] for group in decay_groups(network) for parameter in group["params"]}
    found = {id(parameter): group["weight_decay"] for group in make_optimizer(network, recipe).param_groups for parameter in group["params"]}
    assert found == wanted


@pytest.mark.parametrize(("name", "decay"), [("clash", 0), ("galaxy10", 0), ("galaxy_vae", 0), ("metallicity", 1e-4)])
def test_weights_decay_only_where_the_paper_says_so(repository, name, decay):
    optimizer = make_recipe(yaml.safe_load((repository / f"config/recipes/{name}.yaml").read_text())).optimizer
    assert optimizer.weight_decay == decay and not any(group.weight_decay for group in optimizer.groups.values())


def test_every_preset_is_valid(repository):
    for path in (repository / "config/recipes").glob("*.yaml"):
        recipe = make_recipe(yaml.safe_load(path.read_text()))
        assert make_recipe(json.loads(json.dumps(recipe.as_dict()))) == recipe, path


def test_a_complete_recipe_makes_itself_again():
    optimizer = {"name": "sgd", "layer_decay": 0.8, "groups": {"stem": {"learning_rate_factor": 0.01}}}
    for freeze in (2, ["stem"]):
        recipe = make_recipe({"optimizer": optimizer, "augmentation": {"zoom": [1, 1.5]}, "freeze": freeze, "ema": 0.99, "warm_up_epochs": 0.5})
        assert make_recipe(json.loads(json.dumps(recipe.as_dict()))) == recipe


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"batchsize": 3}, r"recipe\.batchsize: unknown key; did you mean 'batch_size'"),
        ({"optimizer": {"learning_rat": 1}}, r"recipe\.optimizer\.learning_rat: .*'learning_rate'"),
        ({"augmentation": {"rotate": 3}}, r"recipe\.augmentation\.rotate: .*'rotation_deg'"),
        ({"normalisation": {"name": "asinh-sky"}}, "did you mean 'asinh_sky'"),
        ({"loss": "per_sample_rms"}, "did you mean 'per_sample_rmse'"),
        ({"optimizer": {"learning_rate": 0}}, "learning_rate: 0 is not a number above 0"),
        ({"optimizer": {"learning_rate": float("nan")}}, "learning_rate: nan"),
        ({"batch_size": 2.5}, "whole number"),
        ({"batch_size": True}, "whole number"),
        ({"label_shuffle": "yes"}, "true or false"),
        ({"optimizer": "adam"}, "not a section"),
        ({"freeze": "stem"}, "not a list"),
        ({"elbo": {"bta": 1}}, r"recipe\.elbo\.bta: .*'beta'"),
        ({"elbo": {"reconstruction": "total"}}, "'total' is not one of sum, mean, mean_published"),
        ({"forest": {"trees": 0}}, "trees: 0 is not a whole number"),
        ({"alignment": {"frozen_source": 1}}, "true or false"),
        ({"freeze": 1.5}, "whole number"),
        ({"freeze": True}, "not a list"),
        ({"warm_up": 3}, r"recipe\.warm_up: unknown key; did you mean 'warm_up_epochs'"),
        ({"warm_up_epochs": -1}, "warm_up_epochs: -1 is not a number at least 0"),
        ({"warm_up_epochs": 3, "epochs": 3}, "leaves nothing of the 3"),
        ({"warm_up_epochs": 1, "schedule": "one_cycle"}, "a one_cycle begins with a rise of its own"),
        ({"ema": 1}, "ema: 1 is not a number of at least 0 and below 1"),
        ({"label_smoothing": 1.1}, "label_smoothing: 1.1"),
        ({"optimizer": {"layer_decay": 0}}, "layer_decay: 0 is not a number above 0 and at most 1"),
        ({"keep": "first"}, "'first' is not one of best, last"),
    ],
)
def test_mistakes_are_named(raw, message):
    with pytest.raises(ModelError, match=message):
        make_recipe(raw)


def test_a_loss_that_does_not_fit_the_task_is_refused():
    with pytest.raises(ModelError, match="rmse or mse"):
        make_recipe({"loss": "cross_entropy"}, "regression")


def test_a_number_that_yaml_reads_as_text_is_a_number():
    assert make_recipe({"optimizer": {"learning_rate": yaml.safe_load("5e-5")}}).optimizer.learning_rate == 5e-5


@given(
    st.dictionaries(
        st.sampled_from([*Recipe.__dataclass_fields__, "epoch"]),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=5),
            st.lists(st.integers(), max_size=2),
            st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
        ),
    )
)
def test_any_dictionary_makes_a_recipe_or_a_model_error(raw):
    try:
        assert isinstance(make_recipe(raw), Recipe)
    except ModelError as error:
        assert str(error)
