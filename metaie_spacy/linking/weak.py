"""Spans that score below the threshold of the weights, and may be heads and tails of links all the same."""

from typing import TYPE_CHECKING, Iterable, Sequence

from ..rules import kept_answers
from ..schema import Label, LinkSchema
from ..spans import Answer, Taken, flatten, tidied

if TYPE_CHECKING:
    from spacy.tokens import Doc


def weak_answers(
    doc: "Doc",
    labels: Iterable[Label],
    links: LinkSchema,
    kept: Sequence[Answer],
    dropped: Sequence[Answer],
    *,
    flat: bool,
) -> list[Answer]:
    """Those of the dropped spans that a link may begin or end at: a link that holds says that its ends are there too.

    Of labels that links begin or end at, and whose threshold nobody chose.

    labels (Iterable[Label]): that were asked of the doc. kept (Sequence[Answer]): the answers that stay anyhow.
    flat (bool): no two spans overlap; else no two of a label do.
    RETURNS (list[Answer]): the best ones that stand beside those that stay and beside each other.
    """
    if not dropped:
        return []
    used = {name for relation in links.relations for name in (*relation.heads, *relation.tails)}
    own = [label for label in labels if label.name in used and label.threshold is None]
    names = {label.name for label in own}
    weak = [answer for answer in dropped if answer.label in names]
    if not weak:
        return []
    groups: dict[str | None, list[Answer]] = {}
    for answer in kept_answers(doc, tidied([token.text for token in doc], weak), own):
        groups.setdefault(None if flat else answer.label, []).append(answer)
    found = []
    for name, answers in groups.items():
        taken = Taken(len(doc))
        for answer in kept:
            if name is None or answer.label == name:
                taken.add(answer.start, answer.end)
        found += flatten(answers, taken)
    return sorted(found, key=lambda one: (one.start, one.end, one.label))
