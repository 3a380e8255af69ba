"""Attacks on the package, each as tests that must hold: a table attack -> result.

    python benchmarks/serving/attacks.py --output benchmarks/results/attacks.json

An attack is a set of tests; it is open where one of them fails or where there is none. Seeds are fixed in the tests, which
end by themselves. Longer runs of some kinds: weights_fuzz.py, teacher_attacks.py and growth.py.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.paths import ROOT
from benchmarks.lib.provenance import write_data_result

ATTACKS = {
    "1. code named anywhere in a config, a tokenizer or a message": [
        "tests/model/test_hostile_weights.py::test_code_that",
        "tests/model/test_hostile_weights.py::test_keys_that",
        "tests/model/test_hostile_weights.py::test_an_architecture",
    ],
    "1. files and settings inside the weights of a foreign tok2vec": [
        "tests/model/test_hostile_tok2vec.py",
    ],
    "1. configs that do not fit the tensors; wrong types and sizes": [
        "tests/model/test_hostile_messages.py::test_configs",
        "tests/model/test_hostile_messages.py::test_options",
        "tests/model/test_hostile_messages.py::test_nothing_is_built",
    ],
    "1. tokenizers that expand, panic or have no such pieces": [
        "tests/model/test_hostile_tokenizers.py",
    ],
    "1. names, links, pipes and devices that leave the directory": [
        "tests/model/test_hostile_weights.py::test_names",
        "tests/model/test_hostile_weights.py::test_files",
        "tests/model/test_hostile_weights.py::test_a_folder",
        "tests/model/test_hostile_weights.py::test_links",
        "tests/model/test_hostile_weights.py::test_the_mean",
    ],
    "1. damaged tensors, headers, JSON, messages, settings; weights that are no numbers": [
        "tests/model/test_hostile_messages.py::test_json",
        "tests/model/test_hostile_messages.py::test_damaged",
        "tests/model/test_hostile_messages.py::test_headers",
        "tests/model/test_hostile_messages.py::test_weights_that",
        "tests/model/test_hostile_messages.py::test_messages",
        "tests/model/test_hostile_messages.py::test_settings",
        "tests/model/test_hostile_messages.py::test_sections",
        "tests/model/test_hostile_weights.py::test_refused",
    ],
    "1. 100 weights changed by chance (5,000: weights_fuzz.py)": [
        "tests/model/test_hostile_weights.py::test_a_hundred",
    ],
    "2. kill -9 at any write of a command": ["tests/cli/test_nothing_is_lost.py::test_a_kill_at_any_write"],
    "2. kill -9 between the renames of a folder": ["tests/data/test_files.py::test_a_kill_between"],
    "2. a disk that is full": ["tests/cli/test_nothing_is_lost.py::test_a_full_disk"],
    "2. an output that is an input: same path, link, folder around it": [
        "tests/cli/test_nothing_is_lost.py::test_an_output_that_is_read"
    ],
    "3. answers without end, inflating answers, slow answers": [
        "tests/teacher/test_limits.py::test_an_answer_without",
        "tests/teacher/test_limits.py::test_the_bound_on",
        "tests/teacher/test_limits.py::test_an_oversized",
        "tests/teacher/test_limits.py::test_the_time_of",
        "tests/teacher/test_limits.py::test_a_connection_that",
        "tests/teacher/test_limits.py::test_a_client_of",
        "tests/teacher/test_limits.py::test_a_transport_of",
    ],
    "3. redirects to another host": [
        "tests/teacher/test_limits.py::test_no_text_follows",
        "tests/teacher/test_limits.py::test_a_strange",
    ],
    "3. waits that a server asks for": [
        "tests/teacher/test_limits.py::test_a_wait_",
        "tests/teacher/test_limits.py::test_a_rate_",
        "tests/teacher/test_limits.py::test_what_a_server_asks",
        "tests/teacher/test_limits.py::test_waits_that",
        "tests/teacher/test_limits.py::test_settings_without",
    ],
    "3. counts of tokens that cannot be believed": [
        "tests/teacher/test_limits.py::test_tokens_that",
        "tests/teacher/test_limits.py::test_no_count",
        "tests/teacher/test_limits.py::test_counts_of",
        "tests/teacher/test_limits.py::test_a_count_of",
        "tests/teacher/test_limits.py::test_a_body",
        "tests/teacher/test_limits.py::test_an_answer_is_read",
    ],
    "3. keys that a server echoes": [
        "tests/teacher/test_limits.py::test_the_key",
        "tests/teacher/test_limits.py::test_a_placeholder",
        "tests/teacher/test_limits.py::test_secrets",
        "tests/teacher/test_limits.py::test_an_echoed",
        "tests/teacher/test_limits.py::test_a_key_that",
    ],
    "3. Ctrl-C and errors while requests are under way": [
        "tests/teacher/test_limits.py::test_ctrl_c",
        "tests/teacher/test_limits.py::test_the_end_of",
        "tests/teacher/test_limits.py::test_the_threads",
    ],
    "3. two processes on one store; stores that are locked, damaged, full, read-only, of another form": [
        "tests/teacher/test_store_faults.py",
    ],
    "4. flat answers, windows, labels, rows: steps that grow with them": [
        "tests/test_growth.py",
        "tests/data/test_growth.py",
    ],
    "4. a teacher's answers of repeated characters": [
        "tests/teacher/test_growth.py",
    ],
    "4. runs of punctuation and emoji before spaCy's tokenizer": [
        "tests/test_tokenizing.py",
    ],
    "4. regular expressions, label names, conversion, curation": [
        "tests/test_patterns.py",
        "tests/curate/test_growth.py",
        "tests/convert/test_growth.py",
    ],
    "4. the word cache": [
        "tests/model/test_piece_cache.py",
    ],
    "5. 500 mixes of arguments in one process": ["tests/cli/test_any_arguments.py"],
    "5. settings out of range, NaN, infinite, of another type": ["tests/train/test_settings.py"],
    "5. a loss or weights that are no numbers; nothing to learn; labels longer than the window": [
        "tests/train/test_failing.py"
    ],
    "5. ids, offsets and switches of a wrong kind, limits of 0 and below": ["tests/data/test_ids.py"],
    "5. JSON lines that are cut, too deep, not UTF-8, with NaN or half characters": ["tests/data/test_jsonl.py"],
    "6. labels, texts, file names and teachers that a terminal, Markdown or HTML would obey": [
        "tests/data/test_inert.py::test_nothing_that_a_terminal",
        "tests/data/test_inert.py::test_a_cell",
        "tests/data/test_inert.py::test_a_page",
        "tests/data/test_inert.py::test_a_table",
        "tests/data/test_inert.py::test_messages",
        "tests/data/test_inert.py::test_a_report",
        "tests/release/test_card.py",
    ],
    "6. scores that are no numbers": [
        "tests/data/test_inert.py::test_numbers",
        "tests/data/test_inert.py::test_a_score",
        "tests/data/test_inert.py::test_json_lines",
    ],
    "6. what another tool's file keeps for us": ["tests/data/test_inert.py::test_what_a_file"],
    "6. bytes in Parquet": ["tests/data/test_inert.py::test_bytes"],
}


def run_tests(files: list[str]) -> list[tuple[str, bool]]:
    """Name and success of every test of some files; a test that was skipped has not held."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={report}", *files]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=sys.stderr)
        cases = ElementTree.parse(report).getroot().iter("testcase")
        return [(f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}", not len(case)) for case in cases]


def table(attacks: dict[str, list[str]]) -> dict[str, dict]:
    """Attack -> number of cases and those that did not hold."""
    files = sorted({prefix.partition("::")[0] for prefixes in attacks.values() for prefix in prefixes})
    results = run_tests(files)
    rows = {}
    for attack, prefixes in attacks.items():
        own = [(name, held) for name, held in results if any(name.startswith(prefix) for prefix in prefixes)]
        rows[attack] = {"cases": len(own), "open": [name for name, held in own if not held] if own else ["no test"]}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the result here (JSON)")
    args = parser.parse_args()
    rows = table(ATTACKS)
    for attack, row in rows.items():
        print(f"{attack}: {row['cases']} cases, " + (f"OPEN: {', '.join(row['open'])}" if row["open"] else "held"))
    write_data_result(args.output, {"attacks": rows}, [])
    if any(row["open"] for row in rows.values()):
        sys.exit("Some attacks are open.")


if __name__ == "__main__":
    main()
