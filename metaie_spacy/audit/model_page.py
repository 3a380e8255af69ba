"""The audit of a model as a page."""

from typing import Any, Mapping

from ..measure.page import bars, curves, html_page, html_table, shown

SLICE = ("trait", "value", "spans", "f", "f_low", "f_high", "gap", "low", "high", "p_corrected")
DOMAINS = 20


def model_page(report: Mapping[str, Any], model: str) -> str:
    """An HTML page of what `audit_model` found."""
    names = report["names"]
    parts = [
        f"<h1>Audit of {shown(model)}</h1>",
        f"<p>{report['rows']:,} rows, {report['spans']:,} gold spans: P {report['p']:.3f}, R {report['r']:.3f}, "
        f"F {report['f']:.3f} ({report['f_low']:.3f} to {report['f_high']:.3f}).</p>",
        "<h2>Findings</h2>",
        "<p>Gaps that hold after the correction of Benjamini and Yekutieli; below 0 is a loss.</p>",
        html_table(
            ("what", "of", "gap", "low", "high", "n"),
            [[one[key] for key in ("what", "of", "gap", "low", "high", "n")] for one in report["findings"]],
        ),
        "<h2>Slices</h2>",
        "<p>F in each slice, and its gap to all that is not in it. Without p: fewer than 30 gold spans on a side.</p>",
        html_table(
            ("trait", "value", "gold spans", "F", "low", "high", "gap", "low", "high", "p, corrected"),
            [[one.get(key) for key in SLICE] for one in report["slices"]],
        ),
        "<h2>Names</h2>",
        _names(names),
        "<h2>Wordings and distractors</h2>",
        _paired(report),
        "<h2>Scores as probabilities</h2>",
        *_calibration(report),
    ]
    return html_page(f"Audit of {model}", parts)


def _names(names: Mapping[str, Any]) -> str:
    if not names["cells"]:
        return "<p>No row names a person under one of the labels of names.</p>"
    cells = [(f"{c['origin']}, {c['gender']}", c["recall"], c["recall_low"], c["recall_high"]) for c in names["cells"]]
    genders = names["genders"]
    told = (
        f"<p>{names['rows']} rows, {names['names']} names, swapped for names of each origin and gender (made up; "
        f"nothing is said of real people). Recall of the names as they were {names['own']:.3f}, of all swapped "
        f"{names['recall']:.3f}; female to male {genders['gap']:+.3f} "
        f"({genders['low']:+.3f} to {genders['high']:+.3f}).</p>"
    )
    keys = ("origin", "gender", "recall", "gap", "low", "high", "p_corrected")
    header = ("origin", "gender", "recall", "gap to the mean", "low", "high", "p, corrected")
    table = html_table(header, [[cell.get(key) for key in keys] for cell in names["cells"]])
    return told + bars(cells, "recall of names") + table


def _paired(report: Mapping[str, Any]) -> str:
    rows = []
    wordings, distractors = report["wordings"], report["distractors"]
    if wordings and wordings["labels"]:
        rows.append(("other wordings", wordings["f"], wordings["f_reworded"], wordings))
    rows.append((f"{distractors['others']} labels more", distractors["f"], distractors["f_distracted"], distractors))
    header = ("asked", "F", "F then", "gap", "low", "high")
    return html_table(
        header, [(what, f, then, *(one[key] for key in ("gap", "low", "high"))) for what, f, then, one in rows]
    )


def _calibration(report: Mapping[str, Any]) -> list[str]:
    found = report["calibration"]
    if not found:
        return ["<p>Too few spans were found.</p>"]
    drawn = {
        one["domain"]: ([b["score"] for b in one["bins"]], [b["correct"] for b in one["bins"]]) for one in found[:4]
    }
    keys = ("domain", "spans", "score", "precision", "ece")
    table = html_table(
        ("domain", "spans found", "mean score", "precision", "calibration error"),
        [[one[key] for key in keys] for one in found[:DOMAINS]],
    )
    return [curves({**drawn, "ideal": ((0.0, 1.0), (0.0, 1.0))}, "share of right spans by score"), table]
