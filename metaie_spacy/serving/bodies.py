"""What goes over the wire: bodies of requests and answers, with examples for OpenAPI."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr, WithJsonSchema

# Checked by the schema's own reader, whose messages name the place and the cure.
Labels = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
                {"type": "object", "minProperties": 1},
            ]
        }
    ),
]
Share = Annotated[Any, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
Switch = Annotated[Any, WithJsonSchema({"type": "boolean"})]
TEXT = "Ada Lovelace joined Acme in London."
EXAMPLES = [
    {"text": TEXT, "labels": ["person", "city"]},
    {"texts": [TEXT, "Marie Curie moved to Paris."], "labels": {"PER": "person"}, "threshold": 0.6},
    {
        "text": TEXT,
        "schema": {
            "labels": {"PERSON": "person", "ORG": "organization"},
            "links": {"works_for": {"head": "PERSON", "query": "employer", "tail": "ORG"}},
        },
    },
]


class Extract(BaseModel):
    """One text or many, and what is asked of all of them."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": EXAMPLES})

    text: StrictStr | None = Field(None, description="One text")
    texts: list[StrictStr] | None = Field(None, description="Several texts")
    labels: Labels = Field(None, description='Names, or a mapping as in a schema: {"DOB": "date of birth"}')
    schema_: StrictStr | dict[str, Any] | None = Field(
        None, alias="schema", description="The name of a schema of this server, or a schema itself, with links or not"
    )
    threshold: Share = Field(None, description="The least score of a span")
    link_threshold: Share = Field(None, description="The least score of a link")
    flat: Switch = Field(None, description="Whether of overlapping spans the best one is kept")
    model: StrictStr | None = Field(None, description="One of this server's models; without it, the first")
    adapter: StrictStr | None = Field(
        None, description="One of the model's adapters; alone, it is asked its own labels"
    )


class Option(BaseModel):
    """The option of an attribute that a span has."""

    option: str
    score: float


class Span(BaseModel):
    """A span: characters, end exclusive. `answer`: it answers a link, and is no span of a label that was asked."""

    model_config = ConfigDict(extra="forbid")

    start: int
    end: int
    text: str
    label: str
    score: float | None
    answer: bool = False
    attributes: dict[str, Option] = {}


class Link(BaseModel):
    """A link between two spans, by their numbers in `spans`."""

    head: int
    label: str
    tail: int
    score: float


class Answer(BaseModel):
    """What was found in a text; links and records only where links were asked."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"spans": [{"start": 0, "end": 12, "text": TEXT[:12], "label": "person", "score": 0.98}]}]
        },
    )

    spans: list[Span]
    links: list[Link] = []
    records: list[dict[str, Any]] = []
    asked: list[str] | None = Field(
        None, description="The labels that were asked; left out where all were, those below others too"
    )


class Answers(BaseModel):
    """What was found in each of several texts, in their order."""

    model_config = ConfigDict(extra="forbid")

    results: list[Answer]


class Reason(BaseModel):
    """Why a request is not answered: a word for programs, and place, value and cure for people."""

    code: str
    message: str


class Error(BaseModel):
    """The body of every answer that is none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"error": {"code": "malformed", "message": 'Give either "text", a string, or "texts".'}}]
        }
    )

    error: Reason


class Model(BaseModel):
    """A model: its version, the names of its adapters, and what texts are asked that bring nothing."""

    version: str
    adapters: list[str]
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class Schemas(BaseModel):
    """What may be asked for by name."""

    schemas: dict[str, dict[str, Any]]
    models: dict[str, Model]


class Health(BaseModel):
    """Whether requests are taken: "ok" or "stopping"."""

    status: str
