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


def test_a_complete_recipe_makes_itself_again():
    recipe = make_recipe({"optimizer": {"name": "sgd", "groups": {"stem": {"learning_rate_factor": 0.01}}}, "augmentation": {"zoom": [1, 1.5]}})
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
