"""What a router has learned from rows with gold spans: pools, effects of label sets, held-out scores; and its files."""

import json
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from ..data.files import replacing
from ..data.jsonl import jsonl, parse_json
from .features import PLAIN, Facts, expected_errors
from .outcomes import Outcomes
from .pools import Pools

FORMAT = "metaie router 1"
FILES = ("router.json", "arrays.safetensors", "exemplars.jsonl")
MOST_BYTES = 2**30  # of each file
LabelSet = tuple[str, ...]


class Fitted(NamedTuple):
    """What `fit` makes of rows, for one small model and one large model.

    weights (str): hash of the small model's. llm (str): the large model's name. sets (list[LabelSet]): the S label sets
    of the rows. effects (ndarray): what asking about a text of each set gains on average, float64 (S,). weak
    (list[list[str]]): labels of each set that the large model answers better. reliable (ndarray): whether the
    neighbours' vote says more than the set alone, bool (S,). base (ndarray): share of each set's exemplars that are the
    large model's, float64 (S,). learned (dict): "features", "mean", "scale", "coef", "intercept" and "kind".
    pools (Pools): exemplars. held (dict): every column of `Table` for the rows, of each made without the row itself,
    float64 (N,). outcomes (Outcomes): of the rows.
    """

    weights: str
    llm: str
    sets: list[LabelSet]
    effects: np.ndarray
    weak: list[list[str]]
    reliable: np.ndarray
    base: np.ndarray
    learned: dict[str, Any]
    pools: Pools
    held: dict[str, np.ndarray]
    outcomes: Outcomes

    def places(self, labels: Sequence[LabelSet]) -> np.ndarray:
        """The number of the label set of each text, -1 for one that the rows did not have."""
        known = {names: number for number, names in enumerate(self.sets)}
        return np.array([known.get(names, -1) for names in labels], dtype=np.int64)

    def known_places(self, labels: Sequence[LabelSet]) -> np.ndarray:
        """The same. RAISES (ValueError): the rows did not have one of these label sets."""
        at = self.places(labels)
        strange = [names for names, number in zip(labels, at) if names and number < 0]
        if strange:
            names = ", ".join(strange[0])
            there = "; ".join(", ".join(own[:6]) + (" ..." if len(own) > 6 else "") for own in self.sets[:5])
            raise ValueError(
                f"The router's pools have no texts that were asked these labels: {names}. They have: {there}. Run "
                "'metaie route fit' with rows of this label set, or take a policy that needs no exemplars, such as "
                "'metaie-spacy.errors.v1'."
            )
        return at


class Table(dict):
    """Columns of figures on N texts by name, float64 (N,) each, made when they are first looked up.

    facts (Facts): of the texts. fitted (Fitted | None): None: only the columns of `features.PLAIN` can be made.
    near (ndarray | None): the neighbours, once a column needed them.
    """

    def __init__(self, facts: Facts, fitted: Fitted | None = None):
        super().__init__()
        self.facts, self.fitted, self.near = facts, fitted, None

    def __missing__(self, name: str) -> np.ndarray:
        if name in PLAIN:
            self[name] = PLAIN[name](self.facts)
        else:
            self[name] = LEARNED[name](self, need(self.fitted, f"the figure '{name}'"))
        return self[name]


def need(fitted: Fitted | None, what: str) -> Fitted:
    """RAISES (ValueError): the router was not fitted."""
    if fitted is None:
        raise ValueError(
            f"The router needs rows with gold spans and the large model's answers for {what}: run 'metaie route fit' "
            'and set its output as "fitted" of [components.metaie_router].'
        )
    return fitted


def _effect(table: Table, fitted: Fitted) -> np.ndarray:
    at = fitted.places(table.facts.labels)
    return np.where(at < 0, fitted.effects.mean() if len(fitted.effects) else 0.0, fitted.effects[at])


def _vote(table: Table, fitted: Fitted) -> np.ndarray:
    fitted.known_places(table.facts.labels)
    return table["any_vote"]


def _any_vote(table: Table, fitted: Fitted) -> np.ndarray:
    table.near = fitted.pools.neighbours(table.facts.states)
    return fitted.pools.large[table.near].mean(1).astype(np.float64)


def _reliable(table: Table, fitted: Fitted) -> np.ndarray:
    at = fitted.known_places(table.facts.labels)
    return np.where(fitted.reliable[at], table["vote"], fitted.base[at])


def _weak(table: Table, fitted: Fitted) -> np.ndarray:
    at = fitted.places(table.facts.labels)
    only = [names if i < 0 else fitted.weak[i] for i, names in zip(at, table.facts.labels)]
    return expected_errors(table.facts, only)


