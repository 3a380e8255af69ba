"""Files of rules: patterns of spaCy's SpanRuler, of which none is kept that can never match."""

import json
import logging
import re
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from ..data.jsonl import BadLine, numbered_lines, parse_json
from ..data.tokens import make_doc

if TYPE_CHECKING:
    from spacy.language import Language

logger = logging.getLogger("metaie_spacy")
TEXTS = ("ORTH", "TEXT", "LOWER", "NORM", "SHAPE", "PREFIX", "SUFFIX")
FLAGS = (
    *("IS_ALPHA", "IS_ASCII", "IS_DIGIT", "IS_LOWER", "IS_UPPER", "IS_TITLE", "IS_PUNCT", "IS_SPACE", "IS_BRACKET"),
    *("IS_QUOTE", "IS_LEFT_PUNCT", "IS_RIGHT_PUNCT", "IS_CURRENCY", "IS_STOP", "LIKE_NUM", "LIKE_URL", "LIKE_EMAIL"),
    "SPACY",
)
NEVER_SET = (
    *("ENT_TYPE", "ENT_IOB", "ENT_ID", "ENT_KB_ID", "POS", "TAG", "DEP", "MORPH", "LEMMA", "SENT_START"),
    *("IS_SENT_START", "HEAD"),
)
NEVER_BOTH = (  # flags that no token has together
    *combinations(("IS_ALPHA", "IS_DIGIT", "IS_PUNCT", "IS_SPACE"), 2),
    *combinations(("IS_LOWER", "IS_UPPER"), 2),
    ("IS_LOWER", "IS_TITLE"),
)
SETS = ("IN", "NOT_IN", "IS_SUBSET", "IS_SUPERSET", "INTERSECTS")
COMPARE = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    "IN": lambda a, b: a in b,
    "NOT_IN": lambda a, b: a not in b,
}
QUANTIFIER = re.compile(r"\{(?:(?P<n>[0-9]+)|(?P<least>[0-9]*),(?P<most>[0-9]*))\}")
PLAIN = re.compile(r"\^?([\w\s-]*)\$?")  # a regular expression that is a mere string
NOT_LITERAL = re.compile(r"\\.|\[[^\]]*(?:\]|$)|\(\?P?<\w+>")


def read_rules(path: Path, nlp: "Language") -> list[dict]:
    """The rules of a JSONL file, `{"label", "pattern", "id"?}`, as SpanRuler takes them.

    What is doubtful, such as a token that this language's tokenizer would split, is logged with its line.

    nlp (Language): the blank pipeline that they are for.
    RAISES (ValueError): a line is no rule, or one that can never match; the message names line, reason and cure.
        Else rules would say of a label that it is absent only because they cannot find it.
    """
    rules = []
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            rule = parse_json(line.rstrip(b"\r\n"))
            doubts = list(check_rule(rule, nlp))
        except BadLine as error:
            raise ValueError(f"{path}, line {number}: {error}.") from None
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        for doubt in dict.fromkeys(doubts):
            logger.warning("%s, line %d: %s", path, number, doubt)
        rules.append(rule)
    if not rules:
        raise ValueError(f'{path}: there is no rule. Write a line such as {{"label": "city", "pattern": "Paris"}}.')
    return rules


def check_rule(rule: Any, nlp: "Language") -> Iterator[str]:
    """What is doubtful about a rule. RAISES (ValueError): it is none, or no text can match it."""
    form = 'expected {"label": ..., "pattern": ...} with a string or a list of token patterns.'
    if not isinstance(rule, dict) or not isinstance(rule.get("label"), str):
        raise ValueError(form)
    if not isinstance(rule.get("pattern"), (str, list)):
        raise ValueError(form)
    if not rule["label"].strip():
        raise ValueError("the label is empty. Name what the rule finds.")
    if not isinstance(rule.get("id", ""), str):
        raise ValueError(f'the "id" {json.dumps(rule["id"])} must be a string.')
    pattern = rule["pattern"]
    if not pattern or (isinstance(pattern, str) and not pattern.strip()):
        raise ValueError("the pattern is empty and matches nothing. Give words, or leave the line out.")
    if isinstance(pattern, str):
        if any(token.is_space for token in make_doc(nlp, pattern)):
            yield f"{pattern!r} has white space that is no single blank; only a text with the same matches."
        return
    for number, token in enumerate(pattern, 1):
        if not isinstance(token, dict):
            raise ValueError(f'token {number} is {json.dumps(token)}; expected an object, such as {{"LOWER": "word"}}.')
        try:
            yield from _check_token({name.upper(): value for name, value in token.items()}, token, nlp)
        except ValueError as error:
            raise ValueError(f"token {number}: {error}") from None
    if not any(_is_needed(token) for token in pattern):
        raise ValueError(
            "all tokens are optional or negated (OP ?, *, !, {0,n}): the pattern asks for nothing. "
            "Give one that must be there; + instead of * asks for one at least."
        )
    _try(pattern, nlp)


