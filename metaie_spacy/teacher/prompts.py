"""Prompt templates."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..encodings import read_text

if TYPE_CHECKING:
    from jinja2 import Template


def read_prompt(path: str | Path, **example: Any) -> tuple["Template", str]:
    """A Jinja template that fails on names it is not given, and the sha256 of its file.

    example: a value for each name that it will be given.
    RAISES (ValueError): no such file, or no template.
    """
    from jinja2 import Environment, StrictUndefined, TemplateError

    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is no prompt '{path}'. Give the path of a Jinja file; assets/prompt.jinja is one.")
    text = read_text(path)
    try:
        template = Environment(undefined=StrictUndefined, keep_trailing_newline=False).from_string(text)
        template.render(**example)
    except TemplateError as error:
        raise ValueError(f"The prompt '{path}' cannot be rendered: {error}") from None
    return template, hashlib.sha256(path.read_bytes()).hexdigest()
