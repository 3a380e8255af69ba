"""Annotation files -> train, dev, test: nothing is lost, nothing changes by itself."""

import json
import random
from collections import Counter

import pytest
from helpers import CORPUS

from metaie_spacy.curate.curate import FILES, CurateSettings, curate
from metaie_spacy.data.rows import read_rows

OFF = CurateSettings(near_duplicates=0, linked=0)


def row(n, text=None, spans=((0, 3, "person"),), **fields):
    spans = [{"start": start, "end": end, "label": label} for start, end, label in spans]
    return {
        "id": f"r{n}",
        "text": text or f"Ada number {n} flew to Rome.",
        "spans": spans,
        "absent": ["drug"],
        "teacher": "t",
        **fields,
    }


def write(path, *lines):
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines) + b"\n"
    )
    return path


def read(folder, *names):
    return [json.loads(line) for name in names for line in (folder / name).read_text(encoding="utf8").split("\n")[:-1]]


def kept(folder):
    return sorted(r["id"] for r in read(folder, "train.jsonl", "dev.jsonl", "test.jsonl"))


def check_balance(report, folder):
    """Rows in = rows out + rows dropped, in the report and in the files."""
    dropped = [entry for entry in read(folder, "dropped.jsonl") if "span" not in entry]
    assert report["rows"]["in"] == report["rows"]["out"] + sum(report["rows"]["dropped"].values())
    assert report["rows"]["out"] == len(kept(folder)) == sum(split["rows"] for split in report["splits"].values())
    assert Counter(entry["why"] for entry in dropped) == report["rows"]["dropped"]
    assert all(("row" in entry) != ("raw" in entry) and entry["source_file"] and entry["line"] for entry in dropped)
    assert sum(file["rows"] for file in report["files"].values()) == report["rows"]["in"]
    assert sum(file["dropped"] for file in report["files"].values()) == len(dropped)


def test_our_corpus_goes_through_whole(tmp_path):
    report = curate([CORPUS], tmp_path, CurateSettings())
    check_balance(report, tmp_path)
    assert (
        report["rows"]["in"] == sum(1 for _ in read_rows(CORPUS))
        and report["rows"]["out"] > 0.98 * report["rows"]["in"]
    )
    for name in ("train", "dev", "test"):
        rows = list(read_rows(tmp_path / f"{name}.jsonl"))
        assert len(rows) == report["splits"][name]["rows"] > 80
    labels = json.loads((tmp_path / "labels.json").read_text(encoding="utf8"))["labels"]
    assert next(iter(labels)) == "person" and list(labels.values()) == sorted(labels.values(), reverse=True)
    assert len(labels) == report["labels"]["out"]
    page = (tmp_path / "report.md").read_text(encoding="utf8")
    assert "# Curated annotations" in page and f"{report['rows']['out']:,} are kept" in page
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)  # no temporary file is left


def test_same_input_and_seed_give_the_same_bytes(tmp_path):
    source = write(tmp_path / "rows.jsonl", *CORPUS.read_bytes().splitlines()[:300])
    for name, seed in (("a", 0), ("b", 0), ("other", 1)):
        curate([source], tmp_path / name, CurateSettings(max_label_rows=20, seed=seed))
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / "dev.jsonl").read_bytes() != (tmp_path / "other" / "dev.jsonl").read_bytes()


BROKEN = [
    (b'{"id": "x", "text": "Ada', "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b'{"id": "x", "text": "Ada", "spans": [], "agreement": NaN}', "not JSON"),
    (b'{"id": "x", "text": "Ada", "spans": [], "agreement": 1e999}', "not JSON"),
    (b'{"id": "x", "text": "Ad\xff", "spans": []}', "not UTF-8"),
    (b'{"id": "x", "text": "Ad\\ud83d", "spans": []}', "half a character"),
    (b'{"id": "x", "text": "Ada", "spans": [{"start": 0, "end": 9, "label": "a"}]}', "no annotation row"),
    (b'{"id": "x", "text": "Ada", "spans": [], "agreement": 1.5}', "no annotation row"),
    (b'{"id": "x", "text": "Ada", "spans": [], "teacher": 5}', "no annotation row"),
    (b'{"id": ["x"], "text": "Ada", "spans": []}', "no annotation row"),
    (b"null", "no annotation row"),
    (b"\0\0\0\0", "NUL bytes"),
    (b'{"id": "x", "text": "Ada", "failed": "time-out"}', "failed"),
]


def test_broken_lines_are_dropped_with_their_reason_and_their_bytes(tmp_path, caplog):
    lines = [line for broken, _ in BROKEN for line in (broken, b"")]  # blank lines are no rows
    source = write(tmp_path / "rows.jsonl", *lines, row(1))
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes() + json.dumps(row(2)).encode()[:40])
    report = curate([source], tmp_path / "out", OFF)
    check_balance(report, tmp_path / "out")
    assert kept(tmp_path / "out") == ["r1"] and report["rows"]["in"] == len(BROKEN) + 2
    entries = read(tmp_path / "out", "dropped.jsonl")
    assert [(entry["line"], entry["why"]) for entry in entries] == [
        *((2 * n + 1, why) for n, (_, why) in enumerate(BROKEN)), (2 * len(BROKEN) + 2, "cut line"),
    ]  # fmt: skip
    assert entries[4]["raw"] == '{"id": "x", "text": "Ad\\xff", "spans": []}' and "detail" in entries[4]
    assert entries[12]["row"]["failed"] == "time-out"
    assert "13 lines are no annotation rows" in caplog.text