def _is_needed(token: dict) -> bool:
    """Whether a token of the pattern must be there."""
    op = next((value for name, value in token.items() if name.upper() == "OP"), "1")
    found = QUANTIFIER.fullmatch(op)
    return op in ("1", "+") or bool(found and int(found["n"] or found["least"] or 0))


def _check_token(spec: dict[str, Any], token: dict, nlp: "Language") -> Iterator[str]:
    """spec: the token's pattern, its names in capitals."""
    if len(spec) < len(token):
        raise ValueError(f"{json.dumps(token)} names an attribute twice. Keep one of them.")
    op = spec.pop("OP", "1")
    _check_quantifier(op)
    if not spec:
        if op == "!":
            raise ValueError('{"OP": "!"} alone asks for no token at all, and never matches. Say which token is meant.')
        yield "a token without conditions matches any token."
    for name, value in spec.items():
        if name in NEVER_SET:
            raise ValueError(
                f"{name} is never set here: rules run on a blank pipeline, which has no entities, tags, lemmas or "
                "sentences. Ask for TEXT, LOWER, NORM, SHAPE, LENGTH or an IS_ or LIKE_ flag instead."
            )
        if name == "_":
            _check_extensions(value)
        elif name == "LENGTH":
            _check_length(value)
        elif name in FLAGS:
            if value not in (0, 1) or isinstance(value, float):
                raise ValueError(f"{name} is {json.dumps(value)} and must be true or false.")
        elif name in TEXTS:
            yield from _check_text(name, value, nlp)
        else:
            raise ValueError(
                f"{name} is nothing that a token has. Known are {', '.join((*TEXTS, 'LENGTH', *FLAGS))}, OP and _."
            )
    for pair in NEVER_BOTH:
        if all(spec.get(name) for name in pair):
            raise ValueError(f"no token is {pair[0]} and {pair[1]} at once. Leave one of them out.")
    yield from _check_together(spec, nlp)


def _check_quantifier(op: Any) -> None:
    found = QUANTIFIER.fullmatch(op) if isinstance(op, str) else None
    if op in ("1", "!", "?", "*", "+"):
        return
    if not found or (found["n"] is None and not found["least"] + found["most"]):
        raise ValueError(f"OP is {json.dumps(op)}; known are !, ?, *, +, {{n}}, {{n,m}}, {{n,}} and {{,m}}.")
    most = found["most"] if found["n"] is None else found["n"]
    if most and int(most) == 0:
        raise ValueError(f"OP {op} asks for the token 0 times. Leave the token out, or negate it with !.")
    if most and found["n"] is None and int(found["least"] or 0) > int(most):
        raise ValueError(f"OP {op} asks for more than it allows. Write the smaller number first.")


def _check_extensions(value: Any) -> None:
    from spacy.tokens import Token

    if not isinstance(value, dict) or not value:
        raise ValueError(f"_ is {json.dumps(value)}; expected an object of extension attributes.")
    for name in value:
        if not Token.has_extension(name):
            raise ValueError(f"there is no extension attribute '{name}' in a blank pipeline. Leave it out.")


