"""VizieR's stand-in against recorded replies: how tables, fields and failures are written."""

import re
from xml.etree import ElementTree

import pytest
import requests

from tuningfork.sky import asu
from tuningfork.sky.server import serve


def tag(element):
    return re.sub(r"\{.*\}", "", element.tag)


def of(root, name):
    return [element for element in root.iter() if tag(element) == name]


@pytest.fixture(scope="module")
def ours(tiny_sky):
    with serve(tiny_sky) as urls:
        reply = requests.get(urls["vizier"] + "/viz-bin/votable", params={"-source": "J/ApJS/221/11", "-out": "*", "-out.max": "5"}, timeout=20)
    return ElementTree.fromstring(reply.content)


@pytest.fixture(scope="module")
def recorded(shared_data):
    return ElementTree.fromstring((shared_data / "responses" / "vizier" / "kang2010.xml").read_bytes())


def test_resource_table_and_rows_are_nested_as_recorded(ours, recorded):
    for root in (ours, recorded):
        (resource,) = of(root, "RESOURCE")
        (table,) = of(resource, "TABLE")
        assert resource.get("ID").startswith("yCat_") and table.get("name").startswith(resource.get("name") + "/")
        assert table.get("ID") == re.sub(r"\W", "_", table.get("name"))
        assert [tag(child) for child in table if tag(child) != "FIELD"] == ["DESCRIPTION", "DATA"]
        (rows,) = of(table, "TABLEDATA")
        assert tag(table[-1][0]) == "TABLEDATA" and {tag(row) for row in rows} == {"TR"}
        assert {len(row) for row in rows} == {len(of(table, "FIELD"))}
        assert of(resource, "COOSYS")


def test_fields_have_the_attributes_of_the_recorded_ones(ours, recorded):
    theirs = {name for field in of(recorded, "FIELD") for name in field.attrib}
    for field in of(ours, "FIELD"):
        assert {"name", "datatype"} <= set(field.attrib) <= theirs
        assert tag(field[0]) == "DESCRIPTION"
        assert (field.get("datatype") == "char") == ("arraysize" in field.attrib)
    assert any(field.get("ucd") for field in of(ours, "FIELD")) and any(field.get("unit") for field in of(ours, "FIELD"))


def test_the_failure_with_status_200_is_the_recorded_one_in_short(shared_data):
    recorded = ElementTree.fromstring((shared_data / "responses" / "vizier" / "no_server_error.xml").read_bytes())
    ours = ElementTree.fromstring(asu.error_votable())
    facts = [[(info.get("ID"), info.get("name"), info.get("value")) for info in of(root, "INFO")] for root in (ours, recorded)]
    assert facts[0][0] == facts[1][0] == ("Error", "Error", "The database is not currently reachable.")
    assert facts[0][-1] == facts[1][-1] == (None, "QUERY_STATUS", "ERROR")
    assert {name for _, name, _ in facts[0]} == {name for _, name, _ in facts[1]} == {"Error", "QUERY_STATUS"}
    assert not of(ours, "TABLE") and not of(recorded, "TABLE")
