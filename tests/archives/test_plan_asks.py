"""A plan that asks: sizes of mosaics come from the archive's own headers, and what it does not have is not counted."""

from pathlib import Path

import yaml
from misbehaving_server import content

from tuningfork.archives import mast
from tuningfork.config import load
from tuningfork.planning import make_plan


def test_sizes_come_from_the_archive_and_absent_files_are_not_counted(server, transport, repository: Path) -> None:
    recipes = repository / "config" / "recipes"
    raw = yaml.safe_load((repository / "config" / "papers" / "clash.yaml").read_text())
    raw["samples"]["clash"]["images"] |= {"fields": ["a209"], "bands": ["f475w", "f160w"]}
    config = load(raw, [], recipes)
    sizes = {}
    for number, path in enumerate(mast.mosaic_paths("clash", "a209", "f160w").values(), start=1):
        sizes[path] = 1000 * number
        server.on(path, content(bytes(sizes[path]), "image/fits"))
    plan = make_plan(config, recipes, transport=transport)
    assert plan.traffic["mast"].requests == 2
    assert plan.traffic["mast"].bytes == sum(sizes.values())
    assert plan.traffic["mast"].sources == {"asked"}