def _check_length(value: Any) -> None:
    """RAISES (ValueError): no word has such a number of characters."""
    wanted = {name.upper(): part for name, part in value.items()} if isinstance(value, dict) else {"==": value}
    if unknown := wanted.keys() - COMPARE.keys():
        raise ValueError(f"LENGTH knows no {min(unknown)}; known are {', '.join(COMPARE)}.")
    numbers = []
    for name, part in wanted.items():
        if (name in ("IN", "NOT_IN")) != isinstance(part, list):
            raise ValueError(f"LENGTH {name} is {json.dumps(part)}; IN and NOT_IN take a list, the others a number.")
        numbers += part if isinstance(part, list) else [part]
    if not all(isinstance(n, int if n is value else (int, float)) and not isinstance(n, bool) for n in numbers):
        raise ValueError(f"LENGTH is {json.dumps(value)}; expected a whole number, or comparisons with numbers.")
    near = {1, *(int(n) + step for n in numbers for step in (-1, 0, 1))}
    if not any(all(COMPARE[name](n, part) for name, part in wanted.items()) for n in near if n >= 1):
        raise ValueError(f"no token has a LENGTH of {json.dumps(value)}. A token has 1 character or more.")


def _check_text(name: str, value: Any, nlp: "Language") -> Iterator[str]:
    """What is doubtful about a condition on a string. RAISES (ValueError): no token meets it."""
    if isinstance(value, str):
        yield from _check_values(name, "", [value], nlp)
        return
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {json.dumps(value)} and must be a string, or an object such as {{'IN': [...]}}.")
    if not value:
        yield f"{name} with an empty object matches any token."
    for key, part in value.items():
        kind = key.upper()
        if kind == "REGEX" or re.fullmatch("FUZZY[1-9]?", kind):
            inner = {inner.upper(): strings for inner, strings in part.items()} if isinstance(part, dict) else {}
            if isinstance(part, dict) and (not inner or inner.keys() - {"IN", "NOT_IN"}):
                raise ValueError(f"{name} {kind} is {json.dumps(part)}; expected a string, or IN or NOT_IN.")
            for strings in inner.values() if inner else ([part],):
                _check_strings(f"{name} {kind}", strings)
                if kind == "REGEX":
                    yield from _check_regexes(name, strings)
        elif kind in SETS:
            _check_strings(f"{name} {kind}", part)
            if kind == "IS_SUPERSET" and len(set(part)) > 1:
                raise ValueError(f"{name} IS_SUPERSET asks one token to have several values at once. Use IN.")
            yield from _check_values(name, kind, part, nlp)
        else:
            raise ValueError(
                f"{name} knows no {json.dumps(key)}, so that spaCy would leave it out; known are REGEX, FUZZY, "
                f"FUZZY1 to FUZZY9, {', '.join(SETS)}."
            )


