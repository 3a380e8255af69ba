"""Options that scripts share."""

import argparse
from pathlib import Path


def model_parser(doc: str) -> argparse.ArgumentParser:
    """A parser with --model and --output, described by the first line of a script's docstring."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--model", default="en_metaie_sm", help="package or directory (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write the result here (JSON)")
    return parser
