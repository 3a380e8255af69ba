"""The page of a server and of a review: one file, which loads nothing from elsewhere and takes texts for nothing but
texts."""

import base64
import hashlib
from pathlib import Path

HERE = Path(__file__).parent
STYLE, SCRIPT = (HERE.joinpath(name).read_bytes() for name in ("page.css", "page.js"))
# With the tab to try labels alone; `REVIEW` has all.
PAGE = HERE.joinpath("page.html").read_bytes().replace(b"/*STYLE*/", STYLE).replace(b"/*SCRIPT*/", SCRIPT)
REVIEW = PAGE.replace(b'data-mode="serve"', b'data-mode="review"')


def _hash(content: bytes) -> str:
    """The page's own script or style, which alone may run there, as its policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode('ascii')}'"


HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        f"default-src 'none'; script-src {_hash(SCRIPT)}; style-src {_hash(STYLE)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