def _check_strings(place: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError(f"{place} is {json.dumps(value)}; expected a list of strings.")
    if not value:
        raise ValueError(f"{place} is an empty list. Fill it, or leave the condition out.")


def _check_values(name: str, kind: str, values: Sequence[str], nlp: "Language") -> Iterator[str]:
    """RAISES (ValueError): no token has any of these values; also of NOT_IN, which then excludes nothing."""
    faults = {value: _fault(name, value, nlp) for value in values}
    found = [fault for fault in faults.values() if fault]
    if len(found) == len(faults):
        raise ValueError(f"{name} {kind}{' ' * bool(kind)}can match nothing: {found[0]}")
    yield from found
    if name in ("ORTH", "TEXT", "LOWER"):
        for value in values:
            words = [token.text for token in make_doc(nlp, value)]
            if len(words) > 1 and not faults[value]:
                parts = ", ".join(map(repr, words))
                yield f"{name} {value!r}: the tokenizer makes {parts} of it. Write a pattern for each token."


def _fault(name: str, value: str, nlp: "Language") -> str:
    """Why no token of the pipeline has this value; "": one may have it."""
    from spacy.attrs import IDS
    from spacy.tokenizer import Tokenizer

    if not value:
        return "an empty string is no token."
    is_split = isinstance(nlp.tokenizer, Tokenizer)  # others may join words
    if name != "SHAPE" and is_split and any(map(str.isspace, value)) and not value.isspace():
        return f"{value!r} has white space, and tokens end at it. Write a pattern for each word."
    if name == "SHAPE":
        is_long = any(value[i : i + 5] == value[i] * 5 for i in range(len(value) - 4))
        is_own = any(char.isdigit() or (char.isalpha() and char not in "Xxd") for char in value)
        if value != "LONG" and (is_long or is_own):
            return f"{value!r} is no shape: it has X, x and d for letters and digits, four in a row at most."
        return ""
    if name in ("ORTH", "TEXT"):
        return ""
    own = nlp.vocab.lex_attr_getters[IDS[name]](value)
    if own == value or (name == "NORM" and value in _norms(nlp)):
        return ""
    if name in ("LOWER", "NORM"):
        return f"{value!r} has capitals, which {name} has not. Write {own!r}, or ask for TEXT."
    return f"{value!r} is no {name}: that is {own!r}."


def _norms(nlp: "Language") -> set[str]:
    """The norms that the language gives to words of its own, such as "January" to "Jan."."""
    from spacy.attrs import NORM
    from spacy.lang.norm_exceptions import BASE_NORMS

    rules = getattr(nlp.tokenizer, "rules", None) or {}
    return {*BASE_NORMS.values(), *(part[NORM] for parts in rules.values() for part in parts if NORM in part)}


def _check_regexes(name: str, regexes: Sequence[str]) -> Iterator[str]:
    """RAISES (ValueError): one is none, or all are mere strings that no token has."""
    faults = []
    for regex in regexes:
        try:
            re.compile(regex)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{name} REGEX {regex!r} is no regular expression: {error}.") from None
        if not regex:
            yield f"{name} REGEX '' matches any token."
        plain = PLAIN.fullmatch(regex)
        literal = plain[1] if plain else NOT_LITERAL.sub("", regex)
        if "(?" in literal:
            continue
        if name == "LOWER" and literal != literal.lower():
            why = f"{name} REGEX {regex!r} has capitals, which LOWER has not. Write it in small letters."
        elif any(map(str.isspace, literal)) and not literal.isspace():
            why = f"{name} REGEX {regex!r} has white space, and tokens end at it. Write a pattern for each word."
        else:
            continue
        if plain:
            faults.append(why)
        yield why
    if len(faults) == len(regexes):
        raise ValueError(faults[0])


def _check_together(spec: dict[str, Any], nlp: "Language") -> Iterator[str]:
    """RAISES (ValueError): a token's conditions exclude each other: none of the few words that it names meets them."""
    names = [name for name in ("ORTH", "TEXT", "LOWER") if name in spec]
    if not names or len(spec) < 2 or spec.keys() & {"NORM", "_"}:
        return
    value = spec[names[0]]
    chosen = value if isinstance(value, dict) else {"IN": [value]}
    words = next((part for key, part in chosen.items() if key.upper() in ("IN", "IS_SUBSET", "INTERSECTS")), None)
    if words is None:
        return
    is_all = names[0] != "LOWER"
    if not is_all:
        is_all = all(word.upper() == word.lower() for word in words)
        words = [form for word in words for form in (word, word.upper(), word.title(), word.capitalize())]
    if not any(_matches([spec], word, space, nlp) for word in words for space in (True, False)):
        why = f"the conditions {json.dumps(spec)} exclude each other. Drop one of them."
        if is_all:
            raise ValueError(why)
        yield f"perhaps {why}"


def _matches(pattern: list[dict], word: str, space: bool, nlp: "Language") -> bool:
    from spacy.matcher import Matcher
    from spacy.tokens import Doc

    if not word:
        return False
    matcher = Matcher(nlp.vocab, validate=False)
    matcher.add("rule", [pattern])
    return bool(matcher(Doc(nlp.vocab, words=[word], spaces=[space])))


def _try(pattern: list[dict], nlp: "Language") -> None:
    """RAISES (ValueError): spaCy cannot run the pattern."""
    try:
        _matches(pattern, "word", True, nlp)
    except Exception as error:  # of whatever kind: an error while texts are annotated would cost them
        raise ValueError(f"spaCy cannot use the pattern: {' '.join(str(error).split())}") from None
