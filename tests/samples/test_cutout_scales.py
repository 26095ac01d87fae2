"""Scales and positions that no service would draw: the row that has them is told, the others keep their cutouts."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from tuningfork.archives.cutouts import cutout_requests
from tuningfork.config import CutoutSample
from tuningfork.errors import SampleError
from tuningfork.samples.cutouts import cutout_spec, select_cutout_sample


def _spec(service: str, layer: str | None, expression: str, format: str) -> dict:  # noqa: A002
    images = {"service": service, "layer": layer, "format": format, "bands": ["g", "r"], "arcsec_per_pixel": expression, "pixels": 64}
    described = {"kind": "cutout", "catalogue": {"name": "table"}, "images": images, "task": "regression", "targets": ["y"]}
    return CutoutSample.model_validate(described).model_dump(mode="json")


def _table(radius: list[float], **columns: list[float]) -> Table:
    count = len(radius)
    table = Table({"object_id": [f"o{i}" for i in range(count)], "galaxy_id": [f"g{i}" for i in range(count)]})
    table["ra"], table["dec"] = columns.get("ra", np.arange(count) + 150.0), columns.get("dec", np.zeros(count))
    table["r90"], table["y"] = MaskedColumn(radius, mask=~np.isfinite(radius)), np.ones(count)
    return table


@pytest.mark.parametrize(
    ("service", "layer", "format", "good", "words"),
    [
        ("skyserver", "dr14", "jpeg", [True, False, False, False, False, True, False], "0.015 to 2400"),
        ("legacysurvey", "ls-dr9-south", "fits", [True, True, False, False, False, True, False], "0 to 3600"),
        ("galaxy10", None, "jpeg", [True, True, False, False, False, True, True], ""),
    ],
)
def test_a_scale_that_is_not_drawn_costs_one_row_only(service: str, layer: str | None, format: str, good: list[bool], words: str) -> None:  # noqa: A002
    radius = [0.4, 1e-4, 0.0, -9999.0, np.nan, 12.0, 1e5]
    found = select_cutout_sample(_table(radius), _spec(service, layer, "r90", format))
    reason = np.asarray(found["exclude_reason"])
    assert (reason == "").tolist() == good
    assert np.array_equal(~np.ma.getmaskarray(found["arcsec_per_pixel"]), good)
    if words:
        assert words in reason[6] and "100000" in reason[6]
        kept = found[reason == ""]
        assert len(cutout_requests(cutout_spec(_spec(service, layer, "r90", format)["images"]), kept["ra"], kept["dec"], kept["arcsec_per_pixel"])) == sum(good)


@pytest.mark.parametrize(("ra", "dec"), [(-999.0, 0.0), (10.0, -999.0), (400.0, 1.0), (np.nan, 1.0)])
def test_a_number_that_stands_for_no_position_is_no_position(ra: float, dec: float) -> None:
    table = _table([1.0, 1.0], ra=[150.0, ra], dec=[2.0, dec])
    with pytest.raises(SampleError, match=r"o1.*select\.where"):
        select_cutout_sample(table, _spec("legacysurvey", "ls-dr9-south", "r90", "fits"))
