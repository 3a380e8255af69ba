"""Files to shards: every row once, in its place, whatever it holds."""

import gzip
import json
from collections import defaultdict

import pytest
from helpers import SENTENCES

from metaie_spacy.bulk import Extractor, extract_files
from metaie_spacy.bulk.book import Book
from metaie_spacy.bulk.chunks import Reading, Source, chunks_of
from metaie_spacy.bulk.job import Job
from metaie_spacy.bulk.places import Folder, matching

TEXTS = [f"{SENTENCES[i % 4]} {i}" for i in range(23)]
LABELS = ["person", "city"]
NEEDS = "pip install 'metaie-spacy[bulk]'"


def write(path, texts=TEXTS):
    """A file of a kind that its name tells, with a number beside each text."""
    rows = [{"id": f"r{i}", "n": i, "text": text} for i, text in enumerate(texts)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.name.endswith(".parquet"):
        pa = pytest.importorskip("pyarrow", reason=NEEDS)
        import pyarrow.parquet as parquet

        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=9)
    elif path.name.endswith(".jsonl.gz"):
        path.write_bytes(gzip.compress(lines.encode()))
    elif path.name.endswith(".jsonl.zst"):
        zstandard = pytest.importorskip("zstandard", reason=NEEDS)
        path.write_bytes(zstandard.compress(lines[:90].encode()) + zstandard.compress(lines[90:].encode()))
    elif path.name.endswith(".csv"):
        path.write_text("id,n,text\n" + "".join(f'r{row["n"]},{row["n"]},"{row["text"]}"\n' for row in rows))
    else:
        path.write_text(lines if path.suffix == ".jsonl" else "\n\n".join(texts) + "\n", encoding="utf8")
    return path


def made(path, out, extractor, *, format="jsonl", rows=5):
    """The rows of all shards of a file, made in this process; and the counts of the shards."""
    job = Job(extractor, str(out), format)
    out.mkdir(exist_ok=True)
    chunks = list(chunks_of(Source(0, str(path)), Reading(extractor.text, rows)))
    entries = [job.make(chunk, lambda *told: None) for chunk in chunks]
    return [row for entry in entries for row in read(out / entry["shard"])], entries


def read(shard):
    if shard.suffix == ".jsonl":
        return [json.loads(line) for line in shard.read_text(encoding="utf8").splitlines()]
    import pyarrow.parquet as parquet

    return parquet.read_table(shard).to_pylist()


@pytest.fixture(scope="module")
def expected():
    return [row["spans"] for row in Extractor("en_metaie_sm", LABELS)([{"text": text} for text in TEXTS])]


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.csv", "a.parquet"])
def test_files_of_all_kinds_give_each_row_its_spans_in_its_place(name, format, expected, tmp_path):
    if format == "parquet":
        pytest.importorskip("pyarrow", reason=NEEDS)
    rows, entries = made(write(tmp_path / name), tmp_path / "out", Extractor("en_metaie_sm", LABELS), format=format)
    assert [row["text"] for row in rows] == TEXTS and [row["spans"] for row in rows] == expected
    assert [entry["rows"] for entry in entries] == [5, 5, 5, 5, 3]
    assert sum(entry["spans"] for entry in entries) == sum(map(len, expected)) > 23
    if name == "a.txt":
        assert [row["id"] for row in rows] == [f"a.txt:{2 * i + 1}" for i in range(23)]
        return
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(23)]
    numbers = [json.loads(row["fields"])["n"] if "fields" in row else int(row["n"]) for row in rows]
    assert numbers == list(range(23))


def test_chunks_are_the_same_each_time_and_those_that_are_done_are_left_out(tmp_path):
    for name in ("a.jsonl.gz", "a.csv", "a.parquet"):
        source, how = Source(3, str(write(tmp_path / name))), Reading("text", 4)
        chunks = list(chunks_of(source, how))
        assert [chunk.name for chunk in chunks] == [f"part-00003-{i:06d}" for i in range(6)]
        left = list(chunks_of(source, how, {0, 1, 2, 4}))
        assert [chunk.index for chunk in left] == [3, 5] and chunks[-1].read == 1.0
        assert [chunk.data for chunk in left] == [chunks[3].data, chunks[5].data]


