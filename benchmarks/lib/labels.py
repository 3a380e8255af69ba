"""Labels that texts are asked where it matters only how many there are."""

FEW = ["person", "organization", "location", "date", "amount of money", "product", "event", "job title"]
MANY = (
    "person, organization, location, date, country, city, company, team, event, product, nationality, profession, "
    "amount of money, number, time, score, sport, stadium, coach, politician, political party, government agency, "
    "law, treaty, weapon, vehicle, disease, drug, body part, animal, plant, food, drink, book, film, song, album, "
    "band, award, university, school, newspaper, website, language, religion, currency, stock exchange, percentage, "
    "age, distance, temperature, river, mountain, island, sea, building, street, airport, army, war, crime, court, "
    "spokesman, date of birth"
).split(", ")
