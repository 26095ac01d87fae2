"""Every unit is one that VOTable knows, and every UCD of the controlled vocabulary."""

import pytest
from astropy import units as u
from astropy.io.votable.ucd import parse_ucd

from tuningfork.catalogues import columns, guo2013, kartaltepe2015, molino2017
from tuningfork.samples import folder, ledger, select

TABLES = {
    "common": columns.COLUMNS,
    "guo2013": guo2013.COLUMNS,
    "kartaltepe2015": kartaltepe2015.COLUMNS,
    "molino2017": molino2017.COLUMNS,
    "sample": select.SAMPLE_COLUMNS,
    "ledger": ledger.COLUMNS,
    "folder": folder.FOLDER_COLUMNS,
}


@pytest.mark.parametrize("name", TABLES)
def test_units_and_ucds_are_standard(name):
    for unit, ucd, description in TABLES[name].values():
        parse_ucd(ucd, check_controlled_vocabulary=True)
        assert unit is None or u.Unit(unit, format="vounit")
        assert description