def test_lines_that_hold_no_row_stay_as_rows_that_say_why(tmp_path):
    lines = [
        b'{"text": "Ada met Marie."}',
        b"{broken",
        b'{"text": "\xff"}',
        b"[1]",
        b'{"no": "text"}',
        b'{"text": null}',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    rows, _ = made(tmp_path / "a.jsonl", tmp_path / "out", Extractor("en_metaie_sm", LABELS))
    assert [row["id"] for row in rows] == [f"a.jsonl:{i}" for i in range(1, 7)]
    assert [row.get("text") for row in rows] == ["Ada met Marie.", "{broken", '{"text": "\\xff"}', "[1]", None, None]
    assert [row["spans"] is None for row in rows] == [False, True, True, True, True, True]
    why = [row.get("error") for row in rows]
    assert why[0] is None and "line 2: not JSON" in why[1] and "not UTF-8" in why[2] and "no object" in why[3]
    assert rows[4]["no"] == "text"
    (tmp_path / "a.csv").write_bytes(b"id,text\n1,Ada\n2,x,y\n3,\xff\n")
    rows, (entry,) = made(tmp_path / "a.csv", tmp_path / "out", Extractor("en_metaie_sm", LABELS))
    assert [row["text"] for row in rows] == ["Ada", "2,x,y", "3,\\xff"] and entry["errors"] == 2
    assert "3 fields in place of 2" in rows[1]["error"] and "record 3: not UTF-8" in rows[2]["error"]


def test_rows_bring_labels_and_links_travel_to_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason=NEEDS)
    links = {"labels": {"WHO": "person"}, "links": {"lives_in": {"head": "WHO", "query": "city"}}}
    rows = [{"text": "Ada Lovelace lives in London.", "ask": ask} for ask in ("city", json.dumps(links), None)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    extract = Extractor("en_metaie_sm", ["person"], labels_from="ask")
    city, linked, person = made(tmp_path / "a.jsonl", tmp_path / "out", extract, format="parquet")[0]
    assert {span["label"] for span in city["spans"]} == {"city"} and city["links"] is None
    assert {span["label"] for span in person["spans"]} == {"person"}
    (link,) = linked["links"]
    assert [linked["spans"][link[end]]["text"] for end in ("head", "tail")] == ["Ada Lovelace", "London"]
    assert [json.loads(row["fields"]) for row in (city, linked)] == [{"ask": "city"}, {"ask": json.dumps(links)}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_shards_tell_which_labels_a_text_was_asked_where_some_were_not(name, tmp_path):
    labels = {"PERSON": {"query": "person", "children": {"CITY": "city"}}}
    write(tmp_path / name, ["It rained.", SENTENCES[0]])
    rows, _ = made(tmp_path / name, tmp_path / "out", Extractor("en_metaie_sm", labels))
    assert rows[0]["spans"] == [] and rows[0]["asked"] == ["PERSON"] and rows[1]["spans"] and "asked" not in rows[1]
    pytest.importorskip("pyarrow", reason=NEEDS)
    extract = Extractor("en_metaie_sm", labels, output="found")
    rows, _ = made(tmp_path / name, tmp_path / "tables", extract, format="parquet")
    assert [row["found_asked"] for row in rows] == [["PERSON"], None]


ASKS_CHILDREN = {"labels": {"person": {"children": ["city"]}}}


@pytest.mark.parametrize(
    "content, options, message",
    [
        (b'{"text": "Ada.", "spans": []}', {}, 'line 1: the row has a field "spans" already.*--spans-field'),
        (b'{"text": "Ada.", "asked": []}', ASKS_CHILDREN, 'line 1: the row has a field "asked" already.*--spans-field'),
        (b'{"body": "Ada."}', {}, "no row has a field \"text\", only .'id', 'body'.*--text-field"),
        (b'{"text": "Ada."}', {"labels_from": "asks"}, 'no row has a field "asks".*--labels-from'),
    ],
)
def test_rows_that_would_lose_a_field_or_have_no_text_stop_the_run(content, options, message, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        made(tmp_path / "a.jsonl", tmp_path / "out", Extractor("en_metaie_sm", **{"labels": LABELS, **options}))


def test_a_damaged_file_is_named(tmp_path):
    whole = write(tmp_path / "a.jsonl.gz").read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="a.jsonl.gz' cannot be read to its end"):
        list(chunks_of(Source(0, str(tmp_path / "a.jsonl.gz")), Reading("text", 5)))
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    pytest.importorskip("pyarrow", reason=NEEDS)
    with pytest.raises(ValueError, match=r"a.parquet' is no Parquet file"):
        list(chunks_of(Source(0, str(tmp_path / "a.parquet")), Reading("text", 5)))


def test_patterns_name_files_in_order_and_mistakes_are_told(tmp_path):
    for name in ("b.txt", "a.txt", "c.csv.gz"):
        (tmp_path / name).touch()
    assert [path.rpartition("/")[2] for path in matching(f"{tmp_path}/*")] == ["a.txt", "b.txt", "c.csv.gz"]
    (tmp_path / "d.docx").touch()
    for source, message in (
        (f"{tmp_path}/*", "d.docx' is no file that is read"),
        (f"{tmp_path}/*.jsonl", "There is no file"),
        (str(tmp_path), "is a folder. Give a file or a pattern"),
    ):
        with pytest.raises(ValueError, match=message):
            matching(source)


ASKED = {"format": "jsonl", "columns": {"spans": "spans", "error": "text"}, "asked": ["person"]}


def test_a_folder_takes_one_run_whose_files_stay_as_they_are(tmp_path):
    first, out = write(tmp_path / "b.txt"), str(tmp_path / "out")
    assert [source.number for source in Book(out, ASKED, [str(first)]).sources] == [0]
    second = write(tmp_path / "a.txt")
    numbered = Book(out, ASKED, [str(second), str(first)]).sources
    assert [source.path for source in numbered] == [str(first), str(second)], "new files come behind"
    with pytest.raises(ValueError, match=r"begun with another asked: \[\"person\"\], not \[\"city\"\]"):
        Book(out, ASKED | {"asked": ["city"]}, [str(first)])
    first.write_text("Another text.\n")
    assert len(Book(out, ASKED, [str(first)]).sources) == 2, "nothing of it was done"
    (tmp_path / "out" / "part-00000-000000.jsonl").write_text('{"text": "Another text.", "spans": []}\n')
    assert Book(out, ASKED, [str(first)]).done == {0: {0}}
    first.write_text("A third and longer text.\n")
    with pytest.raises(ValueError, match=r"b.txt' has changed since.*remove its shards, part-00000-\*"):
        Book(out, ASKED, [str(first)])
    (tmp_path / "out" / "part-00000-000000.jsonl").unlink()
    assert Book(out, ASKED, [str(first)]).done == {}
    first.unlink()
    with pytest.raises(ValueError, match="b.txt' cannot be read"):
        Book(out, ASKED, [str(second)])
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").touch()
    with pytest.raises(ValueError, match="holds other files, such as 'letter.txt'"):
        Book(str(tmp_path / "taken"), ASKED, [str(second)])


def test_a_copy_of_a_shard_is_told_and_not_counted(tmp_path):
    path, out = write(tmp_path / "a.txt"), tmp_path / "out"
    Book(str(out), ASKED, [str(path)])
    (out / "part-00000-000001 (copy).jsonl").touch()
    with pytest.raises(ValueError, match=r"holds 'part-00000-000001 \(copy\).jsonl', which is no shard.*Move it away"):
        Book(str(out), ASKED, [str(path)])


def test_a_damaged_file_that_was_fetched_again_is_read_where_its_shards_are_removed(tmp_path):
    whole, out = write(tmp_path / "a.jsonl.gz").read_bytes(), tmp_path / "out"
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (source,) = Book(str(out), ASKED, [str(tmp_path / "a.jsonl.gz")]).sources
    with pytest.raises(ValueError, match=r"cannot be read to its end.*remove its shards.*part-00000-\*"):
        list(chunks_of(source, Reading("text", 5)))
    (tmp_path / "a.jsonl.gz").write_bytes(whole)
    (source,) = Book(str(out), ASKED, [str(tmp_path / "a.jsonl.gz")]).sources
    assert sum(chunk.rows for chunk in chunks_of(source, Reading("text", 5))) == len(TEXTS)


def test_a_shard_counts_if_it_is_there_whatever_the_book_says_of_it(tmp_path):
    path, out = write(tmp_path / "a.jsonl"), tmp_path / "out"
    book = Book(str(out), ASKED, [str(path)])
    _, entries = made(path, out, Extractor("en_metaie_sm", LABELS))
    book.add(entries[0])
    book.add(entries[1])
    log = out / "_done.log"
    log.write_bytes(log.read_bytes()[:-9])  # the second was being noted, and of the third and fifth nothing was
    (out / entries[3]["shard"]).unlink()
    (out / "part-00000-000003.jsonl.0f.partial").touch()
    again = Book(str(out), ASKED, [str(path)])
    assert again.done == defaultdict(set, {0: {0, 1, 2, 4}}) and again.totals()["rows"] == 18
    assert [again.entries[entry["shard"]] for entry in entries[:3]] == entries[:3]
    assert not list(out.glob("*.partial"))


def test_processes_fill_a_folder_that_readers_of_tables_read_whole(tmp_path, expected):
    parquet = pytest.importorskip("pyarrow.parquet", reason=NEEDS)
    pytest.importorskip("fsspec", reason=NEEDS)
    write(tmp_path / "a.parquet")
    write(tmp_path / "b.parquet", TEXTS[:7])
    out = f"file://{tmp_path}/out"  # the way of addresses; patterns too
    call = {"format": "parquet", "workers": 2, "shard_rows": 10, "progress": False}
    summary = extract_files(f"file://{tmp_path}/*.parquet", out, Extractor("en_metaie_sm", LABELS), **call)
    table = parquet.read_table(tmp_path / "out")
    assert table.column("spans").to_pylist() == expected + expected[:7]
    assert table.column("n").to_pylist() == [*range(23), *range(7)]
    counts = {"rows": 30, "errors": 0, "spans": sum(map(len, expected + expected[:7])), "shards": 4, "files": 2}
    assert summary.items() >= counts.items() and summary["texts_per_second"] > 0
    assert json.loads(Folder(out).read("_summary.json")) == summary and len(summary["model_sha256"]) == 64