def test_a_whole_last_line_without_its_end_is_a_row(tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_bytes(json.dumps(row(1)).encode() + b"\r\n" + json.dumps(row(2)).encode())
    curate([source], tmp_path / "out", OFF)
    assert kept(tmp_path / "out") == ["r1", "r2"]


def test_rows_without_an_id_get_one_of_their_text(tmp_path):
    plain = [{"text": f"Ada {n}", "spans": []} for n in range(3)]
    curate([write(tmp_path / "a.jsonl", *plain)], tmp_path / "a", OFF)
    curate([write(tmp_path / "b.jsonl", {"id": 7, "text": "Bob", "spans": []}, *plain[::-1])], tmp_path / "b", OFF)
    assert set(kept(tmp_path / "b")) == {*kept(tmp_path / "a"), "7"}


def test_every_filter_counts_what_it_drops(tmp_path):
    long = " ".join(f"word{n}" for n in range(60))
    (tmp_path / "bench.txt").write_text("a secret sentence of more than eight words in all", encoding="utf8")
    rows = [
        row(1, teacher="x"),
        row(1, teacher="x"),
        row(1, "Eve", teacher="x"),
        row(1, teacher="y", spans=[(0, 3, "woman")]),
        row(2),
        row(3, "ADA number 2  flew to Rome."),
        row(4, long),
        row(5, long + " more"),
        row(6, "Ada told a secret sentence of more than eight words in all of them."),
        row(7, spans=[(0, 3, "Person"), (0, 3, "person"), (4, 10, "person"), (0, 10, "person")]),
        row(8, spans=[(0, 3, "person")]),
        row(9, spans=[(0, 3, "rare label")], agreement=0.2),
        row(10, spans=[(0, 3, "rare label")], agreement=0.8),
        row(11, spans=[], absent=[]),
    ]
    settings = CurateSettings(against=(tmp_path / "bench.txt",), max_label_rows=4, min_agreement=0.5, keep_empty=False)
    report = curate([write(tmp_path / "rows.jsonl", *rows)], tmp_path / "out", settings)
    check_balance(report, tmp_path / "out")
    assert report["rows"]["dropped"] == {
        "contaminated": 1, "duplicate id": 1, "duplicate text": 1, "empty": 1, "id used twice": 1, "label cap": 1, "low agreement": 1,
        "merged": 1, "near duplicate": 1,
    }  # fmt: skip
    assert report["spans"]["dropped"] == {"overlap": 2} and report["labels"]["equal_spans"] == 1
    assert kept(tmp_path / "out") == sorted(["r1", "r10", "r2", "r4", "r7"])
    assert report["teachers"] == {"t": 4, "x+y": 1}
    off = CurateSettings(near_duplicates=0, linked=0, merge_teachers=False, normal_labels=False)
    report = curate([tmp_path / "rows.jsonl"], tmp_path / "off", off)
    check_balance(report, tmp_path / "off")
    assert report["rows"]["dropped"] == {"duplicate id": 1, "duplicate text": 2, "id used twice": 1}
    (seven,) = [r for r in read(tmp_path / "off", "train.jsonl", "dev.jsonl", "test.jsonl") if r["id"] == "r7"]
    assert {span["label"] for span in seven["spans"]} == {"Person", "person"}


def test_the_cap_keeps_rows_that_bring_something_rare_or_nothing(tmp_path):
    rows = [row(n) for n in range(5)] + [row(5, spans=[(0, 3, "person"), (4, 10, "rare")]), row(6, spans=[])]
    curate(
        [write(tmp_path / "rows.jsonl", *rows)],
        tmp_path / "out",
        CurateSettings(near_duplicates=0, linked=0, max_label_rows=3),
    )
    assert kept(tmp_path / "out") == ["r0", "r1", "r2", "r5", "r6"]


def test_clusters_and_noise_are_found_by_a_pipeline(tmp_path, make_nlp):
    make_nlp().to_disk(tmp_path / "model")
    labels = [
        "person",
        "date",
        "drug",
        "persón",
    ]  # the tokenizer drops accents: the first and the last are one to the encoder
    rows = [row(n, spans=[(0, 3, labels[n % 4]), (4, 10, labels[n % 3])]) for n in range(24)]
    source = write(tmp_path / "rows.jsonl", *rows)
    model = str(tmp_path / "model")
    report = curate(
        [source], tmp_path / "out", CurateSettings(near_duplicates=0, linked=0, cluster=0.999, cluster_model=model)
    )
    check_balance(report, tmp_path / "out")
    assert report["clusters"] == {"person": ["persón"]} and report["labels"] == {
        "in": 4, "respelled": 0, "after_spelling": 4, "clustered": 1, "equal_spans": 0, "absent_but_found": 12, "out": 3,
    }  # fmt: skip
    merged = json.loads((tmp_path / "out" / "labels.json").read_text(encoding="utf8"))["merged"]
    assert merged == report["clusters"]
    # A bound of nearly 0: what an untrained model says is not the point here.
    report = curate(
        [source], tmp_path / "out", CurateSettings(near_duplicates=0, linked=0, ifd_model=model, max_ifd=1e-6)
    )
    check_balance(report, tmp_path / "out")
    assert report["rows"] == {"in": 24, "out": 0, "dropped": {"noise": 24}}


def test_an_empty_result_is_written_and_told(tmp_path, caplog):
    report = curate([write(tmp_path / "rows.jsonl", b"nothing")], tmp_path / "out", OFF)
    check_balance(report, tmp_path / "out")
    assert "train.jsonl is empty: of 1 rows in, 0 are left" in caplog.text


def test_a_source_is_never_overwritten(tmp_path):
    source = write(tmp_path / "train.jsonl", row(1))
    with pytest.raises(ValueError, match="would replace its source"):
        curate([source], tmp_path, OFF)
    with pytest.raises(ValueError, match="no annotations file"):
        curate([tmp_path / "none.jsonl"], tmp_path / "out", OFF)
    with pytest.raises(ValueError, match="no files"):
        curate([], tmp_path / "out", OFF)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"near_duplicates": 1.5},
        {"cluster": 0.0},
        {"dev_share": 0.5, "test_share": 0.5},
        {"max_label_rows": -1},
        {"max_ifd": 0},
        {"against": "file.txt"},
    ],  # fmt: skip
)
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        CurateSettings(**settings)


