"""TAP, synchronous queries: TAPVizieR and the Data Lab, each with its habits (reference/archives.md, 1.3 and section 5)."""

import re
from dataclasses import dataclass

from tuningfork.sky.services import answers
from tuningfork.sky.services.messages import Ask, Reply, missing
from tuningfork.sky.sql import Database, SqlError


@dataclass(frozen=True)
class Habits:
    """How a TAP service differs from the standard.

    Attributes
    ----------
    path : str
        Where it listens.
    version : str
        Version of its VOTables.
    namespace : bool
        Whether its VOTables name their XML namespace.
    error_status : int
        HTTP status of a refusal.
    """

    path: str
    version: str = "1.4"
    namespace: bool = True
    error_status: int = 400


TAPVIZIER = Habits("/TAPVizieR/tap/sync")
DATALAB = Habits("/tap/sync", version="1.2", namespace=False, error_status=200)


class Tap:
    """``/sync`` of one TAP service, by GET or POST.

    ``REQUEST=doQuery``, ``LANG=ADQL`` (or ADQL-2.x), ``QUERY``, ``FORMAT`` or ``RESPONSEFORMAT`` (votable, csv, json) and ``MAXREC``;
    names of parameters in any case.

    Refusals are VOTables with QUERY_STATUS = ERROR, whatever the format; more rows than MAXREC are cut, which VOTables alone announce (OVERFLOW).

    Parameters
    ----------
    database : Database
        Of dialect ``adql``.
    habits : Habits
    """

    def __init__(self, database: Database, habits: Habits) -> None:
        self.database, self.habits = database, habits

    def answer(self, ask: Ask) -> Reply:
        """The rows, or a refusal."""
        if ask.path.rstrip("/") != self.habits.path:
            return missing()
        form = ask.form_caseless()
        if form.get("request", "doQuery") != "doQuery":
            return self._refused(f"REQUEST={form['request']} is not doQuery")
        if not re.fullmatch(r"ADQL(-2\.\d)?", form.get("lang", ""), re.IGNORECASE):
            return self._refused(f"LANG={form.get('lang', '')!r} is not supported; use ADQL")
        if not form.get("query", "").strip():
            return self._refused("Missing required parameter: QUERY")
        limit = form.get("maxrec", "")
        if limit and not limit.isdigit():
            return self._refused(f"MAXREC={limit} is no whole number")
        try:
            found = self.database.run(form["query"].strip().rstrip(";"), max_rows=int(limit) if limit else None)
        except SqlError as error:
            return self._refused(str(error))
        return self._written(found, (form.get("responseformat") or form.get("format") or "votable").lower())

    def example(self) -> str:
        """The tables there are."""
        return f"{self.habits.path}?REQUEST=doQuery&LANG=ADQL&FORMAT=csv&QUERY=SELECT+*+FROM+TAP_SCHEMA.tables"

    def _written(self, found: answers.Answer, form: str) -> Reply:
        if form in ("csv", "text/csv"):
            return Reply(200, answers.tap_csv(found), "text/csv; charset=UTF-8")
        if form in ("json", "application/json"):
            return Reply(200, answers.tap_json(found), "application/json; charset=UTF-8")
        if form.startswith(("votable", "application/x-votable+xml", "text/xml")):
            body = answers.votable(found, version=self.habits.version, namespace=self.habits.namespace)
            return Reply(200, body, "application/x-votable+xml; charset=UTF-8")
        return self._refused(f"FORMAT={form} is not supported; use votable, csv or json")

    def _refused(self, message: str) -> Reply:
        body = answers.error_votable(message, version=self.habits.version, namespace=self.habits.namespace)
        return Reply(self.habits.error_status, body, "application/x-votable+xml; charset=UTF-8")
