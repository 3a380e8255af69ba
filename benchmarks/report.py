"""Write the tables of README.md from benchmarks/results/*.json.

    python benchmarks/report.py            # rewrites the part of README.md between the two marks
    python benchmarks/report.py --check    # fails if README.md does not show the committed results
"""
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- benchmarks: made by `python benchmarks/report.py` -->", "<!-- end of benchmarks -->"


def quality_table(result: dict) -> list[str]:
    lines = ["| dataset | precision | recall | F1 | texts |", "|---|---|---|---|---|"]
    for name, scores in result["datasets"].items():
        lines.append(f"| {name} | {scores['p']:.1%} | {scores['r']:.1%} | **{scores['f']:.1%}** | {scores['texts']} |")
    means = result["means"]
    return [*lines, "", f"Mean F1 of the first six: **{means['ner6']:.1%}**; of the three CrossNER sets: **{means['crossner']:.1%}**."]


def speed_table(result: dict) -> list[str]:
    lines = ["| labels | LabelToSpan is faster by | bound | share of the bound |", "|---|---|---|---|"]
    for n, row in result["labels"].items():
        lines.append(f"| {n} | **{row['speedup']:.1f} x** | {row['bound']:.1f} x | {row['share_of_bound']:.0%} |")
    share = result["encoder_share_of_wall_time_at_16_labels"]
    return [*lines, "", f"Of `nlp.pipe`'s wall time at 16 labels, {share:.0%} is spent inside the encoder."]


def block() -> str:
    results = ROOT / "benchmarks" / "results"
    quality = json.loads((results / "quality.json").read_text(encoding="utf8"))
    speed = json.loads((results / "speed.json").read_text(encoding="utf8"))
    return "\n".join(
        [
            BEGIN, "",
            "Zero-shot span F1 of `en_metaie_sm`, exact match, all labels of a dataset asked at once by their plain names, flat, threshold 0.5",
            f"(`{quality['command']}`; data checksums and the model's hash are in the result file):", "", *quality_table(quality), "",
            f"Speed against one pass per label (`CrossEncoder.v1`), same encoder, {speed['dtype']}, batching and decoder, {speed['texts']} sentences,",
            f"{speed['threads']} CPU threads, one interleaved run (`{speed['command']}`). The bound is the ratio of pieces that pass through the encoder:",
            "", *speed_table(speed), "", END,
        ]
    )  # fmt: skip


def main() -> None:
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf8")
    before, rest = text.split(BEGIN)
    new = before + block() + rest.split(END)[1]
    if "--check" in sys.argv and new != text:
        sys.exit("README.md does not show the results in benchmarks/results: run python benchmarks/report.py")
    path.write_text(new, encoding="utf8")


if __name__ == "__main__":
    main()
