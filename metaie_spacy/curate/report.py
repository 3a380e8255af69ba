"""The report of `curate` for people."""

from typing import Mapping

from ..data.inert import markdown_table

MOST_FREQUENT = 25
EXAMPLES = 50
REASONS = {
    "not JSON": "the line is no JSON",
    "cut line": "the last line of a file, without its end",
    "not UTF-8": "the line has bytes that are no UTF-8",
    "NUL bytes": "the line has NUL bytes, as UTF-16 has",
    "half a character": "the row holds half of a surrogate pair",
    "no annotation row": "a field is missing or wrong",
    "failed": "the teacher failed on the text",
    "empty": "neither spans nor absent labels",
    "duplicate id": "same id, text and teacher as an earlier row",
    "id used twice": "same id as an earlier row, another text",
    "merged": "its spans are in another teacher's row of the same text",
    "reviewed since": "people, or a teacher asked again, have reviewed the same text",
    "answered again": "the same reviewer has answered the text again",
    "skipped by its reviewer": "the reviewer had no answer",
    "nothing was decided": "the reviewer accepted and rejected nothing, and marked no label as complete",
    "answer undone": "the reviewer took it back",
    "duplicate text": "same text as an earlier row, but for case and white space",
    "near duplicate": "nearly the text of an earlier row",
    "contaminated": "shares eight words in a row with a text that must stay unseen",
    "label cap": "all its labels are in enough rows",
    "low agreement": "teachers or samples disagree",
    "noise": "no label of it explains its spans",
    "overlap": "overlaps a longer span of its label",
}


def markdown(report: dict, rows: Mapping[str, int]) -> str:
    """Tables of rows, spans, files, splits and labels.

    report (dict): what `curate` returns. rows (Mapping): label -> rows, most frequent first.
    """
    counts, spans, labels = report["rows"], report["spans"], report["labels"]
    dropped = sum(counts["dropped"].values())
    summary = (
        f"Of {counts['in']:,} rows, {counts['out']:,} are kept and {dropped:,} "
        f"dropped; {spans['out']:,} of {spans['in']:,} "
        "spans that could be read are kept."
    )
    wordings = (
        f"{labels['in']:,} labels, {labels['after_spelling']:,} after normalising "
        f"their spelling, {labels['out']:,} in the end. "
        f"{labels['respelled']:,} wordings (absent ones included) were respelled, "
        f"{labels['clustered']:,} labels joined to another."
    )
    lost = [
        (why, n, "the label does not explain it" if why == "noise" else REASONS[why])
        for why, n in spans["dropped"].items()
    ]
    parts = [
        "# Curated annotations",
        summary,
        "## Dropped rows",
        markdown_table(("why", "rows", "what"), [(why, n, REASONS[why]) for why, n in counts["dropped"].items()]),
        "## Spans dropped from rows that are kept",
        markdown_table(("why", "spans", "what"), lost),
        "## Splits",
        markdown_table(
            ("split", "rows", "documents", "spans", "labels"),
            [(name, *n.values()) for name, n in report["splits"].items()],
        ),
        "{documents:,} documents in {groups:,} groups have rows much alike; each group is on one side.".format(
            **report["linked"]
        ),
        "## Files",
        markdown_table(
            ("file", "rows", "dropped"), [(path, *figures.values()) for path, figures in report["files"].items()]
        ),
        "## Teachers",
        markdown_table(("teacher", "rows"), [(name or "(none)", n) for name, n in report["teachers"].items()]),
        "## Labels",
        wordings,
        markdown_table(("label", "rows"), list(rows.items())[:MOST_FREQUENT]),
    ]
    if report["clusters"]:
        ordered = sorted(report["clusters"].items(), key=lambda pair: (-len(pair[1]), pair[0]))
        joined = [(new, "; ".join(old)) for new, old in ordered[:EXAMPLES]]
        parts += ["## Joined labels (largest clusters)", markdown_table(("label", "replaces"), joined)]
    settings = [(name, "off" if value is None else value) for name, value in report["settings"].items()]
    parts += ["## Settings", markdown_table(("setting", "value"), settings)]
    return "\n\n".join(parts) + "\n"