def _learned(table: Table, fitted: Fitted) -> np.ndarray:
    own = fitted.learned
    columns = np.stack([table[name] for name in own["features"]], 1)
    return (columns - own["mean"]) / own["scale"] @ np.array(own["coef"]) + own["intercept"]


LEARNED: dict[str, Callable[[Table, Fitted], np.ndarray]] = {
    "effect": _effect,
    "vote": _vote,
    "any_vote": _any_vote,
    "reliable": _reliable,
    "weak": _weak,
    "learned": _learned,
}


def to_files(fitted: Fitted) -> dict[str, bytes]:
    """Name -> content of every file; only numbers and JSON, no pickle."""
    from safetensors.numpy import save

    pools = fitted.pools
    content = {
        "format": FORMAT,
        **{name: getattr(fitted, name) for name in ("weights", "llm", "sets", "weak", "learned")},
        "k": pools.k,
    }
    arrays = {
        **{name: getattr(fitted, name) for name in ("effects", "reliable", "base")},
        **{f"pools.{name}": getattr(pools, name) for name in ("states", "large", "of_set")},
        **{f"held.{name}": column for name, column in fitted.held.items()},
        **{f"outcomes.{name}": getattr(fitted.outcomes, name) for name in Outcomes._fields},
    }
    if pools.projection is not None:
        arrays["pools.projection"] = pools.projection
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    texts = json.dumps(content, indent=1, ensure_ascii=False), save(arrays), jsonl(pools.rows)
    return {name: text.encode("utf8") if isinstance(text, str) else text for name, text in zip(FILES, texts)}


def from_files(files: Mapping[str, bytes], source: str) -> Fitted:
    """What `to_files` made. source (str): named in errors. RAISES (ValueError): it is damaged, or something else."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content, arrays = parse_json(files[FILES[0]]), load(files[FILES[1]])
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not '{FORMAT}'")
        rows = [parse_json(line) for line in files[FILES[2]].split(b"\n") if line]
        pools = Pools(
            *(arrays[f"pools.{name}"] for name in ("states", "large", "of_set")),
            arrays.get("pools.projection"),
            int(content["k"]),
            rows,
        )
        fitted = Fitted(
            content["weights"],
            content["llm"],
            [tuple(names) for names in content["sets"]],
            arrays["effects"],
            content["weak"],
            arrays["reliable"],
            arrays["base"],
            content["learned"],
            pools,
            {name.removeprefix("held."): column for name, column in arrays.items() if name.startswith("held.")},
            Outcomes(*(arrays[f"outcomes.{name}"] for name in Outcomes._fields)),
        )
        _check_sizes(fitted)
        return fitted
    except (KeyError, TypeError, AttributeError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"{source} holds no fitted router, or a damaged one: {error}. Run 'metaie route fit'."
        ) from None


def _check_sizes(fitted: Fitted) -> None:
    """RAISES (ValueError): what belongs together is not of one size."""
    pools, line, n = fitted.pools, fitted.learned, len(fitted.outcomes.gold)
    same = [
        {len(part) for part in (pools.states, pools.large, pools.of_set, pools.rows)},
        {len(part) for part in (fitted.sets, fitted.effects, fitted.weak, fitted.reliable, fitted.base)},
        {len(line[name]) for name in ("features", "mean", "scale", "coef")},
        {n, *map(len, fitted.held.values()), *map(len, fitted.outcomes)},
    ]
    if any(len(sizes) > 1 for sizes in same) or pools.states.ndim != 2 or pools.k < 1:
        raise ValueError("its parts are not of one size")
    if len(pools.of_set) and not 0 <= pools.of_set.min() <= pools.of_set.max() < len(fitted.sets):
        raise ValueError("its exemplars are of label sets that it does not hold")


def write_fitted(fitted: Fitted, folder: str | Path) -> None:
    """Write the files as a folder, all or nothing."""
    with replacing(folder) as new:
        for name, content in to_files(fitted).items():
            (new / name).write_bytes(content)


def read_folder(folder: str | Path) -> dict[str, bytes]:
    """The files of a folder. RAISES (ValueError): one is missing, is a link out of it, or is too large."""
    from ..model.damage import check_inside, read_file

    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"'{folder}' is no fitted router: it lacks {', '.join(missing)}. Run 'metaie route fit'.")
    return {name: read_file(check_inside(folder, name), MOST_BYTES) for name in FILES}


def read_fitted(folder: str | Path) -> Fitted:
    """What `write_fitted` wrote. RAISES (ValueError): it is no such folder, or damaged."""
    return from_files(read_folder(folder), f"'{folder}'")
