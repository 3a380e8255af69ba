"""What docs/formats.md promises: every writer's file comes back through its reader, and what does not is counted."""

import json
import shutil
from collections import Counter

import pytest
from helpers import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.main import get_command

from metaie_spacy.cli.project import app
from metaie_spacy.convert.convert import READERS, WRITERS, convert
from metaie_spacy.convert.links import linked, pairs_of
from metaie_spacy.data.rows import places

NAMES = {"spacy": "x.spacy", "label-studio": "x.json", "csv": "x.csv", "brat": "folder", "gliner": "x.json"}
WHOLE = ("rows", "prodigy", "label-studio", "doccano")  # a row returns as it was
LABELS = ["person", "part of a name", 'say "x", y', "Maß\u00dfe;ß", "x:y"]
PIECES = [
    "Ada",
    "Łódź",
    "😀",
    "e\u0301",
    " ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    ".",
    ",",
    '"',
    "a",
    "a b",
    "’s",
    "\u00a0",
    "東京",
    "#",
]
SETTINGS = settings(
    derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def rows(draw):
    """An annotated text as the pipeline keeps it: spans trimmed, those of one label apart."""
    text = "".join(draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12)))
    solid = [i for i, char in enumerate(text) if not char.isspace()]
    spans, taken = [], set()
    for _ in range(draw(st.integers(0, 4)) if solid else 0):
        start, last = sorted((draw(st.sampled_from(solid)), draw(st.sampled_from(solid))))
        label = draw(st.sampled_from(LABELS))
        cells = {(i, label) for i in range(start, last + 1)}
        if not cells & taken:
            taken |= cells
            spans.append({"start": start, "end": last + 1, "label": label})
    ends = [(span["start"], span["end"]) for span in spans]
    triples = (
        st.tuples(st.sampled_from(ends), st.sampled_from(["of", "part of"]), st.sampled_from(ends)) if ends else None
    )
    links = linked(draw(st.lists(triples, max_size=3))) if triples is not None else []
    free = [label for label in LABELS if label not in {span["label"] for span in spans}]
    absent = draw(st.lists(st.sampled_from(free), unique=True, max_size=2))
    unsure = (
        [{"start": solid[0], "end": solid[0] + 1, "label": "other"}]
        if solid and draw(st.booleans()) and draw(st.booleans())
        else []
    )
    row = {"text": text, "spans": spans, "absent": absent, "teacher": "m"}
    return row | ({"links": links} if links else {}) | ({"unsure": unsure} if unsure else {})


def there_and_back(folder, wanted, target, change=None, **options):
    """The rows that a format's file gives, and what was counted on both ways."""
    for number, row in enumerate(wanted):
        row["id"] = f"doc {number}/é"
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wanted), encoding="utf8")
    there, back = folder / target / NAMES.get(target, "x.jsonl"), folder / target / "back.jsonl"
    shutil.rmtree(folder / target, ignore_errors=True)
    try:
        out = convert(folder / "rows.jsonl", there, from_format="rows", to_format=target)
        if change:
            change(there)
        read = convert(there, back, from_format=target, to_format="rows", **options)
    except ValueError as error:
        assert "no usable row" in str(error)
        return [], None, None
    found = [json.loads(line) for line in back.read_text(encoding="utf8").split("\n") if line]
    assert read["spans"] == sum(len(row["spans"]) for row in found)
    assert read.get("links", 0) == sum(len(pairs_of(row)) for row in found)
    return found, out, read


@pytest.mark.parametrize("target", WHOLE)
@SETTINGS
@given(st.lists(rows(), min_size=1, max_size=3))
def test_a_tool_gives_rows_back_as_they_went(tmp_path, target, wanted):
    found, out, _ = there_and_back(tmp_path, wanted, target)
    assert [{**row, "id": ""} for row in found] == [{**row, "id": ""} for row in wanted]
    assert [row["id"] for row in found] == [row["id"] for row in wanted] and not out["spans_skipped"]


def without_ours(path):
    """The file as the tool itself would have made it."""
    if path.suffix == ".json":
        tasks = json.loads(path.read_text(encoding="utf8"))
        for task in tasks:
            task["data"].pop("meta")
            task["annotations"] = [{"completed_by": task["data"]["text"], **task.pop("predictions")[0]}]
        path.write_text(json.dumps(tasks))
        return
    records = [json.loads(line) for line in path.read_text(encoding="utf8").split("\n") if line]
    for n, record in enumerate(records):
        del record["metaie"]
        record["id"] = n
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.parametrize("target", ["prodigy", "label-studio", "doccano"])
@SETTINGS
@given(rows())
def test_spans_and_links_of_the_tools_own_files_return(tmp_path, target, row):
    (found,), _, _ = there_and_back(tmp_path, [row], target, without_ours)
    assert Counter(places(found)) == Counter(places(row)) and found["text"] == row["text"]
    assert Counter(pairs_of(found)) == Counter(pairs_of(row))


