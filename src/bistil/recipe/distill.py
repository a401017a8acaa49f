"""The part of a recipe of general distillation."""

from typing import Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from bistil.recipe.parts import Part
from bistil.recipe.settings import typed

_FOR_EMBEDDINGS = {"embeddings", "prompts", "vector_weight", "similarity_weight"}


class Distill(Part):
    """General distillation: the student learns the teacher's states on unlabelled text."""

    tokens: PositiveInt = Field(default=1_000_000, description="how long to distill; more is better and slower")
    sequence_length: int = Field(default=64, ge=8, description="tokens in a block of text")
    batch_size: PositiveInt | None = Field(
        default=None, description="blocks of a step, null: 8; with embeddings lines, null: 32"
    )
    learning_rate: PositiveFloat = Field(default=1e-3, description="peak learning rate, decays to 0")
    embeddings: bool = Field(
        default=False,
        description="make a sentence embedding model: learn from whole lines, with the teacher's prompts",
    )
    prompts: dict[str, str] | None = Field(
        default=None,
        description="with embeddings, what goes before texts, by name; by default as the teacher says",
    )
    vector_weight: NonNegativeFloat = Field(
        default=1.0, description="with embeddings, what the loss on the vectors counts"
    )
    similarity_weight: NonNegativeFloat = Field(
        default=0.0, description="with embeddings, what the loss on the similarities in a batch counts"
    )
    attention: Literal["mse", "kl", "relations", "none"] = Field(
        default="mse", description="loss on attention probabilities (mse, kl), or on MiniLMv2's relations, or none"
    )
    hidden_weight: NonNegativeFloat = Field(default=1.0, description="what the loss on hidden states counts")
    attention_weight: NonNegativeFloat = Field(default=1.0, description="what the loss on attention counts")
    matched_layers: Literal["all", "last"] = Field(
        default="all", description="layers whose states are matched to the teacher's: all, or the last"
    )
    mlm_probability: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="share of the input tokens that are masked, null: 0.15, or 0 with embeddings",
    )
    freeze_embeddings: bool = Field(default=False, description="leave the token embeddings as the teacher's")
    temperature: PositiveFloat | None = Field(
        default=None, description="draw languages by tokens^(1/temperature); null: all equally, in turn"
    )
    stream: bool = Field(default=False, description="tokenise while training, for text larger than the disk")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="further transformers.TrainingArguments, such as report_to"
    )

    @property
    def batch(self) -> int:
        """How many blocks a step has, or lines: these are shorter, so that more of them go into one."""
        return self.batch_size or (32 if self.embeddings else 8)

    @property
    def masked(self) -> float:
        """The share of the input tokens that are masked; lines are learned as they are, without gaps."""
        if self.mlm_probability is None:
            return 0.0 if self.embeddings else 0.15
        return self.mlm_probability

    @property
    def known(self) -> dict[str, Any]:
        """The settings by which a result is found again; earlier releases knew none for embeddings."""
        settings = self.model_dump(exclude={"prompts"} if self.embeddings else _FOR_EMBEDDINGS)
        return {**settings, "batch_size": self.batch, "mlm_probability": self.masked}

    @field_validator("arguments")
    @classmethod
    def _truths(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """What no field says the type of: true and false, for `no` is a language, and numbers such as 1e-8."""
        return {name: typed(value) for name, value in arguments.items()}

    @model_validator(mode="after")
    def _matches_something(self) -> Self:
        states = self.hidden_weight or (self.attention_weight and self.attention != "none")
        if not states and not (self.embeddings and (self.vector_weight or self.similarity_weight)):
            raise ValueError("nothing of the teacher is matched: give hidden_weight or attention_weight")
        if self.prompts is not None and not self.embeddings:
            raise ValueError("prompts are for embeddings: set embeddings to true, or leave them out")
        if self.embeddings and (self.stream or self.temperature is not None):
            given = "stream" if self.stream else "temperature"
            raise ValueError(
                f"{given} is for packed blocks, and embeddings learns from whole lines: leave out one"
            )
        if self.stream and self.temperature is not None:
            raise ValueError("streamed languages take turns: leave out temperature, or stream")
        return self
