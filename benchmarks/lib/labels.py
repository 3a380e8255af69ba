"""Labels that texts are asked where it matters only how many there are."""

import json
from collections import Counter
from pathlib import Path

FEW = ["person", "organization", "location", "date", "amount of money", "product", "event", "job title"]
MANY = (
    "person, organization, location, date, country, city, company, team, event, product, nationality, profession, "
    "amount of money, number, time, score, sport, stadium, coach, politician, political party, government agency, "
    "law, treaty, weapon, vehicle, disease, drug, body part, animal, plant, food, drink, book, film, song, album, "
    "band, award, university, school, newspaper, website, language, religion, currency, stock exchange, percentage, "
    "age, distance, temperature, river, mountain, island, sea, building, street, airport, army, war, crime, court, "
    "spokesman, date of birth"
).split(", ")


def frequent_labels(path: Path, number: int) -> list[str]:
    """The most frequent labels of a file of annotation rows, each once whatever its case.

    RAISES (ValueError): there are fewer.
    """
    counts: Counter[str] = Counter()
    with path.open(encoding="utf8") as lines:
        for line in lines:
            counts.update({" ".join(span["label"].lower().split()) for span in json.loads(line)["spans"]})
    if len(counts) < number:
        raise ValueError(f"{path} has {len(counts)} labels, not {number}. Ask fewer.")
    return [label for label, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:number]]
