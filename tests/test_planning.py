"""What a configuration costs, against numbers worked out by hand."""

from pathlib import Path

import pytest
import yaml

from tuningfork import planning
from tuningfork.cli import main
from tuningfork.config import Config, load
from tuningfork.planning import Assumptions, make_plan, render


def _config(repository: Path, paper: str) -> Config:
    path = repository / "config" / "papers" / f"{paper}.yaml"
    return load(yaml.safe_load(path.read_text()), [path], repository / "config" / "recipes")


def test_clash_asks_for_its_mosaics_and_tables(repository: Path) -> None:
    config = _config(repository, "clash")
    plan = make_plan(config, repository / "config" / "recipes")
    # 25 clusters in 16 filters and the detection image, GOODS-S in one filter which is its own detection image; each with its weight
    assert plan.traffic["mast"].requests == 2 * (25 * 17 + 1)
    assert plan.traffic["mast"].bytes == pytest.approx(2 * (25 * 17 * 1e8 + 2.5e9))
    assert plan.objects["clash"] == (68531, "published")
    assert plan.stamp_bytes == pytest.approx(4 * 80 * 80 * (7567 + 68531))


def test_hours_follow_the_polite_rate_or_the_line(repository: Path) -> None:
    config = _config(repository, "metallicity")
    recipes = repository / "config" / "recipes"
    fast, slow = make_plan(config, recipes), make_plan(config, recipes, assumptions=Assumptions(bytes_per_second=100.0))
    requests = fast.traffic["skyserver"].requests
    assert requests == 142186 + 1
    assert fast.hours["skyserver"] == pytest.approx(requests / 2 / 3600)
    assert slow.hours["skyserver"] == pytest.approx(slow.traffic["skyserver"].bytes / 100 / 3600)


def test_a_limit_bounds_the_objects(repository: Path) -> None:
    raw = yaml.safe_load((repository / "config" / "papers" / "galaxy_vae.yaml").read_text())
    for sample in raw["samples"].values():
        sample.setdefault("select", {})["limit"] = 500
    config = load(raw, [], repository / "config" / "recipes")
    plan = make_plan(config, repository / "config" / "recipes")
    assert plan.objects["decals"] == (500, "limit")
    assert plan.traffic["legacysurvey"].requests == 1000
    assert plan.traffic["legacysurvey"].bytes == pytest.approx(1000 * (256 * 256 * 3 * 4 + 5760))


def test_flops_of_a_known_network(repository: Path) -> None:
    config = _config(repository, "deepshadows")
    model = config.models["des"]
    # multiply-adds of three convolutions and two dense layers at 64 pixels, twice each
    convolutions = 64 * 64 * 9 * 3 * 16 + 32 * 32 * 9 * 16 * 32 + 16 * 16 * 9 * 32 * 64
    dense = 4096 * 1024 + 1024 * 2
    assert planning.forward_flops(config, model) == pytest.approx(2 * (convolutions + dense), rel=0.01)


def test_more_epochs_cost_more_gpu_hours(repository: Path) -> None:
    raw = yaml.safe_load((repository / "config" / "papers" / "deepshadows.yaml").read_text())
    recipes = repository / "config" / "recipes"
    before = make_plan(load(raw, [], recipes), recipes).gpu_hours["des"]
    raw["models"]["des"]["training"] = {"epochs": 1000}
    assert make_plan(load(raw, [], recipes), recipes).gpu_hours["des"] > 5 * before


@pytest.mark.parametrize("paper", ["clash", "metallicity", "deepshadows", "galaxy_vae", "galaxy10"])
def test_the_command_prints_a_plan_of_every_paper(repository: Path, paper: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(repository / "config" / "papers" / f"{paper}.yaml")]) == 0
    text = capsys.readouterr().out
    assert "GPU hours" in text
    assert "requests" in text
    assert "nan" not in text


def test_a_wrong_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml: there is no such file" in capsys.readouterr().err


def test_the_notes_say_what_a_condition_leaves_open(repository: Path) -> None:
    plan = make_plan(_config(repository, "galaxy_vae"), repository / "config" / "recipes")
    assert "select.where" in render(plan)
