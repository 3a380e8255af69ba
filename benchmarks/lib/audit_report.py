"""The tables of audits in docs/benchmark.md, from the results of benchmarks/quality/{audits,active,correction,selective}.py."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib.evidence import interval
from benchmarks.lib.paths import RESULTS, command_of

FOLDER = RESULTS / "audit"
SHOWN = 12  # findings


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf8"))


def percent(value: float) -> str:
    return f"{value * 100:.1f}"


def audit_corpus() -> list[str]:
    """What the audit of the annotated corpus found."""
    result = read("corpus")
    reasons = ", ".join(f"{why} {count:,}" for why, count in result["reasons"].items())
    lines = [
        f"{result['rows']:,} rows of {len(result['files'])} files, {result['distinct_labels']:,} labels (`{command_of(result)}`).",
        f"Reasons to look at a row, spans or labels: {reasons}. A reason is a hint: coordinations are often right.",
    ]
    found = [
        f"`{one['label']}` at {one['origin']} names: {one['share']:.0%} of {one['n']}, at other names {one['others']:.0%}"
        for one in result["findings"]
        if "origin" in one
    ]
    return [*lines, f"Labels at names of an origin that hold after correction: {'; '.join(found) or 'none'}."]


def audit_model() -> list[str]:
    """What the audit of the packaged model found."""
    result = read("model")
    lines = [
        f"{result['rows']:,} rows that it was not trained on, F {percent(result['f'])} ({interval(result['f_low'], result['f_high'])}) (`{command_of(result)}`).",
        "Gaps of F, or of recall of names, that hold after correction (in points, with 95 % intervals):",
        "",
        "| slice | gold spans | F | gap |",
        "|---|---|---|---|",
    ]
    by_name = {f"{one['trait']}: {one['value']}": one for one in result["slices"]}
    for one in result["findings"][:SHOWN]:
        own = by_name.get(one["of"])
        f = percent(own["f"]) if own else "-"
        lines.append(
            f"| {one['of']} | {one['n']:,} | {f} | {percent(one['gap'])} ({interval(one['low'], one['high'])}) |"
        )
    names = result["names"]
    if names["names"]:
        worst, best = names["cells"][0], names["cells"][-1]
        lines += [
            "",
            f"Names: the same {names['rows']} sentences with names of 12 origins and two genders; recall {percent(names['recall'])} (of their own names {percent(names['own'])}), "
            f"lowest {worst['origin']}, {worst['gender']} ({percent(worst['recall'])}), highest {best['origin']}, {best['gender']} ({percent(best['recall'])}).",
        ]
    told = []
    if result["wordings"] and result["wordings"]["labels"]:
        told.append(
            f"other wordings: F {percent(result['wordings']['f'])} -> {percent(result['wordings']['f_reworded'])}"
        )
    own = result["distractors"]
    told.append(f"{own['others']} labels of other rows beside: {percent(own['f'])} -> {percent(own['f_distracted'])}")
    calibration = result["calibration"][0]
    told.append(f"expected calibration error {calibration['ece']:.3f}")
    return [*lines, "", f"{'; '.join(told)[0].upper()}{'; '.join(told)[1:]}."]


def selective() -> list[str]:
    """What a band of scores promises, and keeps."""
    result = read("selective")
    promise = result["band"]["precision"]
    lines = [
        f"A band fitted on half of the documents, {promise:.0%} of the accepted spans right with a confidence of {result['band']['confidence']:.0%} (`{command_of(result)}`):",
        "",
        "| on | spans found | accepted / asked / dropped | precision of the accepted | promise | right spans that were dropped |",
        "|---|---|---|---|---|---|",
    ]
    for one in result["shown"]:
        shares = " / ".join(f"{one[name]:.0%}" for name in ("accept", "ask", "drop"))
        precision = "-" if one["precision"] is None else percent(one["precision"])
        held = "nothing accepted" if one["is_held"] is None else "held" if one["is_held"] else "**missed**"
        lines.append(
            f"| {one['on']} | {one['spans']:,} | {shares} | {precision} | {held} | {one['right_dropped']:.0%} |"
        )
    return lines


def correction() -> list[str]:
    """Gaps and F after training on rows as they are, and corrected."""
    result = read("correction")
    lines = [
        f"{result['settings']['steps']} steps on the same rows, as they are and corrected (`{command_of(result)}`):",
        "",
        "| rows | added | F | largest gap of names | largest gap of a slice |",
        "|---|---|---|---|---|",
    ]
    for name, way in result["ways"].items():
        gaps = (percent(way[key]) if way[key] is not None else "-" for key in ("name_gap", "slice_gap"))
        added = sum(way["added"].values()) if isinstance(way["added"], dict) else way["added"]
        lines.append(
            f"| {name} | {added:,} | {percent(way['f'])} ({interval(way['f_low'], way['f_high'])}) | {' | '.join(gaps)} |"
        )
    return lines


def active() -> list[str]:
    """F by what was chosen to annotate, against chance."""
    lines: list[str] = []
    for path in sorted(FOLDER.glob("active*.json")):
        result = json.loads(path.read_text(encoding="utf8"))
        size, rounds = result["texts"], len(next(iter(result["f"].values()))[0])
        heads = " | ".join(f"{(number + 1) * size} texts" for number in range(rounds))
        lines += [
            *([""] if lines else []),
            f"{', '.join(result['labels'])}: {size} of {result['pool']:,} texts in each round, F on {result['test']:,} (`{command_of(result)}`):",
            "",
            f"| strategy | {heads} | before chance, mean of all rounds |",
            f"|---|{'---|' * rounds}---|",
        ]
        for name, runs in result["f"].items():
            lead = result["against_random"].get(name, {"lead": 0.0, "error": 0.0})
            means = " | ".join(percent(value) for value in np.mean(runs, axis=0))
            told = "-" if name == "random" else f"{lead['lead'] * 100:+.1f} (standard error {lead['error'] * 100:.1f})"
            lines.append(f"| `{name}` | {means} | {told} |")
    return lines or ["Not measured yet."]


def block(name: str) -> list[str]:
    """One of the tables; results that are missing are told."""
    try:
        return {
            "audit_corpus": audit_corpus,
            "audit_model": audit_model,
            "selective": selective,
            "correction": correction,
            "active": active,
        }[name]()
    except FileNotFoundError as error:
        return [f"Not measured yet: {Path(error.filename).name} is missing."]


BLOCKS = ("audit_corpus", "audit_model", "selective", "correction", "active")
