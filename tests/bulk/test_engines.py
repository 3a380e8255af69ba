"""The examples for engines, as the page has them; each runs where its package is installed."""

import json
import os
import re
import sys

import pytest
from helpers import ROOT, SENTENCES

from metaie_spacy.bulk import Extractor

pa = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'metaie-spacy[bulk]'")
PAGE = (ROOT / "docs" / "howto" / "batch.md").read_text(encoding="utf8")
EXAMPLES = {
    match[1]: match[0] for match in re.findall(r"^```python\n(# (on_\w+)\.py\n.*?)^```", PAGE, re.DOTALL | re.M)
}
PACKAGES = {"on_ray": "ray", "on_spark": "pyspark", "on_dask": "dask", "on_daft": "daft", "on_datasets": "datasets"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with texts.parquet, in which the processes of engines find this package."""
    import pyarrow.parquet as parquet

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    parquet.write_table(pa.table({"text": [*SENTENCES, None]}), "texts.parquet")
    return tmp_path


def found_in(place, names):
    """What an example has left: a frame or a mapping, or files of Parquet."""
    import pyarrow.parquet as parquet

    spans = names.get("spans")
    if hasattr(spans, "compute"):
        return spans.compute()[["text", "spans"]].to_dict("records")
    if hasattr(spans, "to_pydict"):
        columns = spans.to_pydict()
        return [{"text": text, "spans": cell} for text, cell in zip(columns["text"], columns["spans"])]
    files = sorted([*place.glob("spans/*.parquet"), *place.glob("spans.parquet")])
    return [row for file in files for row in parquet.read_table(file, columns=["text", "spans"]).to_pylist()]


def plain(spans):
    return None if spans is None else [dict(span) for span in spans]


def test_the_page_has_an_example_for_each_engine():
    assert set(EXAMPLES) == set(PACKAGES)


@pytest.mark.parametrize("name", ["on_dask", "on_daft", "on_spark", "on_datasets"])
def test_the_example_of_an_engine_finds_what_the_callable_finds(name, place, monkeypatch):
    pytest.importorskip(PACKAGES[name], reason=f"needs {PACKAGES[name]}: pip install {PACKAGES[name]}")
    names = {"__name__": name}
    exec(compile(EXAMPLES[name], f"{name}.py", "exec"), names)
    found = found_in(place, names)
    expected = Extractor("en_metaie_sm", ["person", "city"])([{"text": text} for text in [*SENTENCES, None]])
    key = lambda row: str(row["text"])  # noqa: E731
    assert [(row["text"], plain(row["spans"])) for row in sorted(found, key=key)] == [
        (row["text"], row["spans"]) for row in sorted(expected, key=key)
    ]
    assert json.dumps([row["spans"] for row in expected]).count("London") >= 1
