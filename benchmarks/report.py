"""Write the tables of README.md, docs/benchmark.md and docs/peers.md from benchmarks/results.

python benchmarks/report.py            # rewrites what stands between marks in README.md and these pages
python benchmarks/report.py --check    # fails if they do not show the committed results
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Callable

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.lib import audit_report, evidence, peer_report, plots, serving_report
from benchmarks.lib.evidence import CROSSNER, EIGHT, NER6
from benchmarks.lib.link_report import links_block
from benchmarks.lib.paths import ROOT, command_of
from benchmarks.lib.route_report import dialogue_block, route_block


def speed() -> list[str]:
    """One pass for all labels against one for each."""
    result = evidence.load("speed")
    lines = [
        f"Against one pass per label (`CrossEncoder.v1`), same encoder, {result['dtype']}, batching and decoder, {result['texts']} sentences,",
        f"{result['threads']} CPU threads, one interleaved run (`{command_of(result)}`). The bound is the ratio of pieces that pass through the encoder:",
        "", "| labels | LabelToSpan is faster by | bound | share of the bound |", "|---|---|---|---|",
    ]  # fmt: skip
    for n, row in result["labels"].items():
        lines.append(f"| {n} | **{row['speedup']:.1f} x** | {row['bound']:.1f} x | {row['share_of_bound']:.0%} |")
    share = result["encoder_share_of_wall_time_at_16_labels"]
    return [*lines, "", f"Of `nlp.pipe`'s wall time at 16 labels, {share:.0%} is spent inside the encoder."]


def label_sets() -> list[str]:
    """What many labels cost, and what a choice among them would save and lose."""
    result = evidence.load("label_sets")
    lines = [
        f"{result['texts']} texts of the shipped corpus ({result['characters']:,} characters), its most frequent labels, {result['dtype']}, CPU time, one interleaved run",
        f"(`{command_of(result)}`). In groups: a call for each {result['label_budget']} pieces of labels, which is what weights cost whose texts see their labels.",
        "Recall: the share of the groups' spans that one call gives. Encoding the labels is done once and counted apart:",
        "", "| labels | times the time of the fewest | faster than in groups | recall | encoding the labels |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for n, row in result["labels"].items():
        lines.append(f"| {int(n):,} | {row['of_fewest']:.2f} x | **{row['faster_than_groups']:.1f} x** ({row['groups']} groups) | {row['recall']:.1%} | {row['encoding_seconds']:.1f} s |")  # fmt: skip
    lines += [
        "", "A prefilter that asks only the labels of those clusters of label vectors that score best in a text, against asking all, on the same token vectors; no such option",
        "is in the package:", "", "| labels | asked | recall of spans | faster than all |", "|---|---|---|---|",
    ]  # fmt: skip
    for n, found in result["prefilter"].items():
        for share, row in found["shares"].items():
            lines.append(f"| {int(n):,}, of which {found['labels_with_spans']:.0f} have spans in a text | {float(share):.0%} | {row['recall']:.1%} | {row['speed']:.2f} x |")  # fmt: skip
    return lines


def production() -> list[str]:
    """One line per promise, with the command that checks it."""
    memory, workers, latency, service = map(evidence.load, ("memory", "workers", "latency", "service"))
    robust = evidence.load("robustness")
    peak, ratios = memory["peak_mib"], latency["ratios"]
    fork, spawn = workers["workers"]["fork"], workers["workers"]["spawn"]
    rows = [
        (f"Hostile input: {robust['texts']:,} texts of random Unicode under random label sets",
         f"{len(robust['crashes'])} crashes; {robust['answered']:,} answered, {sum(robust['refused'].values()):,} refused by name (half surrogates, empty or unreadable labels)", robust),
        (f"Peak resident memory, {memory['texts']:,} texts in zones of {memory['zone']:,}",
         f"{peak['first tenth']:,.0f} MiB in the first tenth, {peak['all']:,.0f} MiB in all ({memory['growth_of_peak']:+.1%}; mean of the last tenth against the second {memory['growth_of_mean']:+.1%}); {memory['texts_per_s']:.0f} texts/s with {memory['labels']} labels", memory),
        ("`n_process=2` against one process",
         f"same spans: {'yes' if fork['same_spans'] and spawn['same_spans'] else 'NO'} (forked and spawned); scores within {max(fork['largest_score_change'], spawn['largest_score_change']):.0e}; "
         f"{fork['speed']:.2f} x as fast ({workers['threads']} threads against 2 workers)", workers),
        (f"Loading, against AutoModel and AutoTokenizer of the same weights ({latency['load']['bare']['first'] * 1000:.0f} ms, again {latency['load']['bare']['again'] * 1000:.0f} ms)",
         f"{ratios['first']:.1f} x in a fresh process, {ratios['again']:.1f} x again, of which an empty spaCy pipeline takes {ratios['empty_pipeline_again']:.1f} x", latency),
        (f"Resident memory after loading, against the same ({latency['load']['bare']['resident_mib']:.0f} MiB)", f"{ratios['resident_mib']:.2f} x", latency),
        (f"Latency of single texts, {latency['labels']} labels, against the bare encoder", f"p50 {ratios['p50_ms']:.2f} x, p99 {ratios['p99_ms']:.2f} x", latency),
        (f"The [service](howto/service.md), {service['clients']} clients for {service['seconds']:.0f} s",
         f"{service['requests_per_s']:.0f} requests/s, p50 {service['p50_ms']:.0f} ms, p99 {service['p99_ms']:.0f} ms, {service['errors']} errors", service),
    ]  # fmt: skip
    lines = ["| what | measured | command |", "|---|---|---|"]
    return lines + [f"| {what} | {found} | `{command_of(result)}` |" for what, found, result in rows]


def number_formats() -> list[str]:
    return formats_table(evidence.load("precision"))


def formats_table(formats: dict) -> list[str]:
    """The number formats; single texts against batches only where that was measured."""
    wheel = "-".join(next(iter(formats["wheels"])).split("-")[:2])
    has_single = all("single_differs" in row for row in formats["dtypes"].values())
    where = f"{formats['texts']:,} texts; {wheel}; this CPU: {formats['cpu']}, where `auto` takes {formats['auto']}"
    head = ["compute_dtype", "F1", "largest change of a span's score", "float32's spans found", "speed"]
    head += ["texts whose spans differ when they come alone (largest change of a score)"] * has_single
    lines = [f"Number formats on {formats['dataset']} ({where}; `{command_of(formats)}`):", ""]
    lines += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for dtype, row in formats["dtypes"].items():
        cells = [dtype, f"{row['f']:.2%}", f"{row['largest_span_score_change']:.3f}"]
        cells += [f"{row['spans_of_float32_found']:.1%}", f"{row['speed']:.2f} x"]
        if has_single:
            differs, change = row["single_differs"], row["single_largest_score_change"]
            cells.append(f"{differs} of {row['single_texts']:,} ({change:.0e})")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def project() -> list[str]:
    """What the distillation project promises."""
    names = ("annotate", "alignment", "calibration", "project")
    results = {name: evidence.load(name) for name in names}
    soak, speed, project = results["annotate"]["soak"], results["annotate"]["throughput"], results["project"]
    forms, calibration = results["alignment"]["forms"], project["calibration"]
    rows = [
        ("`weasel run all` in a fresh clone",
         f"{project['training']['seconds'] / 60:.0f} minutes of training on 2 cores; test F {project['test']['f']:.1%} (untrained head {project['untrained_head']['f']:.1%}); the wheel of {project['wheel_mb']:.0f} MB answers in another environment", project),
        (f"Annotating {soak['texts']:,} texts through {soak['faults']:.0%} faults and {soak['kills']} x SIGKILL",
         f"{soak['texts_exactly_once']:,} texts exactly once; {soak['lost_answers']} of {soak['answers_completed_by_server']:,} paid answers lost on the way (allowed {soak['allowed_losses']}); "
         f"the cost on disk is that of the answers that came: {'yes' if soak['cost_on_disk'] == soak['cost_of_distinct_answers'] else 'NO'}", results["annotate"]),
        (f"Annotating with {speed['in_flight']} requests in flight, 200 ms each", f"{speed['slower_than_ideal']:.1%} slower than the ideal", results["annotate"]),
        ("Spans of an annotated corpus rendered to answers and read back", "; ".join(f"{name}: {form['returned'] / form['spans']:.2%} of {form['spans']:,}" for name, form in forms.items()), results["alignment"]),
        ("Expected calibration error of the project's model, held-out half of dev", f"{calibration['before']['ece']:.3f} before, {calibration['after']['ece']:.3f} after", project),
        (f"The same of `en_metaie_sm` ({results['calibration']['texts']:,} dev texts)",
         f"{results['calibration']['before']['ece']:.3f} before, {results['calibration']['after']['ece']:.3f} after; F {results['calibration']['before']['f']:.1%} before, {results['calibration']['after']['f']:.1%} after", results["calibration"]),
    ]  # fmt: skip
    lines = ["| what | measured | command |", "|---|---|---|"]
    return lines + [f"| {what} | {found} | `{command_of(result)}` |" for what, found, result in rows]


def filters() -> list[str]:
    """Dev F with and without curation."""
    result = evidence.load("filters")
    s = result["settings"]
    lines = [
        f"Curating, {s['steps']} steps on {s['rows']:,} rows each, scored on the same uncurated dev rows (`{command_of(result)}`):",
        "",
    ]
    lines += ["| filters | train rows | spans | dev F |", "|---|---|---|---|"]
    for name, runs in result["variants"].items():
        lines.append(
            f"| {name} | {runs[0]['rows']:,} | {runs[0]['spans']:,} | {' / '.join(format(run['dev_f'], '.1%') for run in runs)} |"
        )
    return lines


def figures() -> list[str]:
    """The README's table: what was measured, and the section of docs/benchmark.md that says how."""
    zero, five = evidence.cells(0), evidence.compared()
    ner, crossner = (np.mean([zero["en_metaie_sm", name][0]["f"] for name in names]) for names in (NER6, CROSSNER))
    shot = np.mean([np.mean([cell["f"] for cell in five["en_metaie_sm", name]]) for name in EIGHT])
    plain = np.mean([np.mean([cell["f"] for cell in five["vanilla", name]]) for name in EIGHT])
    speed, memory, robust = map(evidence.load, ("speed", "memory", "robustness"))
    latency, calibration, project = map(evidence.load, ("latency", "calibration", "project"))
    beside = evidence.load("peers")
    ours, gliner, gliner2 = (peer_report.mean_f(beside, name) for name in ("ours", "gliner_uni", "gliner2"))
    times = [
        peer_report.ratio(peer_report.cells_of(beside, "float32"), ("short", "batch", n), "ours", "gliner_uni", "texts_per_s")
        for n in (4, 64, 256)
    ]  # fmt: skip
    rows = [
        ("Zero-shot F1, exact match: six NER datasets; CrossNER", f"{ner:.1%}; {crossner:.1%}", ("zero-shot", "zero-shot")),
        (f"Beside gliner and gliner2 after the same {beside['minutes']:g} CPU minutes on the same encoder and corpus: mean F1 of nine datasets", f"{ours:.1%}; {gliner:.1%}, {gliner2:.1%}", ("peers", "docs/peers.md")),
        ("Texts a second with 4, 64 and 256 labels, against gliner on the same encoder", f"{' x, '.join(f'{one:.1f}' for one in times)} x", ("peers", "docs/peers.md")),
        (f"F1 after five examples a label, eight datasets, with `en_metaie_sm` {evidence.packaged(five)}; the encoder without distillation", f"{shot:.1%}; {plain:.1%}", ("five examples", "five-examples-a-label-what-the-start-is-worth")),
        ("16 labels at once, against one pass for each", f"{speed['labels']['16']['speedup']:.1f} x as fast", ("speed", "speed")),
        (f"Texts a second with {memory['labels']} labels on {speed['threads']} CPU cores", f"{memory['texts_per_s']:.0f}", ("production", "in-production")),
        (f"Peak resident memory over {memory['texts']:,} texts", f"{memory['peak_mib']['all']:,.0f} MiB", ("production", "in-production")),
        (f"One text with {latency['labels']} labels, against the bare encoder (median)", f"{latency['ratios']['p50_ms']:.2f} x the time", ("production", "in-production")),
        (f"Crashes on {robust['texts']:,} texts of random Unicode", f"{len(robust['crashes'])}", ("production", "in-production")),
        ("Expected calibration error of the scores", f"{calibration['after']['ece']:.3f}", ("the project", "the-project")),
        ("A model of your own by `weasel run all` on 2 cores", f"{project['training']['seconds'] / 60:.0f} minutes of training", ("the project", "the-project")),
    ]  # fmt: skip
    lines = ["| what | measured | how |", "|---|---|---|"]
    places = [at if at.endswith(".md") else f"docs/benchmark.md#{at}" for *_, (_, at) in rows]
    return lines + [f"| {what} | {found} | [{title}]({at}) |" for (what, found, (title, _)), at in zip(rows, places)]


