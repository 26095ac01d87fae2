"""A tiny sky, rendered once for all tests of this folder."""

from pathlib import Path

import pytest

from tuningfork.sky.build import render_sky
from tuningfork.sky.parameters import SkyParameters

TINY = {"goodss_side_px": 700, "clusters": ("SIM-A", "SIM-B"), "cluster_side_px": 400, "absent": (("SIM-B", "f475w"),), "clash_labels": 80}


@pytest.fixture(scope="session")
def tiny_parameters() -> SkyParameters:
    return SkyParameters(seed=5, **TINY)


@pytest.fixture(scope="session")
def tiny_sky(tiny_parameters: SkyParameters, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the rendered tiny sky."""
    return render_sky(tiny_parameters, tmp_path_factory.mktemp("sky"), progress=False).parent
