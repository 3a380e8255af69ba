"""The schemas that come with the package."""

import json

import pytest
from helpers import ASSETS

from metaie_spacy.schema import parse_schema, read_schema

READY = sorted((ASSETS / "schemas").glob("*.json"))


def test_there_is_a_schema_for_each_job():
    names = ["contracts", "drug_safety", "incidents", "predicates_and_roles", "relations", "reviews"]
    assert [path.stem for path in READY] == names


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_a_ready_schema_asks_for_links_and_records(path):
    checked = read_schema(path)
    labels, links = parse_schema(json.loads(path.read_text(encoding="utf8")))
    assert links.relations and links.records and read_schema(checked) == checked
    assert all(relation.queries[0] == relation.queries[0].lower() for relation in links.relations)
    asked = {name for one in (*links.relations, *links.attributes) for name in one.heads}
    assert asked <= {label.name for label in labels}
    grouped = {field for record in links.records for field in record.fields}
    assert grouped == {one.name for one in (*links.relations, *links.attributes)}
