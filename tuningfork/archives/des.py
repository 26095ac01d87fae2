"""DES: the public files of its low-surface-brightness galaxies, and the two lists of artifacts (reference/archives.md, 5).

The host has been slow or away for some; the artifact lists are also, under other names, in the DeepShadows repository [from memory: they
are absent from its public copy today], which is asked when DES has none.
"""

import functools
import logging
import re
from pathlib import Path

from tuningfork.archives.checks import BadReply, check_not_html
from tuningfork.archives.request import Fetched
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError

log = logging.getLogger(__name__)

FOLDER = "/despublic/other_files/y3-lsbg"
LSBG = f"{FOLDER}/LSBG_catalog_v2.csv"
ARTIFACTS = f"{FOLDER}/random_negative_all_{{kind}}.txt"
# The folder and the file names were seen in the repository; its branch is from memory.
REPOSITORY = "/dtanoglidis/DeepShadows/main/Datasets"
REPOSITORY_ARTIFACTS = f"{REPOSITORY}/random_negative_all_{{kind}}.csv"
KINDS = (1, 2)
SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def lsbg_catalogue(transport: Transport, *, refresh: bool = False) -> Fetched:
    """The catalogue of 23,790 galaxies (Tanoglidis et al. 2021, version 2), a CSV file; errors as `Transport.fetch`."""
    return transport.fetch("des", LSBG, check=functools.partial(check_csv, column="coadd_object_id"), resume=True, refresh=refresh)


def artifacts(transport: Transport, kind: int, *, refresh: bool = False) -> Fetched:
    """One list of 20,000 artifacts, comma separated: kind 1 were rejected by the support-vector machine, kind 2 by eye.

    Raises
    ------
    ArchiveError
        Another kind was asked, or neither DES nor the repository has it.
    """
    if kind not in KINDS:
        raise ArchiveError(f"the artifact lists are {KINDS[0]} and {KINDS[1]}, not {kind!r}")
    check = functools.partial(check_csv, column="ra")
    try:
        return transport.fetch("des", ARTIFACTS.format(kind=kind), check=check, resume=True, refresh=refresh)
    except ArchiveError as error:
        log.warning("%s; asking the DeepShadows repository", error)
        try:
            return transport.fetch("github", REPOSITORY_ARTIFACTS.format(kind=kind), check=check, refresh=refresh)
        except ArchiveError as second:
            raise ArchiveError(
                f"the list of artifacts {kind} came neither from DES ({error}) nor from the DeepShadows repository ({second}); "
                "put a copy under archives.mirror, or ask its authors"
            ) from error


def repository_file(transport: Transport, name: str, *, refresh: bool = False) -> Fetched:
    """A file of the DeepShadows repository's ``Datasets`` folder, such as ``hsc_LSBGs.dat``; errors as `Transport.fetch`."""
    return transport.fetch("github", f"{REPOSITORY}/{name}", check=check_not_html, refresh=refresh)


def check_csv(path: Path, column: str) -> None:
    """A CSV file whose header has a column, and that has a row.

    Raises
    ------
    BadReply
        Not so (transient: a maintenance page, an empty or cut file).
    """
    check_not_html(path)
    with path.open("rb") as file:
        header = next((line for line in file if line.strip() and not line.lstrip().startswith(b"#")), b"")
        names = [name.strip(' "\r\n').lower() for name in header.decode("utf-8", "replace").split(",")]
        if column not in names:
            raise BadReply(f"a file without the column {column!r}; its first line is {re.sub(r'[^ -~]', '?', ', '.join(names))[:120]!r}")
        if not file.readline().strip():
            raise BadReply("a file without a single row")