@SETTINGS
@given(st.lists(rows(), min_size=1, max_size=3))
def test_brat_gives_texts_spans_and_links_back_with_labels_without_blanks(tmp_path, wanted):
    found, _, _ = there_and_back(tmp_path, wanted, "brat")
    by_id = {row["id"]: row for row in found}
    assert len(by_id) == len(wanted)
    for row in wanted:
        same = by_id[row["id"]]
        assert same["text"] == row["text"]
        assert Counter(places(same)) == Counter((s, e, "_".join(label.split())) for s, e, label in places(row))
        assert Counter(pairs_of(same)) == Counter((h, "_".join(label.split()), t) for h, label, t in pairs_of(row))


@SETTINGS
@given(st.lists(rows(), min_size=1, max_size=3))
def test_tables_give_texts_and_spans_back_and_count_links(tmp_path, wanted):
    found, out, _ = there_and_back(tmp_path, wanted, "csv")
    assert [(row["id"], row["text"], Counter(places(row))) for row in found] == [
        (row["id"], row["text"], Counter(places(row))) for row in wanted
    ]
    assert out["spans_skipped"].get("link", 0) == sum(len(pairs_of(row)) for row in wanted)


def bare(row):
    """Its text without white space, and its spans there: what words keep of a text."""
    at = [0]
    for char in row["text"]:
        at.append(at[-1] + (not char.isspace()))
    return "".join(row["text"].split()), Counter((at[start], at[end], label) for start, end, label in places(row))


@pytest.mark.parametrize("target", ["gliner", "hf"])
@SETTINGS
@given(st.lists(rows(), min_size=1, max_size=3))
def test_words_and_their_spans_return_and_the_rest_is_counted(tmp_path, target, wanted):
    found, out, _ = there_and_back(tmp_path, wanted, target)
    sure = [row for row in wanted if not row.get("unsure")]
    assert len(found) == len(sure)
    if not out:
        return
    assert out["skipped"] == ({"unsure": len(wanted) - len(sure)} if len(sure) < len(wanted) else {})
    assert out["spans_skipped"].get("link", 0) == sum(len(pairs_of(row)) for row in sure) and "links" not in out
    lost = 0
    for row, same in zip(sure, found):
        (text, spans), (text_again, spans_again) = bare(row), bare(same)
        assert text_again == text and not spans_again - spans
        lost += sum((spans - spans_again).values())
        assert target == "hf" or same["absent"] == row["absent"]
    assert out["spans_skipped"].get("overlap", 0) == lost and (target == "hf" or not lost)


@SETTINGS
@given(st.lists(rows(), min_size=1, max_size=3))
def test_gliner2_gives_back_what_its_words_say_in_one_way_and_counts_the_rest(tmp_path, wanted):
    found, out, _ = there_and_back(tmp_path, wanted, "gliner2")
    sure = [row for row in wanted if not row.get("unsure")]
    assert len(found) == len(sure)
    lost = 0
    for row, same in zip(sure, found):
        spans, links = Counter(places(row)), Counter(pairs_of(row))
        assert same["text"] == row["text"] and not Counter(places(same)) - spans and not Counter(pairs_of(same)) - links
        assert set(same["absent"]) == set(row["absent"])
        lost += sum((spans - Counter(places(same))).values()) + sum((links - Counter(pairs_of(same))).values())
    assert not out or out["spans_skipped"].get("elsewhere too", 0) == lost


@SETTINGS
@given(st.lists(rows(), min_size=1, max_size=3))
def test_a_docbin_gives_rows_back_and_its_tokens_make_the_rest_unsure(tmp_path, wanted):
    found, out, _ = there_and_back(tmp_path, wanted, "spacy")
    lost = 0
    for row, same in zip(wanted, found):
        assert same["text"] == row["text"] and not Counter(places(same)) - Counter(places(row))
        open_ = {(spot["start"], spot["end"], spot.get("label")) for spot in same.get("unsure", [])}
        gone = Counter(places(row)) - Counter(places(same))
        assert set(gone) <= open_ and pairs_of(same) == pairs_of(row)
        lost += sum(gone.values())
    assert out["spans_skipped"].get("misaligned", 0) == lost


def test_every_format_is_in_the_documentation_and_the_help():
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf8")
    options = {option.opts[0]: option.help for option in get_command(app).commands["convert"].params}
    for formats, option in ((READERS, "--from"), (WRITERS, "--to")):
        assert all(f"| `{name}` |" in page for name in formats)
        assert set(formats) <= set(options[option].replace(" or ", " ").replace(",", " ").split())
