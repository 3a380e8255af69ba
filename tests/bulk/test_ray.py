"""On a real Ray, started here: the callable in `map_batches`, and files by its actors."""

import json
import os

import pytest
from helpers import ROOT, SENTENCES

from metaie_spacy.bulk import Extractor, extract_files

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'metaie-spacy[ray]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'metaie-spacy[ray]'")
ROWS = [{"id": f"r{i}", "text": f"{SENTENCES[i % 4]} {i}"} for i in range(24)]
# A cluster that others use, or that is reached from outside, is none for tests.
START = {"num_cpus": 2, "include_dashboard": False, "log_to_driver": False, "logging_level": "error"}


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, whose processes find this package."""
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), before)))
    ray.init(**START)
    yield
    ray.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def scores_apart(one, other):
    """Largest difference of the scores of spans that are equal otherwise."""
    keys = ("start", "end", "text", "label")
    assert [[{key: s[key] for key in keys} for s in spans] for spans in one] == [
        [{key: s[key] for key in keys} for s in spans] for spans in other
    ]
    pairs = [(a["score"], b["score"]) for x, y in zip(one, other) for a, b in zip(x, y)]
    return max(abs(a - b) for a, b in pairs)


def test_map_batches_and_actors_find_what_one_process_finds(cluster, tmp_path):
    extract = Extractor("en_metaie_sm", ["person", "city"])
    expected = [row["spans"] for row in extract(ROWS)]
    assert any(expected)
    mapped = ray.data.from_items(ROWS).map_batches(extract, batch_format="pyarrow", batch_size=12, concurrency=1)
    by_id = {row["id"]: row for row in mapped.take_all()}
    assert scores_apart([by_id[row["id"]]["spans"] for row in ROWS], expected) <= 1e-4
    assert {row["error"] for row in by_id.values()} == {None}

    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf8")
    out, call = tmp_path / "out", {"engine": "ray", "workers": 1, "shard_rows": 8, "progress": False}
    summary = extract_files(str(tmp_path / "a.jsonl"), str(out), extract, **call)
    assert summary["rows"] == 24 and summary["shards"] == 3 and summary["errors"] == 0
    (out / "part-00000-000001.jsonl").unlink()  # as if the cluster had been lost before it
    assert extract_files(str(tmp_path / "a.jsonl"), str(out), extract, **call)["rows_of_this_call"] == 8
    rows = [json.loads(line) for shard in sorted(out.glob("part-*")) for line in shard.read_text().splitlines()]
    assert [row["id"] for row in rows] == [row["id"] for row in ROWS]
    assert scores_apart([row["spans"] for row in rows], expected) <= 1e-4

    (tmp_path / "b.jsonl").write_text('{"text": "Ada.", "spans": []}\n')
    with pytest.raises(ValueError, match='line 1: the row has a field "spans" already'):
        extract_files(str(tmp_path / "b.jsonl"), str(tmp_path / "other"), extract, **call)
