"""SDSS's Science Archive Server: the row-matched FITS files of the MPA-JHU galaxy spectra (reference/archives.md, 3.3).

One file is up to 1.9 GB: it is resumed where it was cut, and never read whole by those who want some columns.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

from tuningfork.archives.checks import check_fits
from tuningfork.archives.request import Fetched
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError

ARCHIVE = "sas"
GALSPEC = "/sas/dr8/common/sdss-spectro/redux/galSpec{part}-dr8.fits"
PARTS = ("Info", "Extra", "Line", "Indx")
MAX_BYTES = 2**32


def galspec(transport: Transport, part: str, *, refresh: bool = False) -> Fetched:
    """One of the four files: ``Info`` (364 MB), ``Extra`` (339 MB), ``Line`` (1.7 GB) or ``Indx`` (1.9 GB).

    Raises
    ------
    NotInArchive
        The server has no such file.
    ArchiveError
        Another part was asked, or the file did not come as a whole FITS file after all retries.
    """
    if part not in PARTS:
        raise ArchiveError(f"the MPA-JHU spectra have the parts {', '.join(PARTS)}, not {part!r}")
    return transport.fetch(ARCHIVE, GALSPEC.format(part=part), check=check_fits, resume=True, max_bytes=MAX_BYTES, refresh=refresh)


def galspec_files(transport: Transport, parts: Sequence[str]) -> dict[str, Path]:
    """Several of them, by part; errors as `galspec`."""
    fetch = functools.partial(galspec, transport)
    return {part: fetch(part).path for part in parts}
