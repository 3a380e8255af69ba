"""The audit of a corpus as a page."""

from typing import Any, Mapping, Sequence

from ..measure.page import bars, html_page, html_table, shown

ROWS = 50  # of a table
COUNTED = (
    "labels",
    "kinds of label",
    "domains",
    "teachers",
    "lengths",
    "casing",
    "origins of names",
    "dialect markers",
)


def corpus_page(report: Mapping[str, Any], texts: Mapping[str, str] | None = None) -> str:
    """An HTML page of what `audit_corpus` found. texts (Mapping | None): id -> text to be shown; None: ids alone."""
    agreed = report["agreement"]
    parts = [
        "<h1>Corpus audit</h1>",
        f"<p>{report['rows']:,} rows, {report['distinct_labels']:,} labels, {len(report['files'])} files.</p>",
        "<h2>Findings</h2>",
        html_table(("what", "of", "here", "beside it", "n", "p, corrected"), map(_finding, report["findings"][:ROWS])),
        "<h2>Rows for review</h2>",
        "<p>Sorted by the weight of what speaks against them; a reason is a hint, not an error.</p>",
        html_table(("reason", "times"), report["reasons"].items()),
        _review(report["suspicious"][:ROWS], texts or {}),
        "<h2>Agreement of teachers</h2>",
        f"<p>{agreed['texts']} texts have several teachers.</p>",
        html_table(
            ("teacher", "error", "low", "high", "others", "texts"),
            [
                [one[key] for key in ("teacher", "error", "low", "high", "others", "texts")]
                for one in agreed["teachers"]
            ],
            "The error of a teacher needs texts of three teachers or more.",
        ),
        _labels(agreed["labels"]),
        html_table(
            ("teacher", "texts sampled again", "span F", "low", "high", "rows with agreement", "its mean"),
            [
                [one.get(key) for key in ("teacher", "samples", "f", "low", "high", "rows", "agreement")]
                for one in agreed["samples"]
            ],
            "No teacher was asked one text several times.",
        ),
        "<h2>Contradictions</h2>",
        "<p>The same words, with a label in some texts and without it in others that were asked it.</p>",
        html_table(
            ("label", "texts with", "without", "rows"),
            [
                (one["label"], one["with"], one["without"], ", ".join(one["rows"][:5]))
                for one in report["contradictions"][:ROWS]
            ],
        ),
        "<h2>What there is</h2>",
    ]
    for name in COUNTED:
        counts = report["counts"][name]
        total = max(1, sum(counts.values()))
        top = [(str(value), n / total, n / total, n / total) for value, n in list(counts.items())[:12]]
        parts += [f"<h3>{shown(name)}</h3>", bars(top, name) if top else "<p>none</p>"]
    return html_page("Corpus audit", parts)


def _finding(one: Mapping[str, Any]) -> Sequence[Any]:
    p = one.get("p_corrected")
    told = "" if p is None else f"{p:.1e}"
    if one["what"] == "leak":
        return "leak", f"row {one['row']} of {one['file']}", one["of"], "", "", ""
    if one["what"] == "teacher":
        return "teacher", f"error of {one['teacher']}", one["error"], one["others"], one["texts"], told
    if one["what"] == "representation":
        return f"share of {one['trait']}", one["value"], one["share"], one["reference"], one["n"], told
    return "label at names", f"{one['label']} at {one['origin']} names", one["share"], one["others"], one["n"], told


def _review(suspicious: Sequence[Mapping[str, Any]], texts: Mapping[str, str]) -> str:
    rows = []
    for one in suspicious:
        reasons = "; ".join(
            " ".join(
                filter(
                    None,
                    [
                        reason["why"],
                        f"'{reason['label']}'" if "label" in reason else "",
                        "at {}:{}".format(*reason["place"]) if "place" in reason else "",
                        f"({reason['note']})" if "note" in reason else "",
                    ],
                )
            )
            for reason in one["reasons"][:5]
        )
        rows.append((one["id"], one["file"], one["score"], reasons, *([texts.get(one["id"], "")] if texts else [])))
    return html_table(("row", "file", "weight", "why", *(["text"] if texts else [])), rows)


def _labels(labels: Sequence[Mapping[str, Any]]) -> str:
    if not labels:
        return "<p>No label was asked by several teachers of the same texts.</p>"
    found = [(one["label"], one["f"], one["f_low"], one["f_high"]) for one in labels]
    keys = ("label", "texts", "f", "f_low", "f_high", "alpha", "alpha_low", "alpha_high")
    header = ("label", "texts", "span F", "low", "high", "alpha", "low", "high")
    return bars(found, "span F of each label") + html_table(header, [[one[key] for key in keys] for one in labels])
