"""What codes of common annotation schemes stand for, so that a model that reads words can be asked "PER" or "DOB"."""

import functools
import re

CODE = re.compile(r"[A-Z][A-Z0-9]*(?:[_\- ][A-Z0-9]+)*")
MOST = 40  # characters: what is longer is a sentence in capitals
SHORT = 5  # letters: a single word of more is a word, and no abbreviation
PREFIXES = ("B-", "I-", "NER_", "ENT_")

# Of CoNLL-2003, ACE, OntoNotes, WNUT, CrossNER, medical and chemical corpora, records of patients, forms and invoices.
CODES = {
    "PER": "person", "PERS": "person", "PRS": "person", "PSN": "person", "PERSON": "person", "ORG": "organization",
    "ORGN": "organization", "LOC": "location", "LOCN": "location", "GEO": "location", "PLC": "place",
    "PLACE": "place", "GPE": "country, city or state", "FAC": "facility",
    "NORP": "nationality, religion or political group", "NAT": "nationality", "MISC": "miscellaneous", "EVT": "event",
    "EVE": "event", "EVENT": "event", "PRO": "product", "PRD": "product", "PROD": "product", "WOA": "work of art",
    "CW": "creative work", "LAW": "law", "LAN": "language", "LANG": "language", "DATE": "date", "DAT": "date",
    "TIME": "time", "TIM": "time", "DUR": "duration", "YR": "year", "MNY": "amount of money",
    "MONEY": "amount of money", "AMT": "amount", "CUR": "currency", "CCY": "currency", "PCT": "percentage",
    "PERC": "percentage", "QTY": "quantity", "QUANT": "quantity", "NUM": "number", "CARD": "number",
    "CARDINAL": "number", "ORDINAL": "ordinal number", "CORP": "corporation", "COMP": "company", "GRP": "group",
    "GROUP": "group", "BRD": "brand", "VEH": "vehicle", "WEA": "weapon", "CTRY": "country", "CNTRY": "country",
    "COU": "country", "CITY": "city", "STATE": "state", "ELEC": "election", "POL": "politician",
    "PTY": "political party", "PARTY": "political party", "TITLE": "title", "TTL": "title", "JOB": "job title",
    "OCC": "occupation", "PROF": "profession", "AGE": "age", "SEX": "sex", "DOB": "date of birth",
    "DOD": "date of death", "POB": "place of birth", "ADDR": "address", "ADR": "adverse drug reaction",
    "TEL": "phone number", "PHONE": "phone number", "PHN": "phone number", "MAIL": "email address",
    "EMAIL": "email address", "URL": "web address", "ZIP": "postal code", "ID": "identification number",
    "SSN": "social security number", "IBAN": "bank account number", "CHEM": "chemical", "CHM": "chemical",
    "DRUG": "drug", "MED": "medication", "DOS": "dosage", "DOSE": "dose", "FREQ": "frequency", "DIS": "disease",
    "DISO": "disorder", "DISEASE": "disease", "DX": "diagnosis", "SYM": "symptom", "SYMP": "symptom", "SX": "symptom",
    "TX": "treatment", "TRT": "treatment", "PROC": "procedure", "TEST": "test", "ANAT": "body part",
    "ADE": "adverse effect", "GENE": "gene", "PROT": "protein", "PRT": "protein", "SPEC": "species",
    "ORGM": "organism", "CL": "cell line", "ALGO": "algorithm", "ALG": "algorithm", "LIB": "library",
    "OS": "operating system", "HW": "hardware", "SW": "software", "VER": "version", "METRIC": "metric",
    "FLD": "field of study", "UNI": "university", "UNIV": "university", "CONF": "conference", "BND": "band",
    "ALB": "album", "SNG": "song", "GNR": "genre", "DIR": "director", "CHAR": "character", "RAT": "rating",
    "CUIS": "cuisine", "DISH": "dish", "INST": "instrument", "AWD": "award", "SKU": "product number",
    "INV": "invoice number", "REF": "reference number", "HQ": "headquarters",
}  # fmt: skip


@functools.lru_cache(maxsize=10_000)
def spelled_out(query: str) -> str | None:
    """What a code stands for: of the table, or a word in capitals as it is written else; None: it is no code.

    "PER" -> "person", "WORK_OF_ART" -> "work of art", "B-LOC" -> "location"; "DNA" and "person" -> None.
    """
    text = query.strip()
    for prefix in PREFIXES:
        text = text.removeprefix(prefix)
    if len(text) > MOST or not CODE.fullmatch(text):
        return None
    words = " ".join(re.split(r"[_\- ]", text))
    if words in CODES:
        return CODES[words]
    is_word = " " in words or (len(words) > SHORT and words.isalpha())
    return words.lower() if is_word else None
