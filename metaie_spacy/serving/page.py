"""The page to try a server on: one file, which loads nothing from elsewhere and takes texts for nothing but texts."""

import base64
import hashlib
import re
from pathlib import Path

PAGE = Path(__file__).with_name("page.html").read_bytes()


def _hashes(tag: str) -> str:
    """The page's own scripts or styles, which alone may run there, as its policy names them."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), PAGE, re.DOTALL)
    sums = (base64.b64encode(hashlib.sha256(content).digest()).decode("ascii") for content in found)
    return " ".join(f"'sha256-{one}'" for one in sums)


HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
