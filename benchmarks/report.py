"""Write the tables of README.md and docs/benchmark.md from benchmarks/results.

python benchmarks/report.py            # rewrites what stands between marks in README.md and docs/benchmark.md
python benchmarks/report.py --check    # fails if they do not show the committed results
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.lib import evidence, plots
from benchmarks.lib.paths import ROOT, command_of

BEGIN, END = "<!-- benchmarks: made by `python benchmarks/report.py` -->", "<!-- end of benchmarks -->"


def speed_table(result: dict) -> list[str]:
    lines = ["| labels | LabelToSpan is faster by | bound | share of the bound |", "|---|---|---|---|"]
    for n, row in result["labels"].items():
        lines.append(f"| {n} | **{row['speedup']:.1f} x** | {row['bound']:.1f} x | {row['share_of_bound']:.0%} |")
    share = result["encoder_share_of_wall_time_at_16_labels"]
    return [*lines, "", f"Of `nlp.pipe`'s wall time at 16 labels, {share:.0%} is spent inside the encoder."]


def production_table(results: dict[str, dict]) -> list[str]:
    """One line per promise, with the command that checks it."""
    memory, workers, latency, service = (results[name] for name in ("memory", "workers", "latency", "service"))
    robust = results["robustness"]
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
        (f"The cookbook's service, {service['clients']} clients for {service['seconds']:.0f} s",
         f"{service['requests_per_s']:.0f} requests/s, p50 {service['p50_ms']:.0f} ms, p99 {service['p99_ms']:.0f} ms, {service['errors']} errors", service),
    ]  # fmt: skip
    lines = ["| what | measured | command |", "|---|---|---|"]
    lines += [f"| {what} | {found} | `{command_of(result)}` |" for what, found, result in rows]
    return [*lines, "", *formats_table(results["precision"])]


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


def project_table(results: dict[str, dict]) -> list[str]:
    """What the distillation project promises."""
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


def filters_table(result: dict) -> list[str]:
    """Dev F with and without curation."""
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


def block() -> str:
    names = (
        "speed", "memory", "workers", "latency", "service", "robustness", "precision", "annotate", "alignment", "project",
        "calibration", "filters",
    )  # fmt: skip
    results = {name: evidence.load(name) for name in names}
    speed, cell = results["speed"], evidence.cells(0)["en_metaie_sm", "conll2003"][0]
    return "\n".join(
        [
            BEGIN, "",
            "Zero-shot span F1 of `en_metaie_sm`, exact match, all labels of a dataset asked at once by their plain names, flat, at the model's own threshold",
            f"(`{command_of(cell)}`; `docs/benchmark.md` has the rest: labels, few-shot, starting points, corpus sizes):", "",
            *evidence.zero_shot(), "",
            f"Speed against one pass per label (`CrossEncoder.v1`), same encoder, {speed['dtype']}, batching and decoder, {speed['texts']} sentences,",
            f"{speed['threads']} CPU threads, one interleaved run (`{command_of(speed)}`). The bound is the ratio of pieces that pass through the encoder:",
            "", *speed_table(speed), "",
            f"In production, measured on {speed['threads']} CPU cores:", "", *production_table(results), "",
            "The distillation project, on the same machine:", "", *project_table(results), "", *filters_table(results["filters"]), "", END,
        ]
    )  # fmt: skip


def documents() -> dict[Path, str]:
    """What the two files should hold."""
    readme, docs = ROOT / "README.md", ROOT / "docs" / "benchmark.md"
    before, rest = readme.read_text(encoding="utf8").split(BEGIN)
    text = docs.read_text(encoding="utf8")
    for name in evidence.BLOCKS:
        opening, closing = f"<!-- {name}: made by benchmarks/report.py -->", f"<!-- end of {name} -->"
        head, tail = text.split(opening)
        text = "\n".join([head + opening, "", *evidence.block(name), "", closing + tail.split(closing)[1]])
    return {readme: before + block() + rest.split(END)[1], docs: text}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail if the files do not show the results"
    )
    args = parser.parse_args()
    for path, text in documents().items():
        if not args.check:
            path.write_text(text, encoding="utf8")
        elif path.read_text(encoding="utf8") != text:
            sys.exit(f"{path.name} does not show the results in benchmarks/results: run python benchmarks/report.py")
    if not args.check:
        plots.make(ROOT / "docs")


if __name__ == "__main__":
    main()
