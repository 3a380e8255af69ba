"""Rows that are made up, and faults that are planted in them."""

import json
import random

from metaie_spacy.curate.names import GENDERS, make_name, read_names

PLACES = "London,Lagos,Amsterdam,Paris,Oslo,Bergen,Turin".split(",")
FIRMS = "Northwind Robotics,Contoso,Acme Paper,Blue Harbor,Kestrel Labs".split(",")
LABELS = ["person", "organization", "city"]


def row_of(i, origin, gender="female", source="made up"):
    """A text that names a person of an origin, a company and a city, and was asked for all three."""
    person, firm, city = make_name(origin, gender, i).full, FIRMS[i % 5], PLACES[i % 7]
    text = f"On day {i} {person} left {firm} and moved to {city} for good."
    spans = [
        {"start": text.index(words), "end": text.index(words) + len(words), "label": label}
        for words, label in zip((person, firm, city), LABELS)
    ]
    return {"id": f"r{i}", "text": text, "spans": spans, "asked": LABELS, "source": source, "teacher": "good"}


def rows_of_all(n):
    """Rows with names of all origins and genders in turn."""
    origins = list(read_names())
    return [row_of(i, origins[i % len(origins)], GENDERS[i // len(origins) % 2]) for i in range(n)]


def swap_labels(rows, origin, share, seed=0):
    """A share of the rows of an origin call the person an organization. RETURNS: the rows, ids of those changed."""
    origins = list(read_names())
    own = [i for i in range(len(rows)) if origins[i % len(origins)] == origin]
    chosen = set(random.Random(seed).sample(own, round(share * len(own))))
    changed = [
        row
        | {
            "spans": [
                {**span, "label": {"person": "organization"}.get(span["label"], span["label"])} for span in row["spans"]
            ]
        }
        if i in chosen
        else row
        for i, row in enumerate(rows)
    ]
    return changed, {rows[i]["id"] for i in chosen}


def at_random(row, rng, teacher):
    """The row as a teacher gives it who marks words by chance."""
    words = row["text"].split()
    spans = []
    for label in LABELS:
        word = rng.choice(words)
        start = row["text"].index(word)
        spans.append({"start": start, "end": start + len(word), "label": label})
    return row | {"spans": spans, "teacher": teacher, "id": f"{row['id']}-{teacher}"}


def careless(row, rng, teacher, share=0.1):
    """The row as a good teacher gives it, who overlooks a share of the spans."""
    return row | {
        "spans": [span for span in row["spans"] if rng.random() > share],
        "teacher": teacher,
        "id": f"{row['id']}-{teacher}",
    }


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf8")
    return path
