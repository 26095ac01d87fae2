"""A small sample as the rules leave it: objects, ledger, predictions, scalars of the stamps."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from tuningfork import tables

TARGETS = ["p_smooth", "p_features"]


def make(simulated=False):
    """Eight rows: three galaxies in f160w and f850lp, one without stamp, one of the ledger alone."""
    prefix = "SIM-" if simulated else ""
    ids = [f"{prefix}macs2129_{band}_{number}" for number in (656, 657, 658) for band in ("f160w", "f850lp")] + [f"{prefix}macs2129_f160w_700"]
    number = np.array([i.rsplit("_", 1)[1] for i in ids])
    n = len(ids)
    objects = Table(meta={"origin": {"catalogue": "molino2017", "doi": "10.1093/mnras/stx1243", "simulated": simulated, "retrieved": "2024-01-01T00:00:00Z"}})
    objects["object_id"] = ids
    objects["galaxy_id"] = [f"{prefix}macs2129_{m}" for m in number]
    objects["catalogue_id"] = [f"clash_macs2129_nir_{m:0>4}" for m in number]
    objects["group_id"] = ["macs2129"] * n
    objects["field"] = ["macs2129"] * n
    objects["band"] = [i.split("_")[1] for i in ids]
    objects["ra"] = 322.35 + np.arange(n) * 1e-3
    objects["dec"] = -7.69 - np.arange(n) * 1e-3
    objects["mag"] = MaskedColumn([20.0, 21.0, 22.12345678, 23.0, 24.0, 0, 23.5], mask=[0, 0, 0, 0, 0, 1, 0])
    objects["mag_err"] = MaskedColumn(np.full(n, 0.02), mask=[0, 0, 0, 0, 0, 1, 0])
    objects["mag_f160w"] = np.full(n, 20.5)
    objects["mag_limit_f850lp"] = MaskedColumn(np.full(n, 27.5), mask=np.zeros(n, bool))
    objects["petrosian_radius_arcsec"] = MaskedColumn([1.0, 1.0, 0.5, 0.5, 0, 0, 0.7], mask=[0, 0, 0, 0, 1, 1, 0])
    objects["petrosian_flag"] = ["", "", "floor", "floor", "none", "none", ""]
    objects["stamp_arcsec"] = [4.0, 4.0, 2.0, 2.0, 3.0, 3.0, 2.8]
    objects["phot_flag"] = MaskedColumn([0, 2, 0, 0, 3, 1, 0], mask=[0, 0, 0, 0, 0, 0, 1])
    objects["p_smooth"] = MaskedColumn([0.75, 0.5, 0, 0, 0, 0, 0], mask=[0, 0, 1, 1, 1, 1, 1])
    objects["p_features"] = MaskedColumn([0.25, 0.5, 0, 0, 0, 0, 0], mask=[0, 0, 1, 1, 1, 1, 1])
    objects["labelled"] = [True, True, *[False] * 5]
    objects["n_votes"] = MaskedColumn([5, 5, 0, 0, 0, 0, 0], mask=[0, 0, 1, 1, 1, 1, 1])
    objects["split"] = ["train", "test", *["unlabelled"] * 5]
    objects["shard"] = ["0a"] * n
    tables.describe(objects, {"phot_flag": (None, "meta.code.qual", "SExtractor flag"), "ra": ("deg", "pos.eq.ra;meta.main", "Right ascension (ICRS)")})
    lost = f"{prefix}macs2129_f160w_999"
    status = ["ok", "ok", "partial", "absent", "ok", "ok", "ok"]
    ledger = Table({"object_id": [*ids[::-1], lost], "status": [*status[::-1], "too_small"], "reason": [""] * 8})
    p = np.array([0.7, 0.4, 0.2, 0.9, 1 / 3, 0.6, 0.0])
    masked_rows = [0, 0, 0, 0, 0, 0, 1]
    predictions = Table(
        {
            "object_id": ids[::-1],
            "status": status[::-1],
            "in_training": [i == 6 for i in range(n)],
            "fold": [0] * n,
            "p_smooth": MaskedColumn(p, mask=masked_rows)[::-1],
            "p_smooth_std": MaskedColumn(np.full(n, 0.01), mask=masked_rows)[::-1],
            "p_features": MaskedColumn(1 - p, mask=masked_rows)[::-1],
            "p_features_std": MaskedColumn(np.full(n, 0.01), mask=masked_rows)[::-1],
        }
    )
    scalars = {"object_id": np.array(ids), "snr": np.array([50.0, 40, 30, 0, 4, 10, 20]), "n_neighbours": np.array([0.0, 0, 2, 0, 0, 0, 0]), "zoom": np.ones(n)}
    return {"objects": objects, "ledger": ledger, "predictions": predictions, "scalars": scalars, "targets": TARGETS, "task": "fractions"}


@pytest.fixture
def parts():
    return make()


@pytest.fixture
def simulated_parts():
    return make(simulated=True)
