import dataclasses
import math

import pytest

from tuningfork.errors import ConfigError
from tuningfork.sky.bands import BANDS
from tuningfork.sky.parameters import SkyParameters


def test_equal_parameters_have_equal_keys_and_any_change_another():
    base = SkyParameters()
    assert base.key() == SkyParameters().key()
    changes = {
        "seed": 2,
        "goodss_side_px": 500,
        "goodss_density": 40.0,
        "clusters": ("SIM-Q",),
        "cluster_side_px": 500,
        "cluster_density": 50.0,
        "bands": ("f160w",),
    }
    changes |= {"absent": (), "clash_labels": 10, "classifiers": (3, 4), "clash_classifiers": (5, 6), "many_votes": 0.5, "candels_offset_arcsec": (0.0, 0.0)}
    assert set(changes) == {field.name for field in dataclasses.fields(base)}
    keys = {dataclasses.replace(base, **{name: value}).key() for name, value in changes.items()}
    assert len(keys | {base.key()}) == len(changes) + 1


def test_lists_from_yaml_mean_the_same_as_tuples():
    given = SkyParameters(clusters=["SIM-A"], absent=[["SIM-A", "f606w"]], bands=["f606w", "f160w"])
    assert given.key() == SkyParameters(clusters=("SIM-A",), absent=(("SIM-A", "f606w"),), bands=("f606w", "f160w")).key()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clusters": ("macs2129",)}, "SIM-"),
        ({"clusters": ("SIM-A", "SIM-A")}, "twice"),
        ({"clusters": ("SIM-A_B",)}, "SIM-A_B"),
        ({"bands": ("f160w", "f999w")}, "f999w"),
        ({"bands": ("f606w",)}, "f160w"),
        ({"cluster_side_px": 20}, "200"),
        ({"classifiers": (4, 3)}, "classifiers"),
        ({"clash_labels": 0}, "clash_labels"),
    ],
)
def test_nonsense_is_refused_by_name(wrong, message):
    with pytest.raises(ConfigError, match=message):
        SkyParameters(**wrong)


def test_a_stream_depends_on_its_name_and_the_seed_only():
    one, other = SkyParameters(seed=1), SkyParameters(seed=1, clash_labels=5)
    assert one.generator("noise").random() == other.generator("noise").random()
    assert one.generator("noise").random() != one.generator("noises").random()
    assert one.generator("noise").random() != SkyParameters(seed=2).generator("noise").random()


@pytest.mark.parametrize("name", ["f275w", "f475w", "f814w", "f160w"])
def test_photflam_and_photplam_give_back_the_ab_zero_point(name):
    """An oracle from physics: f_lambda to f_nu at the pivot wavelength, against 3631 Jy."""
    band = BANDS[name]
    f_nu = band.photflam * band.pivot**2 / 2.99792458e18  # erg/s/cm2/Hz of one electron/s
    jansky = f_nu * 1e23
    assert abs(-2.5 * math.log10(jansky / 3631) - band.zero_point) < 2e-3
    assert jansky * 1e6 == pytest.approx(1 / band.electrons_per_microjansky, rel=2e-3)
