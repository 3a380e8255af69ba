"""What the tests of the router share: rows, and what a doc or a row says."""

PEOPLE = "Ada Lovelace,Marie Curie,Charles Babbage,Lena Voss,Ida Rhodes".split(",")
CITIES = "London,Lagos,Amsterdam,Paris,Oslo,Bergen,Turin".split(",")
LABELS = ["person", "place"]


def gold_row(i):
    """A text of its own with a person, a place and a year, which nobody asks for."""
    person, city, year = PEOPLE[i % 5], CITIES[i % 7], str(1800 + i)
    text = f"{person} flew to {city} in {year} with KLM, and the food was cold."
    found = ((person, "person"), (city, "place"), (year, "year"))
    spans = [{"start": text.index(word), "end": text.index(word) + len(word), "label": label} for word, label in found]
    return {"id": f"r{i}", "text": text, "spans": spans}


ROWS = [gold_row(i) for i in range(40)]
TEXTS = [row["text"] for row in ROWS]


def gold_of(row, labels=LABELS):
    return {(span["start"], span["end"], span["label"]) for span in row["spans"] if span["label"] in labels}


def spots(doc, key="metaie"):
    return {(span.start_char, span.end_char, span.label_) for span in doc.spans[key]}
