"""What a corpus of annotations holds, what of it is over- or under-represented, and which rows are suspicious."""

from collections import Counter
from pathlib import Path
from typing import Any, Callable, Iterable, Sequence

from ..curate.contamination import drop_contaminated
from ..curate.names import gender_of
from ..curate.noise import label_ratios
from ..curate.sources import read_sources
from ..data.ledger import Ledger, Sourced
from ..data.rows import Row, asked_of
from ..pipelines import load_student
from . import traits
from .agreement import agreement, disputes, shared_texts
from .suspicion import Reason, borders, contradictions, name_places, odd_at_names, ranked
from .testing import corrected

SHOWN = 200  # labels with figures, contradictions, and rows for review
FEW = 20  # places at names of an origin; fewer tell nothing
RATIO = 1.0  # of losses with and without the label, above which a label does not explain its spans
Counts = dict[str, Counter]


def audit_corpus(
    sources: Iterable[str | Path],
    *,
    reference: Sequence[str | Path] = (),
    against: Sequence[str | Path] = (),
    model: str | None = None,
    most: int = SHOWN,
    limit: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Audit files of annotation rows. All rows are held in memory; none is changed.

    sources (Iterable): annotation files (JSONL). reference (Sequence): files that show what shares should be like.
    against (Sequence): texts that must not be in the corpus, such as test files. model (str | None): package or
        directory of a pipeline, best one that was not trained on these rows, whose losses tell labels that do not
        explain their spans. most (int): rows for review. limit (int): only the first rows of each file; 0: all.
    RETURNS (dict): "rows", "bad_lines", "files", "counts" (what there is), "representation" (beside the reference),
        "origins" (labels at names of an origin, beside other names), "agreement", "contradictions", "leaks",
        "findings" (what was found, the surest first) and "suspicious" (rows with reasons). It holds ids, labels and
        figures, and no words of texts.
    RAISES (ValueError): a file is missing or holds no row.
    """
    ledger = Ledger()
    items = _read(sources, ledger, limit)
    if not items:
        raise ValueError(f"There is no annotation row in {', '.join(map(str, sources))}. Run 'annotate' or 'convert'.")
    rows, files = [item.row for item in items], [item.source_file for item in items]
    counts = counts_of(rows)
    texts, samples = shared_texts(items)
    agreed = agreement(texts, samples, rows)
    at_names = name_places(rows)
    found, reasons = contradictions(rows)
    leaks = leaking(items, against)
    reasons += [*odd_at_names(at_names), *disputed(rows, disputes(texts)), *leaks]
    reasons += [reason for number, row in enumerate(rows) for reason in borders(number, row)]
    if model is not None:
        reasons += _unexplained(rows, model, progress)
    origins = by_origin(at_names)
    shares = representation(counts, counts_of([i.row for i in _read(reference, Ledger(), 0)])) if reference else []
    report = {
        "rows": len(rows),
        "bad_lines": sum(ledger.read.values()) - len(rows) if not limit else None,
        "files": dict(Counter(files)),
        "counts": {name: dict(own.most_common(SHOWN)) for name, own in counts.items()},
        "distinct_labels": len(counts["labels"]),
        "reasons": dict(Counter(reason.why for reason in reasons).most_common()),
        "representation": shares,
        "origins": origins,
        "agreement": agreed,
        "contradictions": found[:SHOWN],
        "leaks": [{"id": rows[leak.row]["id"], "file": files[leak.row], "of": leak.note} for leak in leaks],
        "suspicious": ranked(rows, files, reasons, most),
    }
    return report | {"findings": findings(report)}


def _read(sources: Iterable[str | Path], ledger: Ledger, limit: int) -> list[Sourced]:
    items, seen = [], Counter()
    for item in read_sources(sources, ledger):
        seen[item.source_file] += 1
        if not limit or seen[item.source_file] <= limit:
            items.append(item)
    return items


def counts_of(rows: Iterable[Row]) -> Counts:
    """How often each value of each trait occurs: labels and their kinds, domains, teachers, lengths, origins ..."""
    of_text: dict[str, Callable[[Row], str]] = {
        "domains": traits.domain,
        "teachers": lambda row: row.get("teacher") or "not stated",
        "kinds of annotation": lambda row: row.get("kind") or "not stated",
        "lengths": traits.length,
        "casing": traits.casing,
        "dialect markers": traits.dialect,
    }
    counts: Counts = {name: Counter() for name in ("labels", "kinds of label", "absent labels", *of_text)}
    counts |= {"origins of names": Counter(), "genders of names": Counter()}
    for row in rows:
        for name, of in of_text.items():
            counts[name][of(row)] += 1
        counts["labels"].update(span["label"] for span in row["spans"])
        counts["kinds of label"].update(traits.label_kind(label) for label in asked_of(row))
        counts["absent labels"].update(row.get("absent", []))
        for start, end in {(span["start"], span["end"]) for span in row["spans"]}:
            words = row["text"][start:end]
            for name, value in (("origins", traits.origin(row, (start, end, ""))), ("genders", gender_of(words))):
                counts[f"{name} of names"].update([value] if value and value != "not known" else [])
    return counts


def representation(own: Counts, other: Counts) -> list[dict[str, Any]]:
    """Shares of every value beside those of a reference, the surest difference first (Fisher's exact test)."""
    from scipy.stats import fisher_exact

    found = []
    for trait, counts in own.items():
        total, other_total = counts.total(), other[trait].total()
        if not total or not other_total:
            continue
        names = [name for name, _ in (counts + other[trait]).most_common(SHOWN)]
        for name in names:
            here, there = counts[name], other[trait][name]
            p = float(fisher_exact([[here, total - here], [there, other_total - there]]).pvalue)
            figures = {"share": here / total, "reference": there / other_total, "n": here, "n_reference": there}
            found.append({"trait": trait, "value": name, **figures, "p": p})
    found = [entry for entry in corrected(found) if entry["is_found"]]
    return sorted(found, key=lambda entry: (entry["p"], -abs(entry["share"] - entry["reference"])))


def by_origin(at_names: Sequence[tuple[int, str, tuple[int, int], str, bool]]) -> list[dict[str, Any]]:
    """How often names of an origin have a label, beside names of all others, the surest difference first.

    Only rows that were asked the label count. p: of no difference, by Fisher's exact test.
    """
    from scipy.stats import fisher_exact

    table: dict[tuple[str, str], Counter] = {}
    whole: dict[str, Counter] = {}
    for _, origin, _, label, is_so in at_names:
        table.setdefault((origin, label), Counter())[is_so] += 1
        whole.setdefault(label, Counter())[is_so] += 1
    found = []
    for (origin, label), own in table.items():
        rest = whole[label] - own
        if own.total() < FEW or rest.total() < FEW:
            continue
        p = float(fisher_exact([[own[True], own[False]], [rest[True], rest[False]]]).pvalue)
        shares = {"share": own[True] / own.total(), "others": rest[True] / rest.total()}
        found.append({"origin": origin, "label": label, **shares, "n": own.total(), "n_others": rest.total(), "p": p})
    return sorted(corrected(found), key=lambda one: (one["p"], -abs(one["share"] - one["others"])))


def leaking(items: Sequence[Sourced], against: Sequence[str | Path]) -> list[Reason]:
    """The rows that share eight words in a row with texts that must stay unseen."""
    if not against:
        return []
    ledger = Ledger()
    number = {(item.source_file, item.line): i for i, item in enumerate(items)}
    drop_contaminated(items, against, ledger)
    return [
        Reason(number[entry["source_file"], entry["line"]], "leak", note=entry["detail"].partition(": ")[0])
        for entry in ledger.entries
    ]


def disputed(rows: Sequence[Row], found: dict[tuple[str, str], float]) -> Iterable[Reason]:
    """Rows on which teachers or samples disagree, more than by half."""
    by_text = {(row["id"], row.get("teacher", "")): i for i, row in enumerate(rows)}
    own = {i: 1 - row["agreement"] for i, row in enumerate(rows) if row.get("agreement") is not None}
    own |= {by_text[key]: value for key, value in found.items() if key in by_text}
    return [Reason(i, "disagreement", size=value) for i, value in own.items() if value > 0.5]


def _unexplained(rows: Sequence[Row], model: str, progress: bool) -> Iterable[Reason]:
    """Labels that do not help a model to find their spans, see `label_ratios`."""
    for number, ratios in enumerate(label_ratios(rows, load_student(model), progress=progress)):
        for label, ratio in ratios.items():
            if ratio > RATIO:
                yield Reason(number, "hard to explain", label, size=min(1.0, ratio / 2), note=f"ratio {ratio:.2f}")


def findings(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands out, in the order of how sure it is: leaks, then by p-value."""
    found = [{"what": "leak", "row": leak["id"], "file": leak["file"], "of": leak["of"]} for leak in report["leaks"]]
    tested: list[dict[str, Any]] = []
    for entry in report["agreement"]["teachers"]:
        if entry.get("is_found"):
            tested.append({"what": "teacher", **entry})
    tested += [{"what": "label at names of an origin", **one} for one in report["origins"] if one["is_found"]]
    tested += [{"what": "representation", **one} for one in report["representation"][:20]]
    return found + sorted(tested, key=lambda one: one["p"])
