"""What a server takes of its clients, and how it refuses the rest."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Limits:
    """What one server takes.

    characters (int): of all texts of a request. texts (int): of a request. run (int): characters in a row without
    white space. labels (int): wordings that a request asks, of labels, links and options.
    schema (int): characters of what a request asks, as JSON. waiting (int): requests that wait or are read.
    waiting_characters (int): of all long requests that wait. seconds (float): until a request is answered or given up.
    """

    characters: int = 200_000
    texts: int = 500
    run: int = 20_000
    labels: int = 200
    schema: int = 50_000
    waiting: int = 1_000
    waiting_characters: int = 2_000_000
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"The limit '{field.name}' must be above 0, not {getattr(self, field.name)!r}.")

    @property
    def body(self) -> int:
        """Bytes of a request's body: JSON may write a character in twelve, "\\ud83d\\ude00"."""
        return 12 * (self.characters + self.schema) + 65_536


class Refusal(Exception):
    """A request that is not answered.

    status (int): of HTTP. code (str): one word for programs. message (str): place, value and cure, for people.
    retry_after (int | None): seconds after which it may be asked again.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after

    def plain(self) -> dict[str, Any]:
        """As the body of an answer."""
        return {"error": {"code": self.code, "message": self.message}}
