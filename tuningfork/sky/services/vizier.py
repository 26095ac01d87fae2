"""VizieR's ASU forms over the sky's Parquet tables; the language itself is in `tuningfork.sky.asu`."""

import re
from pathlib import Path

from tuningfork.sky import asu
from tuningfork.sky.services.messages import Ask, Reply, missing


class VizieR:
    """``/viz-bin/votable`` and ``/viz-bin/asu-tsv``, by GET or by a POST of lines.

    Parameters
    ----------
    tables : path
        Folder of the tables: ``J/ApJS/221/11/table3.parquet`` is the table of that name.
    """

    def __init__(self, tables: Path) -> None:
        self.tables = tables

    def answer(self, ask: Ask) -> Reply:
        """Rows as VOTable or tab-separated text; unknown columns are warnings, unknown catalogues a reply without a table, never an error status."""
        match = re.fullmatch(r"/viz-bin/(votable|asu-tsv)", ask.path)
        if not match:
            return missing()
        text = ask.body or ask.query
        found = asu.select(self.tables, asu.parse(text))
        request = f"{match[1]}?{'&'.join(text.split())}"
        if match[1] == "votable":
            return Reply(200, asu.votable(*found, request), "text/xml; charset=UTF-8")
        return Reply(200, asu.tsv(*found, request), "text/tab-separated-values; charset=UTF-8")

    def example(self) -> str:
        """Three rows of the first table."""
        return f"/viz-bin/asu-tsv?-source={min(asu.available(self.tables), default='')}&-out.max=3"
