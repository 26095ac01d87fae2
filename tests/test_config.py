"""A wrong configuration gets one clear line: file, key, nearest valid name."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.config import Config, Section, catalogue_names, load, network_modules, recipe_of
from tuningfork.errors import ConfigError

FILES = ("config/config.yaml", *(f"config/papers/{paper}.yaml" for paper in ("clash", "metallicity", "deepshadows", "galaxy_vae", "galaxy10")))


def _load(repository: Path, raw: dict, path: Path | None = None) -> Config:
    return load(raw, [path] if path else [], repository / "config" / "recipes")


@pytest.fixture
def demo(repository: Path) -> dict:
    return yaml.safe_load((repository / "config" / "config.yaml").read_text())


def _set(raw: dict, key: str, value: object) -> dict:
    node = raw
    *parents, last = key.split(".")
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = value
    return raw


@pytest.mark.parametrize("file", FILES)
def test_shipped_configurations_are_valid(repository: Path, file: str) -> None:
    config = _load(repository, yaml.safe_load((repository / file).read_text()))
    losses = {"fractions": {"per_sample_rmse"}, "regression": {"mse", "rmse"}, "classes": {"cross_entropy", "elbo"}}
    for model in config.models.values():
        assert recipe_of(model, repository / "config" / "recipes")["loss"] in losses[config.samples[model.train].task]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("samples.clash.stmp", {"pixels": 80}, "samples.clash.stmp: unknown key; did you mean 'stamp'?"),
        ("samples.clash.select.magnitud_limit", 24, "samples.clash.select.magnitud_limit: unknown key; did you mean 'magnitude_limit'?"),
        ("archives.mod", "live", "archives.mod: unknown key; did you mean 'mode'?"),
        ("archives.mode", "simulate", "archives.mode: 'simulate' is not one of 'simulated' or 'live'; did you mean 'simulated'?"),
        (
            "samples.candels.match.radius_arcsec",
            "0.4 arcsec",
            "samples.candels.match.radius_arcsec: '0.4 arcsec' is not a number (in arcsec, without the unit)",
        ),
        ("samples.candels.match.radius_deg", 0.1, "samples.candels.match.radius_deg: unknown key; did you mean 'radius_arcsec'?"),
        (
            "samples.candels.catalogue.name",
            "kartaltepe2014",
            "samples.candels.catalogue.name: unknown catalogue 'kartaltepe2014'; did you mean 'kartaltepe2015'?",
        ),
        ("models.clash.network.name", "deepclash", "models.clash.network.name: unknown network 'deepclash'; did you mean 'deep-clash'?"),
        ("models.clash.recipe", "clsh", "models.clash.recipe: unknown recipe 'clsh'; did you mean 'clash'?"),
        ("models.clash.train", "clsh", "models.clash.train: unknown sample 'clsh'; did you mean 'clash'?"),
        ("models.clash.from", "clash", "models.clash.from: the model starts from itself (clash <- clash); remove one 'from'"),
        ("models.clash.from", 5, "models.clash.from: Input should be a valid string"),
        ("models.clash.from", {"file": "w.safetensors", "prefx": "a"}, "models.clash.from.prefx: unknown key; did you mean 'prefix'?"),
        ("models.clash.from", {"file": "absent.safetensors"}, "models.clash.from.file: there is no file absent.safetensors in "),
        ("models.clash.from", {"file": "w.pth"}, "models.clash.from.file: w.pth is no .safetensors file; convert it in the environment it comes from"),
        (
            "models.clash.from",
            {"file": "absent.safetensors", "first_layer": "adpt"},
            "models.clash.from.first_layer: 'adpt' is not one of 'adapt' or 'fresh'; did you mean 'adapt'?",
        ),
        ("models.candels.from", "clash", "models.candels.from: the model starts from itself (candels <- clash <- candels); remove one 'from'"),
        ("catalogues.Deep-CLASH.model", "klash", "catalogues.Deep-CLASH.model: unknown model 'klash'; did you mean 'clash'?"),
        ("models.clash.folds", 1, "models.clash.folds: one fold leaves nothing to train on"),
        ("models.clash.ensemble", {"seed": 2}, "models.clash.ensemble.seed: unknown key; did you mean 'seeds'?"),
        ("models.clash.ensemble", {"sizes": [40, 40]}, "models.clash.ensemble.sizes: a size stands twice; for two networks of one size use seeds"),
        ("models.clash.ensemble", {"sizes": [96]}, "models.clash.ensemble.sizes: 96 is not smaller than the stamps of 'clash', 80 pixels"),
        (
            "models.candels.ensemble",
            {"networks": [{"name": "resnet19"}]},
            "models.candels.ensemble.networks: unknown network 'resnet19'; did you mean 'resnet18'?",
        ),
        (
            "models.clash.ensemble",
            {"networks": [{"name": "resnet18"}]},
            "models.clash.ensemble.networks: 'resnet18' cannot start from the weights of 'candels'; use seeds",
        ),
        ("models.clash.calibration", {"coverage": 90}, "models.clash.calibration.coverage: "),
        ("samples.clash.split.by", "cluster", "samples.clash.split.by: 'cluster' is not one of"),
        ("samples.clash.images.fields", ["macs2129"], "samples.clash.images.fields: unknown simulated cluster 'macs2129'"),
        ("samples.candels.size.source", "catalogue", "samples.candels.size.source: kartaltepe2015 publishes no Petrosian radius; use 'image' to measure it"),
        ("samples.clash.kind", "mosiac", "samples.clash: 'kind' must be mosaic or folder"),
        ("sky.clusters", ["a209"], "sky.clusters: 'a209' could pass as a real cluster"),
    ],
)
def test_mistakes_name_the_file_the_key_and_the_cure(repository: Path, demo: dict, tmp_path: Path, key: str, value: object, expected: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(_set(demo, key, value)))
    with pytest.raises(ConfigError) as caught:
        _load(repository, yaml.safe_load(file.read_text()), file)
    line = next(line for line in str(caught.value).splitlines() if key.rsplit(".", 1)[0] in line)
    assert line.startswith(f"{file}: {expected}"), str(caught.value)


def test_a_missing_key_is_named(repository: Path, demo: dict) -> None:
    del demo["samples"]["clash"]["catalogue"]
    with pytest.raises(ConfigError, match=r"samples\.clash\.catalogue: this key is missing"):
        _load(repository, demo)


def test_names_are_found_without_importing_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from tuningfork import config, workflow; config.network_modules(); config.catalogue_names(); "
        "print('torch' in sys.modules, 'astropy' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]


def test_the_published_networks_and_catalogues_are_known() -> None:
    assert {"deep-clash", "deepshadows", "galaxy-vae", "galaxy10", "resnet18", "resnet34", "resnet50"} <= set(network_modules())
    assert {"kartaltepe2015", "guo2013", "molino2017"} <= set(catalogue_names())


def _keys(section: type[Section]) -> set[str]:
    from typing import get_args

    found: set[str] = set()

    def walk(annotation: object) -> None:
        if isinstance(annotation, type) and issubclass(annotation, Section):
            for name, field in annotation.model_fields.items():
                found.add(field.alias or name)
                walk(field.annotation)
        for inner in get_args(annotation):
            walk(inner)

    walk(section)
    return found


def test_every_key_is_explained_in_the_readme(repository: Path) -> None:
    text = (repository / "config" / "README.md").read_text()
    assert not {key for key in _keys(Config) if f"`{key}`" not in text}


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_any_yaml_is_accepted_or_refused_with_a_configuration_error(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    raw = value if isinstance(value, dict) else {"samples": value}
    with pytest.raises(ConfigError):
        load(raw)
