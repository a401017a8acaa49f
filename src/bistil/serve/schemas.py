"""What requests and answers look like, by task: the types that are checked, and that OpenAPI shows."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from bistil.serve.limits import Limits
from bistil.serve.served import Served

R = TypeVar("R")


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str = Field(examples=["inputs.0: String should have at most 20000 characters."])


class State(BaseModel):
    """Whether the server is there."""

    status: Literal["ok"]


class Model(BaseModel):
    """A model that is served."""

    name: str
    task: str
    title: str
    labels: list[str]
    languages: list[str]
    engine: str
    megabytes: float
    pair: bool
    examples: list[dict[str, Any]]


class Models(BaseModel):
    """The models that are served."""

    models: list[Model]


class Results(BaseModel, Generic[R]):
    """One result for each input, in their order; offsets count characters (Unicode code points) from 0."""

    model: str
    milliseconds: float = Field(description="from the request to its answer, the wait for others included")
    results: list[R]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")


def request_type(served: Served, limits: Limits) -> type[BaseModel]:
    """The body of a request to a model: ``{"inputs": […]}``."""
    text = Annotated[str, Field(max_length=limits.characters)]

    word = Annotated[str, Field(min_length=1, pattern=r"^[^\t\n\r]*$")]  # as a treebank can have it

    def row(name: str, **columns: Any) -> Any:
        fields: dict[str, Any] = {key: (kind, ...) for key, kind in columns.items()}
        return create_model(name, __base__=_Row, **fields)

    def short(words: list[str]) -> list[str]:
        if sum(map(len, words)) > limits.characters:
            raise ValueError(f"The words should have at most {limits.characters} characters together")
        return words

    task, kinds = served.model.learned, {str: text, list[str]: Annotated[list[word], AfterValidator(short)]}
    item: Any = (
        row("Row", **{name: kinds[kind] for name, kind in task.row.items()}) if task.row else dict[str, Any]
    )
    several = Field(min_length=1, max_length=limits.texts)
    inputs: Any = Annotated[list[item], several]
    if task.reads_lines(()) and not served.pair:
        if len(task.row) > 1:  # another thing than a text, and no request has both
            inputs = Annotated[list[text], several] | inputs
        else:
            inputs = Annotated[list[text | item], several]
    example = [one["input"] for one in served.facts["examples"]]
    extra = {"examples": [{"inputs": example}]}
    name = f"{served.name}_request"
    config = ConfigDict(extra="forbid", json_schema_extra=extra)  # type: ignore[typeddict-item]
    return create_model(name, __config__=config, inputs=(inputs, ...))


def result_type(served: Served) -> Any:
    """What a model returns."""
    returned: Any = served.model.learned.returns
    return Results[returned]