# The blocks of each file.
PAGES: dict[str, dict[str, Callable[[], list[str]]]] = {
    "README.md": {"figures": figures},
    "docs/benchmark.md": {
        **{name: partial(evidence.block, name) for name in evidence.BLOCKS},
        "speed": speed,
        "label_sets": label_sets,
        "production": production,
        "number_formats": number_formats,
        "project": project,
        "filters": filters,
        "links": links_block,
        "route": route_block,
        "dialogue": dialogue_block,
        **{name: partial(audit_report.block, name) for name in audit_report.BLOCKS},
        **serving_report.BLOCKS,
    },
    "docs/peers.md": peer_report.BLOCKS,
}


def documents() -> dict[Path, str]:
    """What the files should hold."""
    found = {}
    for page, blocks in PAGES.items():
        text = (ROOT / page).read_text(encoding="utf8")
        for name, block in blocks.items():
            opening, closing = f"<!-- {name}: made by benchmarks/report.py -->", f"<!-- end of {name} -->"
            head, tail = text.split(opening)
            text = "\n".join([head + opening, "", *block(), "", closing + tail.split(closing)[1]])
        found[ROOT / page] = text
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail if the files do not show the results"
    )
    args = parser.parse_args()
    if not args.check:
        plots.make(ROOT / "docs")  # before the pages, which show the plots that are there
    for path, text in documents().items():
        if not args.check:
            path.write_text(text, encoding="utf8")
        elif path.read_text(encoding="utf8") != text:
            sys.exit(f"{path.name} does not show the results in benchmarks/results: run python benchmarks/report.py")


if __name__ == "__main__":
    main()