def test_rows_that_come_later_change_no_side(tmp_path):
    rng = random.Random(0)
    rows = [row(n, " ".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=30))) for n in range(200)]
    curate([write(tmp_path / "few.jsonl", *rows[:150])], tmp_path / "few", CurateSettings())
    curate([write(tmp_path / "all.jsonl", *rows)], tmp_path / "all", CurateSettings())
    for name in ("train.jsonl", "dev.jsonl", "test.jsonl"):
        assert {r["id"] for r in read(tmp_path / "few", name)} <= {r["id"] for r in read(tmp_path / "all", name)}


def test_what_people_or_a_correction_took_away_stays_away(tmp_path):
    text = "Ada flew to Rome."
    wrong = row(1, text, [(0, 3, "person"), (12, 16, "person")])
    reviewed = row(1, text, teacher="human:2")
    corrected = {**row(2, "Eve flew to Oslo."), "corrected": [{"label": "person", "new": "Eve"}]}
    source = write(tmp_path / "a.jsonl", wrong, row(2, "Eve flew to Oslo.", [(0, 8, "person")]))
    report = curate([source, write(tmp_path / "b.jsonl", reviewed, corrected)], tmp_path / "out", OFF)
    rows = {r["id"]: r for r in read(tmp_path / "out", "train.jsonl", "dev.jsonl", "test.jsonl")}
    assert rows["r1"]["spans"] == reviewed["spans"] and rows["r1"]["teacher"] == "human:2"
    assert rows["r2"]["spans"] == corrected["spans"]
    assert report["rows"]["dropped"] == {"duplicate id": 1, "reviewed since": 1}
    check_balance(report, tmp_path / "out")
