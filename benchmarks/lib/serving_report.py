"""The tables of the service and of large files in docs/benchmark.md, from the results of benchmarks/serving/{load,bulk,million,ray_nodes}.py."""

import json
from typing import Any

from benchmarks.lib.paths import RESULTS, command_of


def read(name: str) -> dict[str, Any] | None:
    """A result; None: it was not measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf8")) if path.exists() else None


def statuses(counted: dict[str, int]) -> str:
    return ", ".join(f"{status}: {count:,}" for status, count in sorted(counted.items()))


def clients_row(result: dict[str, Any]) -> tuple[str, str, dict]:
    short = result["kinds"]["short"]
    told = f"{short['per_s']:.0f} requests/s, p50 {short['p50_ms']:,.0f} ms, p99 {short['p99_ms']:,.0f} ms; {statuses(result['statuses'])}; wrong answers {result['wrong']}"
    return f"{result['clients']} clients for {result['seconds']:.0f} s, 8 labels each", told, result


def soak_row(result: dict[str, Any]) -> tuple[str, str, dict]:
    parts, memory = result["parts"], result["resident_mib"]
    total: dict[str, int] = {}
    for part in parts:
        for status, count in part["statuses"].items():
            total[status] = total.get(status, 0) + count
    wrong = sum(part["wrong"] for part in parts)
    third = len(memory) // 3
    told = f"{statuses(total)}; wrong answers {wrong}; resident MiB at most {max(memory[:third]):,.0f} in the first third, {max(memory[-third:]):,.0f} in the last"
    return (
        f"Soak: {result['clients']} clients for {result['seconds'] / 60:.0f} minutes, mixed sizes and labels",
        told,
        result,
    )


def fairness_row(result: dict[str, Any]) -> tuple[str, str, dict]:
    without, beside = (result[key]["kinds"]["short"] for key in ("without", "with_giant"))
    told = f"p99 of short texts {without['p99_ms']:,.0f} ms without and {beside['p99_ms']:,.0f} ms with it ({beside['p99_ms'] / without['p99_ms']:.1f} x); p50 {without['p50_ms']:,.0f} and {beside['p50_ms']:,.0f} ms"
    return (
        f"{result['clients']} clients with short texts, and one that always has a giant text in the queue",
        told,
        result,
    )


def encoder_row(result: dict[str, Any]) -> tuple[str, str, dict]:
    median = result["median"]
    told = f"{median['server_per_s']:.0f} requests/s (p50 {median['server_p50_ms']:,.0f} ms); the bare encoder {median['bare_single_per_s']:.0f} texts/s one by one and {median['bare_batched_per_s']:.0f} in batches of 32: {median['server_per_s'] / median['bare_batched_per_s']:.2f} x of these"
    return f"{result['clients']} clients and the bare encoder in turn, on the same cores", told, result


def start_row(result: dict[str, Any]) -> tuple[str, str, dict]:
    told = f"{result['until_requests_are_taken_s']:.1f} s until requests are taken, the first one {result['first_request_s'] * 1000:,.0f} ms, {result['resident_mib']:,.0f} MiB"
    return f"Start, median of {len(result['starts'])}", told, result


ROWS = {
    "load_50": clients_row,
    "load_500": clients_row,
    "load_soak": soak_row,
    "load_fairness": fairness_row,
    "load_encoder": encoder_row,
    "load_start": start_row,
}


def load() -> list[str]:
    """What `metaie serve` does under load."""
    found = [(read(name), row) for name, row in ROWS.items()]
    rows = [row(result) for result, row in found if result]
    if not rows:
        return ["Not measured yet."]
    lines = ["| what | measured | command |", "|---|---|---|"]
    return lines + [f"| {what} | {told} | `{command_of(result)}` |" for what, told, result in rows]


def bulk() -> list[str]:
    """Files and engines against `nlp.pipe`, and a million texts with kills."""
    lines: list[str] = []
    result = read("bulk")
    if result:
        lines += [
            f"{result['texts']:,} texts with {result['labels']} labels on {result['cores']} cores, in {result['rounds']} rounds in which all read the same texts in turn (`{command_of(result)}`):",
            "",
        ]
        lines += [
            "| way (processes x threads) | texts/s | against `nlp.pipe` | same spans | largest change of a score |",
            "|---|---|---|---|---|",
        ]
        for name, rate in result["texts_per_s"].items():
            answers = result["answers"].get(name)
            told = (
                f"{'yes' if answers['same_spans'] else '**no**'} | {answers['largest_score_change']:.1e}"
                if answers
                else "- | -"
            )
            lines.append(f"| {name} | {rate:.0f} | {result['against_nlp_pipe'][name]:.2f} x | {told} |")
    result = read("million")
    if result:
        peak = result["peak_mib"]
        lines += ["" if lines else "", f"{result['texts']:,} texts, {len(result['kills'])} kills: rows in {result['rows_in']:,}, out {result['rows_out']:,}, the same ids and texts in order: {'yes' if result['same_ids_and_texts_in_order'] else '**no**'}, errors {result['errors']}; "
            f"memory of all processes at most {peak['first tenth']:,.0f} MiB in the first tenth of the time and {peak['last tenth']:,.0f} in the last; {result['texts_per_s']:.0f} texts/s with the kills, number format {result['compute_dtype']}"
            + (f" ({result['note']})" if result.get("note") else "") + f" (`{command_of(result)}`)."]  # fmt: skip
    result = read("ray_nodes")
    if result:
        lines += [
            "",
            f"Ray on two nodes, one of them killed: {json.dumps({key: result[key] for key in ('texts', 'rows_out', 'same_spans') if key in result})} (`{command_of(result)}`).",
        ]
    return lines or ["Not measured yet."]


BLOCKS = {"load": load, "bulk": bulk}
