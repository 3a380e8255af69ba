"""Which text a row holds, and which document it is a passage of: one identity for all that splits or compares rows."""

import hashlib
from typing import Any, Mapping


def document_of(row: Mapping[str, Any]) -> str:
    """The document that a row is a passage of: `meta["doc"]`, or its id before "#"."""
    meta = row.get("meta")
    named = meta.get("doc") if isinstance(meta, dict) else None
    return str(row["id"]).partition("#")[0] if named is None else str(named)


def text_id(text: str) -> str:
    """An id that depends on the text alone, so that it stays when rows are added before it."""
    return hashlib.sha1(str(text).encode("utf8", "surrogatepass")).hexdigest()[:12]


def is_dev(document: str, share: float, seed: int) -> bool:
    """Whether training holds the rows of a document out, for a share of all documents and a seed."""
    digest = hashlib.sha256(f"{seed}:{document}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share
