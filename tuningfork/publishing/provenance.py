"""Where a product comes from: configuration, code, software, inputs and weights. The only published file with times in it."""

import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tuningfork.files import digest_of, sha256_of

PACKAGES = (
    "tuningfork",
    "astropy",
    "galsim",
    "numpy",
    "photutils",
    "pyarrow",
    "reproject",
    "safetensors",
    "scikit-learn",
    "scipy",
    "snakemake",
    "torch",
)


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of the installed packages among `packages`, from their metadata (nothing is imported)."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def build(
    product: str,
    *,
    configuration: Mapping[str, object],
    code: str,
    inputs: Iterable[Mapping[str, object]],
    simulated: bool,
    weights: Mapping[str, str | os.PathLike[str]] | None = None,
    outputs: Iterable[str | os.PathLike[str]] = (),
    references: Iterable[str] = (),
    created: datetime | None = None,
    calibration: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """The provenance of a product, JSON-able.

    Parameters
    ----------
    product : str
        Its name.
    configuration : mapping
        The slice of the configuration that made it; kept whole and as a digest.
    code : str
        Fingerprint of the modules that made it.
    inputs : iterable of mapping
        Origins of the tables and images used (``table.meta["origin"]``: catalogue, query, DOI, retrieval time, SHA-256).
    simulated : bool
        Whether rows come from the simulated sky; also taken from the inputs, whichever says so.
    weights : mapping of name to path
        Weights of the networks used; their SHA-256 are recorded.
    outputs : iterable of paths
        Files of the product; size and SHA-256 are recorded.
    references : iterable of str
        Keys of `references.ENTRIES`.
    created : datetime, optional
        Now, unless given.
    calibration : mapping, optional
        How probabilities, intervals and sets were calibrated.
    """
    inputs = [dict(origin) for origin in inputs]
    simulated = simulated or any(bool(origin.get("simulated", False)) for origin in inputs)
    if simulated:
        # A simulated table carries the archive's identifiers only because its server imitates them; it must not claim the data's DOI.
        inputs = [{key: value for key, value in origin.items() if key not in ("doi", "bibcode")} for origin in inputs]
    return {
        "format": 1,
        "product": product,
        "statement": "SIMULATED: not data" if simulated else "re-derived with tuningfork; not the published catalogue",
        "simulated": simulated,
        "created": (created or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        "configuration": {"digest": digest_of(dict(configuration)), "values": dict(configuration)},
        "code": code,
        "software": versions(),
        "inputs": inputs,
        "weights": {name: {"sha256": sha256_of(path)} for name, path in (weights or {}).items()},
        "outputs": {Path(path).name: {"bytes": Path(path).stat().st_size, "sha256": sha256_of(path)} for path in outputs},
        "references": list(references),
        **({"calibration": dict(calibration)} if calibration is not None else {}),
    }
