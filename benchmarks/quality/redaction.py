"""What the redaction of docs/howto/examples.md finds of the personal data in rows of the corpus.

    python benchmarks/quality/redaction.py --output benchmarks/results/redaction.json

Runs the page's code block "# redact.py" on the rows of the label set T04 (letters and messages with names, addresses
and numbers). A mention counts as redacted where none of its letters and digits is left. The packaged model was trained
on rows of this corpus, so that texts of others will have lower figures.
"""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import CORPUS, ROOT
from benchmarks.lib.provenance import write_result

SET = "T04"
ASKED = {"person", "address", "date of birth", "identity number", "phone number", "email address", "bank account"}


def example() -> dict:
    """The names that the page's code defines."""
    page = (ROOT / "docs" / "howto" / "examples.md").read_text(encoding="utf8")
    (code,) = re.findall(r"^```python\n(# redact\.py\n.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict = {}
    exec(compile(code, "redact.py", "exec"), names)
    return names


def covered(nlp, text: str) -> set[int]:
    """The characters that are redacted."""
    doc = nlp(text)
    return {at for span in doc.spans["metaie"] for at in range(span.start_char, span.end_char)}


def measure(rows: list[dict], nlp) -> dict:
    found, gold, leaking, extra, plain = Counter(), Counter(), 0, 0, 0
    for row in rows:
        text, gone = row["text"], covered(nlp, row["text"])
        signs = {at for at, sign in enumerate(text) if sign.isalnum()}
        personal: set[int] = set()
        lost = False
        for span in row["spans"]:
            own = signs & set(range(span["start"], span["end"]))
            personal |= own
            if span["label"] in ASKED:
                gold[span["label"]] += 1
                found[span["label"]] += own <= gone
                lost |= not own <= gone
        leaking += lost
        plain += len(signs - personal)
        extra += len((signs - personal) & gone)
    labels = {label: {"mentions": gold[label], "recall": found[label] / gold[label]} for label in sorted(gold)}
    return {
        "texts": len(rows),
        "mentions": sum(gold.values()),
        "recall": sum(found.values()) / sum(gold.values()),
        "labels": labels,
        "texts_with_a_leak": leaking,
        "redacted_share_of_the_rest": extra / plain,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    with CORPUS.open(encoding="utf8") as lines:
        rows = [row for row in map(json.loads, lines) if row.get("set") == SET]
    result = {"set": SET, **measure(rows, example()["nlp"])}
    print(json.dumps(result, indent=1))
    write_result(args.output, result, "en_metaie_sm", [CORPUS])


if __name__ == "__main__":
    main()
