"""Which archives a rendered sky has, and the service behind each."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuningfork.errors import ArchiveError
from tuningfork.files import read_json
from tuningfork.sky.services.messages import Ask, Reply, Service
from tuningfork.sky.services.static import Bucket, StaticFiles
from tuningfork.sky.services.vizier import VizieR
from tuningfork.sky.services.zenodo import Zenodo

STATIC = ("mast", "github", "sas", "des")
"""Archives that are nothing but files."""
WITH_FILES = (*STATIC, "zenodo", "cds")

SDSS_VIEWS = {
    "Galaxy": "SELECT * FROM PhotoObj WHERE type = 3",
    "Star": "SELECT * FROM PhotoObj WHERE type = 6",
    "PhotoObjAll": "SELECT * FROM PhotoObj",
    "PhotoPrimary": "SELECT * FROM PhotoObj",
    "SpecObjAll": "SELECT * FROM SpecObj",
}
"""Views of SkyServer over the tables of the sky, as far as their tables are there: type 3 is a galaxy, 6 a star (the sky has primary objects only)."""

DATALAB_SDSS = "sdss_dr17"
"""Schema under which the Data Lab has the SDSS tables [M]."""

Files = dict[str, tuple[Path, str]]
Tables = dict[tuple[str, ...], Path]


def open_services(root: str | os.PathLike[str], limits: Mapping[str, int] | None = None) -> dict[str, Service]:
    """The services of a sky.

    Parameters
    ----------
    root : path
        A folder that `tuningfork.sky.build.render_sky` or `tuningfork.sky.wide.build.render_wide` wrote.
    limits : mapping, optional
        Requests a minute, see `tuningfork.sky.server.serve`.

    Returns
    -------
    dict
        Archive name -> service; only archives that this sky has anything of. What is costly (databases, images) is opened at its first request.

    Raises
    ------
    ArchiveError
        If `root` holds no complete sky.
    """
    root = Path(root)
    if not (root / "sky.json").is_file():
        raise ArchiveError(f"{root}: no sky.json, so no complete simulated sky; run the rule that renders it (or render_sky(), render_wide()) again")
    sky: dict[str, Any] = read_json(root / "sky.json")
    limits = limits or {}
    services: dict[str, Service] = {}
    if (root / "vizier").is_dir():
        services["vizier"] = VizieR(root / "vizier")
        services["tapvizier"] = Later(lambda: _tapvizier(root))
    files = archive_files(root, sky["files"])
    for name in STATIC:
        if name in files:
            services[name] = StaticFiles(files[name], aliases=[("/pub/hlsp/", "/missions/hlsp/")] if name == "mast" else ())
    if "mast" in files:
        public = {path: found for path, found in files["mast"].items() if path.startswith("/missions/hlsp/")}
        services["s3"] = Bucket({path.replace("/missions/hlsp/", "/mast/hlsp/", 1): found for path, found in public.items()})
    if "zenodo" in files:
        services["zenodo"] = Zenodo(files["zenodo"], limit=limits.get("zenodo"))
    if sky.get("kind") == "wide":
        images = LaterSky(root)
        services["skyserver"] = Later(lambda: _skyserver(root, images, limits.get("skyserver")))
        services["legacysurvey"] = Later(lambda: _legacysurvey(images))
        services["datalab"] = Later(lambda: _datalab(root, images))
        services["cds"] = Later(lambda: _cds(files.get("cds", {})))
    return services


class Later:
    """A service that is opened when it is first asked.

    Parameters
    ----------
    opened : callable
        Gives the service.
    """

    def __init__(self, opened: Callable[[], Service]) -> None:
        self._open, self._lock = opened, threading.Lock()
        self._service: Service | None = None

    def _now(self) -> Service:
        with self._lock:
            if self._service is None:
                self._service = self._open()
        return self._service

    def answer(self, ask: Ask) -> Reply:
        """The reply of the service."""
        return self._now().answer(ask)

    def example(self) -> str:
        """The example of the service."""
        return self._now().example()


class LaterSky:
    """The images of the wide sky in a folder, opened with the first of them; see `tuningfork.sky.services.imaging.Imaging`."""

    def __init__(self, root: Path) -> None:
        self._root, self._lock = root, threading.Lock()
        self._sky: Any = None

    def _now(self) -> Any:
        with self._lock:
            if self._sky is None:
                from tuningfork.sky.wide.image import WideSky  # imports SciPy, which jobs that ask for no image need not wait for

                self._sky = WideSky.open(self._root)
        return self._sky

    def image(self, layer: str, ra: float, dec: float, **options: Any) -> np.ndarray | None:
        """See `Imaging.image`."""
        return self._now().image(layer, ra, dec, **options)

    def jpeg(self, layer: str, ra: float, dec: float, **options: Any) -> np.ndarray | None:
        """See `Imaging.jpeg`."""
        return self._now().jpeg(layer, ra, dec, **options)


def archive_files(root: Path, digests: Mapping[str, str]) -> dict[str, Files]:
    """Static files by archive and path: those of ``<archive>/...`` (the HST sky) and ``files/<archive>/...`` (the wide one)."""
    found: dict[str, Files] = {}
    for relative, digest in digests.items():
        archive, _, path = relative.removeprefix("files/").partition("/")
        if archive in WITH_FILES and path:
            found.setdefault(archive, {})[f"/{path}"] = (root / relative, digest)
    return found


def database_tables(root: Path) -> Tables:
    """Tables for SQL: ``tables/<name>.parquet``, with a schema as ``tables/<schema>/<name>.parquet`` or ``tables/<schema>.<name>.parquet``."""
    found: Tables = {}
    for path in sorted((root / "tables").rglob("*.parquet")):
        parts = tuple(".".join(path.relative_to(root / "tables").with_suffix("").parts).split("."))
        if len(parts) <= 2:
            found[parts] = path
    return found


def _tapvizier(root: Path) -> Service:
    from tuningfork.sky import asu, sql
    from tuningfork.sky.services.tap import TAPVIZIER, Tap

    tables: Tables = {(name,): path for name, path in asu.available(root / "vizier").items()}
    return Tap(sql.Database(tables), TAPVIZIER)


def _skyserver(root: Path, images: LaterSky, per_minute: int | None) -> Service:
    from tuningfork.sky import sql
    from tuningfork.sky.services.getjpeg import GetJpeg
    from tuningfork.sky.services.skyserver import SkyServer

    tables: Tables = {name: path for name, path in database_tables(root).items() if len(name) == 1}
    present = {name[0].lower() for name in tables}
    views = {name: query for name, query in SDSS_VIEWS.items() if query.split()[3].lower() in present and name.lower() not in present}
    return SkyServer(sql.Database(tables, views=views, dialect="tsql"), GetJpeg(images), per_minute=per_minute)


def _legacysurvey(images: LaterSky) -> Service:
    from tuningfork.sky.services.legacysurvey import LegacySurvey

    return LegacySurvey(images)


def _datalab(root: Path, images: LaterSky) -> Service:
    from tuningfork.sky import sql
    from tuningfork.sky.services.datalab import DataLab
    from tuningfork.sky.services.tap import DATALAB, Tap

    tables: Tables = {name if len(name) == 2 else (DATALAB_SDSS, name[0].lower()): path for name, path in database_tables(root).items()}
    return DataLab(images, Tap(sql.Database(tables, geometry=False), DATALAB))


def _cds(files: Files) -> Service:
    from tuningfork.sky.services.footprints import Footprints

    return Footprints(files)
