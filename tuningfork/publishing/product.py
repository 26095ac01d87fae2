"""All files of a published catalogue, from the tables of a sample and the predictions of a model."""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from tuningfork.errors import TuningforkError
from tuningfork.files import write_json, write_text
from tuningfork.publishing import formats, provenance, references, uncertainty
from tuningfork.publishing.catalogue import assemble, is_simulated, origins_of
from tuningfork.publishing.readme import readme_text, write_fixed_width
from tuningfork.publishing.tables_html import preview_page
from tuningfork.publishing.wide import widen

CLASH_NAMES = {"catalogue_id": "clashid", "field": "cluster"}
TABLES = ("csv", "parquet", "fits", "votable", "dat")
OUTPUTS = (*TABLES, "wide", "readme", "bibtex", "provenance", "preview")


def publish(
    outputs: Mapping[str, str | os.PathLike[str]],
    *,
    objects: Table,
    ledger: Table,
    predictions: Table,
    spec: Mapping[str, Any],
    code: str,
    scalars: Mapping[str, np.ndarray] | None = None,
    weights: Mapping[str, str | os.PathLike[str]] | None = None,
    methods: tuple[str, ...] = (),
    created: datetime | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> Table:
    """Write the files named in `outputs` and give the long table.

    Parameters
    ----------
    outputs : mapping
        Some of ``csv parquet fits votable dat`` (the long table), ``wide`` (one row a galaxy; the suffix is its format), ``readme bibtex provenance
        preview``. The ReadMe describes the ``dat`` byte by byte, or the ``csv`` column by column where there is no ``dat``.
    objects, ledger, predictions, scalars
        As in `catalogue.assemble`.
    spec : mapping
        ``name``, ``title``, ``task``, ``targets``, ``catalogues`` (the input catalogues), ``collection`` (of the images, or None), ``simulated``;
        kept whole in the provenance. May have ``methods`` (as below) and ``weights_from`` (files of weights from elsewhere).
    code : str
        Fingerprint of the code.
    weights : mapping of model name to path
        Their SHA-256 go into the provenance.
    methods : tuple of str
        Further keys of `references.METHOD`; those of the input catalogues are always there.
    created : datetime, optional
        Now, unless given; only the provenance has it.
    calibration : mapping, optional
        calibration.json of the model, which `predictions` were calibrated with; the ReadMe says how, the provenance keeps it.
    """
    if unknown := sorted(set(outputs) - set(OUTPUTS)):
        raise TuningforkError(f"unknown output {unknown[0]!r} of a catalogue; one of {', '.join(OUTPUTS)}")
    simulated = is_simulated(objects, bool(spec.get("simulated", False)))
    catalogues = list(spec.get("catalogues", ()))
    is_clash = "molino2017" in catalogues
    names = CLASH_NAMES if is_clash else {}
    collection = spec.get("collection")
    inputs = [*catalogues, *([str(collection)] if collection else [])]
    keys = references.keys_for(inputs, (*catalogues, *spec.get("methods", ()), *methods), simulated)
    meta = {
        "name": spec["name"],
        "title": spec["title"],
        "credit": references.credit(catalogues, simulated),
        "references": keys,
        "model": spec.get("model", ""),
    }
    common = {"targets": spec["targets"], "task": spec["task"], "simulated": simulated, "calibration": calibration, "sample": str(spec.get("sample", ""))}
    long = assemble(objects, ledger, predictions, scalars=scalars, names=names, meta=meta, **common)
    description = f"{spec['title']}. {meta['credit']}"
    for name in TABLES:
        if name in outputs:
            if name == "dat":
                write_fixed_width(long, outputs[name])
            else:
                formats.write(long, outputs[name], description)
    if "wide" in outputs:
        formats.write(widen(long, names), outputs["wide"], description)
    bibtex = references.bibtex(keys)
    if "bibtex" in outputs:
        write_text(outputs["bibtex"], bibtex)
    if "readme" in outputs:
        described = next((Path(outputs[n]).name for n in ("dat", "csv") if n in outputs), f"{spec['name']}.csv")
        notes = [str(meta["credit"]), "The .csv, .parquet, .fits and .vot files hold the same columns in the same order; the _wide file has one row a galaxy."]
        notes += uncertainty.notes(calibration, str(spec.get("sample", ""))) if calibration is not None else []
        text = readme_text(
            [(described, long, "One row an object" if "bands" in long.colnames else "One row an object and filter")],
            title=spec["title"],
            description=description,
            bibtex=bibtex,
            notes=notes,
        )
        write_text(outputs["readme"], text)
    if "preview" in outputs:
        write_text(outputs["preview"], preview_page(long, spec["title"]))
    if "provenance" in outputs:
        written = [path for name, path in outputs.items() if name != "provenance"]
        record = provenance.build(
            spec["name"],
            configuration=spec,
            code=code,
            inputs=origins_of(objects),
            simulated=simulated,
            weights=weights,
            outputs=written,
            references=keys,
            created=created,
            calibration=uncertainty.record(calibration) if calibration is not None else None,
        )
        write_json(outputs["provenance"], record)
    return long
