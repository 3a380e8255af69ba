"""Which text and which document a row belongs to."""
import hashlib
from typing import Any


def is_dev(row_id: str, share: float, seed: int) -> bool:
    """Whether `split_dev` holds the row of this id out."""
    digest = hashlib.sha256(f"{seed}:{row_id.split('#')[0]}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share



def text_id(text: Any) -> str:
    """An id that depends on the text alone."""
    return hashlib.sha1(str(text).encode("utf8", "surrogatepass")).hexdigest()[:12]



def document_of(row: dict) -> str:
    """The document that a row is a passage of: `meta["doc"]`, or its id before '#'."""
    meta = row.get("meta")
    return str(meta["doc"]) if isinstance(meta, dict) and meta.get("doc") is not None else row["id"].split("#")[0]
