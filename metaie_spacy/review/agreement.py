"""How far reviewers agree on the texts that several of them answered."""

from typing import Any

from ..audit.agreement import agreement, disputes, shared_texts
from ..curate.reviews import SKIP
from ..data.ledger import Sourced
from .answers import Answers

WORST = 50  # texts on which reviewers differ that are named


def reviewers_agreement(answers: Answers) -> dict[str, Any]:
    """Agreement of every two reviewers, as `audit corpus` has it for teachers.

    RETURNS (dict): "texts" that several answered, "pairs" (span F with its 95 % interval), "labels" (span F and
        Krippendorff's alpha, of labels in 5 texts or more), "differ" (ids of rows, 1 - F, the worst first).
    """
    items = [
        Sourced({**row, "teacher": f"human:{name}"}, str(answers.path), 0)
        for own in answers.standing.values()
        for name, row in own.items()
        if row["answer"] != SKIP
    ]
    texts, _ = shared_texts(items)
    found = agreement(texts, [], [])
    differ: dict[str, float] = {}
    for (id, _), value in disputes(texts).items():
        differ[id] = max(value, differ.get(id, 0.0))
    worst = sorted(((id, value) for id, value in differ.items() if value > 0), key=lambda pair: (-pair[1], pair[0]))
    return {
        "texts": found["texts"],
        "pairs": [{**one, "teachers": [_name(name) for name in one["teachers"]]} for one in found["pairs"]],
        "labels": found["labels"],
        "differ": worst[:WORST],
    }


def _name(teacher: str) -> str:
    return teacher.removeprefix("human:")
