"""Phase 1, general distillation: the student learns the teacher's states on unlabelled text."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

from bistil.corpora.blocks import Rows
from bistil.corpora.masking import Masking
from bistil.corpora.mixed import MixedBlocks, held_out_batches
from bistil.corpora.sentences import MixedSentences, model_inputs
from bistil.corpora.streamed import StreamedBlocks
from bistil.errors import BistilError
from bistil.launch import processes
from bistil.models import families
from bistil.models.flops import forward_flops, matrix_rate
from bistil.models.states import StateReader, States
from bistil.models.students import Alignment
from bistil.runtime.pooling import Pooling
from bistil.sparse.switch import DeltaSwitch
from bistil.training import losses
from bistil.training.checkpoints import newest_checkpoint
from bistil.training.losscurve import LossCurve
from bistil.training.streamplace import STREAM, StreamPlace
from bistil.training.trainer import ResumableTrainer

# How much packed text a frozen teacher reads at once. Of 512 tokens it takes 66 ms in bfloat16 on two cores with
# AMX, of 2,048 four times 40. Checkpoints lie between readings, and SIGTERM waits for one: they are few steps.
_TOGETHER_TOKENS, _TOGETHER_STEPS = 2_048, 4


@dataclass(frozen=True)
class Objective:
    """Which states of the teacher a student is trained to match, and the weight of each.

    ``attention`` is the loss on attention probabilities, `attention_loss` ("mse") or `attention_kl` ("kl"), on
    MiniLMv2's "relations", or "none"; ``matched_layers`` is "all" aligned layers or the "last" alone. The
    embedding output is matched too. Example: ``Objective("relations", hidden_weight=0, matched_layers="last")``
    is MiniLMv2's. With ``pooling``, the teacher's, whole texts are learned, and their vectors can be matched, too,
    by `vector_loss` and `similarity_loss`.
    """

    attention: Literal["mse", "kl", "relations", "none"] = "mse"
    hidden_weight: float = 1.0
    attention_weight: float = 1.0
    matched_layers: Literal["all", "last"] = "all"
    pooling: Pooling | None = None
    vector_weight: float = 0.0
    similarity_weight: float = 0.0

    def readers(
        self, student: PreTrainedModel, teacher: PreTrainedModel, alignment: Alignment
    ) -> tuple[StateReader, StateReader]:
        """Readers of just those states of the two models that the loss needs."""
        first = 0 if self.matched_layers == "all" else len(alignment.layers) - 1
        sides = (
            (student, tuple(range(1, len(alignment.layers) + 1))[first:]),
            (teacher, alignment.layers[first:]),
        )
        readers = []
        for model, layers in sides:
            hidden = layers if self.hidden_weight else ()
            attended = layers if self.attention_weight and self.attention in ("mse", "kl") else ()
            related = layers if self.attention_weight and self.attention == "relations" else ()
            if self.pooling is not None:
                hidden = (*hidden, len(families.layers(model)))  # what is pooled comes last
            readers.append(StateReader(model, hidden, attention=attended, relations=related))
        return readers[0], readers[1]

    def loss(self, student: States, teacher: States, alignment: Alignment, mask: Tensor | None) -> Tensor:
        """The weighted sum over what is matched; ``mask`` [batch, tokens] is true for real tokens."""
        parts = []
        projection = None if alignment.projection is None else alignment.projection.to(student.hidden[0].device)
        if self.hidden_weight:
            matched = slice(None if self.pooling is None else -1)
            hidden = losses.hidden_loss(student.hidden[matched], teacher.hidden[matched], mask, projection)
            parts.append(self.hidden_weight * hidden)
        if student.attention:
            compare = losses.attention_kl if self.attention == "kl" else losses.attention_loss
            parts.append(self.attention_weight * compare(student.attention, _heads(teacher, alignment), mask))
        if student.relations:
            related = losses.relation_loss(student.relations, teacher.relations, mask)
            parts.append(self.attention_weight * related)
        if self.pooling is not None and (self.vector_weight or self.similarity_weight):
            assert mask is not None  # of whole texts
            found, wanted = (self.pooling(states.hidden[-1].float(), mask.long()) for states in (student, teacher))
            parts.append(self.vector_weight * losses.vector_loss(found, wanted, projection))
            parts.append(self.similarity_weight * losses.similarity_loss(found, wanted))
        return torch.stack(parts).sum()


class DistillationTrainer(ResumableTrainer):
    """Trains ``model`` to match a teacher's hidden states and attention, and its head by ``head_loss``.

    The loss is hidden + attention (+ head_loss, of both models' outputs and the batch, if given), weight 1 each
    by default (BiStil, sections 3.2 and 3.3). With ``switch`` the teacher has the delta
    of each batch's language applied. Where the objective pools, the inputs are rows of `sentence_rows`.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        teacher: PreTrainedModel,
        alignment: Alignment,
        objective: Objective | None = None,
        languages: Sequence[str] = (),
        switch: DeltaSwitch | None = None,
        head_loss: Callable[[Any, Any, Mapping[str, Tensor]], Tensor] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(model=model, **settings)
        self._objective, self._alignment = objective or Objective(), alignment
        self._languages, self._switch, self._head_loss = tuple(languages), switch, head_loss
        teacher.eval().requires_grad_(False).to(self.args.device)
        if self.args.bf16 and switch is None:  # deltas are added to what the weights are
            _hold_in_bfloat16(teacher)
        self._student, self._teacher = self._objective.readers(model, teacher, alignment)
        # batches that fit together: of blocks, all of one length and without the outputs of a head
        self._packed = head_loss is None and self._objective.pooling is None
        self._source: Iterator[Any] | None = None
        self._together = 1  # steps whose batches the teacher reads at once
        # a running mean of the loss by language; left on the device, for a GPU would be waited for in mid-step
        self.recent: dict[str, Tensor] = {}

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], *_: Any, **__: Any) -> Tensor:
        """The distillation loss of one batch, of one language where it says which."""
        inputs = dict(inputs)
        wanted: States | None = inputs.pop("wanted", None)
        name = self._language(inputs.pop("language", None))
        if wanted is None and name is not None and self._switch is not None:
            self._switch.to(name)
        loss = self._loss(inputs, model, wanted)
        value, name = loss.detach(), name or ""
        self.recent[name] = 0.9 * self.recent.get(name, value) + 0.1 * value
        return loss

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """The batches of an optimizer step; those of blocks with the teacher's states, as ``wanted``."""
        if self._packed and self._source is not epoch_iterator:
            self._source, self._batches = epoch_iterator, self._read_ahead(epoch_iterator)
        return super().get_batch_samples(self._batches if self._packed else epoch_iterator, num_batches, device)

    def may_pause(self, step: int) -> bool:
        """Not between steps whose batches were read together: a resumed run would not end in the same bits."""
        return step % self._together == 0

    def _read_ahead(self, batches: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Batches with the teacher's states, which it is asked for several batches at a time."""
        for first in batches:
            step = self.args.gradient_accumulation_steps
            self._together = steps_together(first["input_ids"].numel() * step)
            group = [first, *islice(batches, self._together * step - 1)]
            yield from self._with_states(group)

    def _with_states(self, batches: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Adds to each of the batches the teacher's states, if need be under the delta of its language."""
        together: dict[str | None, list[dict[str, Any]]] = {}
        for batch in batches:
            batch["language"] = self._language(batch.get("language"))
            together.setdefault(None if self._switch is None else batch["language"], []).append(batch)
        for name, own in together.items():
            if self._switch is not None and name is not None:
                self._switch.to(name)
            states = self._read_teacher({"input_ids": torch.cat([batch["input_ids"] for batch in own])})
            for batch, wanted in zip(own, states.split([len(batch["input_ids"]) for batch in own]), strict=True):
                batch["wanted"] = wanted
        return batches

    def _language(self, language: Tensor | str | None) -> str | None:
        """Its name: labelled batches say it by its code, blocks by its number."""
        return language if language is None or isinstance(language, str) else self._languages[int(language[0])]

    @torch.no_grad()
    def held_out(self, blocks: Mapping[str, Rows], masking: Masking) -> dict[str, float]:
        """Mean loss on each language's held-out blocks, masked the same way at every call."""
        losses, together = {}, 8 if self._objective.pooling is None else 32  # texts are compared with one another
        for language, rows in blocks.items():
            if self._switch is not None:
                self._switch.to(language)
            values = [
                float(self._loss({"input_ids": batch["input_ids"].to(self.args.device)}, self.model))
                for batch in held_out_batches(rows, masking, together, self.args.seed)
            ]
            losses[language] = sum(values) / len(values)
        return losses

    def _read_teacher(self, inputs: Mapping[str, Tensor]) -> States:
        with torch.no_grad(), self._autocast():
            return self._teacher(inputs)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.args.bf16)

    def _loss(self, inputs: dict[str, Tensor], model: Any, wanted: States | None = None) -> Tensor:
        """``model`` is the student as it is wrapped; ``wanted`` is the teacher's, read here if not before."""
        if self._objective.pooling is not None:
            inputs = model_inputs(inputs["input_ids"], self.model.config.pad_token_id or 0)
        mask = inputs["attention_mask"].bool() if "attention_mask" in inputs else None
        wanted = self._read_teacher(inputs) if wanted is None else wanted
        with self._autocast():
            found = self._student(inputs, model)
        loss = self._objective.loss(found, wanted, self._alignment, mask)
        if self._head_loss is not None:
            loss = loss + self._head_loss(found.outputs, wanted.outputs, inputs)
        if processes() > 1:  # DDP waits for a gradient of every weight, also of those behind the last attention
            loss = loss + 0.0 * found.outputs[0].sum()
        return loss


def _hold_in_bfloat16(model: nn.Module) -> None:
    """Casts the weights of products once, as mixed precision does at every pass where they are frozen."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.to(torch.bfloat16)


def steps_together(tokens: int) -> int:
    """Of how many steps a frozen teacher reads the packed text at once, by the tokens of a step: 4 of 512."""
    return max(1, min(_TOGETHER_TOKENS // tokens, _TOGETHER_STEPS))


def distill_encoder(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    alignment: Alignment,
    data: MixedBlocks | MixedSentences | StreamedBlocks,
    held_out: Mapping[str, Rows],
    masking: Masking,
    arguments: TrainingArguments,
    *,
    objective: Objective | None = None,
    switch: DeltaSwitch | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    on_tokens: Callable[[int, str], None] = lambda tokens, note: None,
) -> list[dict[str, float]]:
    """Distills ``teacher`` into ``student`` in place; returns the held-out loss per language as it fell.

    ``data`` gives the blocks in training order, or the texts; ``held_out`` are some of each language [blocks,
    block]; ``arguments`` are made by `bistil.training.trainer.arguments`. A run that was killed in their
    ``output_dir`` goes on there. Example row of the result: ``{"tokens": 20480, "en": 0.031, "tr": 0.036}``.
    """
    if objective is not None and objective.similarity_weight and arguments.train_batch_size == 1:
        raise BistilError(
            "distill.similarity_weight compares the texts that a process takes at a time, and that is one here. "
            "Raise distill.batch_size, or leave similarity_weight out."
        )
    length = data.row_tokens if isinstance(data, MixedSentences) else next(iter(held_out.values())).shape[1]
    batch = arguments.train_batch_size * arguments.gradient_accumulation_steps * processes()
    steps, per_step = len(data) // batch, round(batch * length)
    curve = LossCurve(Path(arguments.output_dir) / "curve.json", steps, steps * per_step)

    streaming = []
    if isinstance(data, StreamedBlocks):
        streaming = [StreamPlace(data, batch)]
        checkpoint = newest_checkpoint(Path(arguments.output_dir))
        # Where the place is not known, what the interrupted run has seen is read again, batch by batch.
        arguments.ignore_data_skip = checkpoint is not None and data.resume(checkpoint / STREAM)

    def after(step: int, loss: float | None) -> None:
        if loss is None:
            on_tokens(step * per_step, "")
        else:
            on_tokens(step * per_step, pace.note(step, trainer.recent))
        if curve.due(step):
            measure(step)

    def measure(step: int) -> None:
        started = time.perf_counter()
        losses = trainer.held_out(held_out, masking)
        if trainer.args.process_index == 0:
            curve.add(step * per_step, losses)
        pace.pause(time.perf_counter() - started)

    trainer = DistillationTrainer(
        model=student,
        teacher=teacher,
        alignment=alignment,
        objective=objective,
        languages=data.languages,
        switch=switch,
        args=arguments,
        train_dataset=data,
        callbacks=[*callbacks, *streaming],
        on_step=after,
    )
    operations = forward_flops(teacher, round(length), alignment.layers[-1])
    operations += 3 * forward_flops(student, round(length))
    pace = _Pace(per_step * operations, trainer.args)
    trainer.run()
    return curve.rows


class _Pace:
    """How near training is to the machine's limit: operations a second over those of a matrix product."""

    def __init__(self, flops_per_step: int, args: TrainingArguments) -> None:
        dtype = torch.bfloat16 if args.bf16 else torch.float32
        self._limit = matrix_rate(args.device, dtype) * processes()
        self._flops = flops_per_step
        self._first: int | None = None
        self._started = 0.0

    def note(self, step: int, losses: Mapping[str, Tensor]) -> str:
        """For example ``loss en 0.0214, tr 0.0251 · 74% of the matrix rate``."""
        note = "loss " + ", ".join(f"{language} {float(loss):.4f}".lstrip() for language, loss in losses.items())
        if self._first is None:  # the first step warms up
            self._first, self._started = step, time.perf_counter()
            return note
        rate = self._flops * (step - self._first) / (time.perf_counter() - self._started)
        return f"{note} · {rate / self._limit:.0%} of the matrix rate"

    def pause(self, seconds: float) -> None:
        """Leaves out a time in which nothing was trained."""
        self._started += seconds


def _heads(teacher: States, alignment: Alignment) -> Sequence[Tensor]:
    """The teacher's attention, in those heads that the student has."""
    if alignment.heads is None:
        return teacher.attention
    chosen = alignment.heads[len(alignment.heads) - len(teacher.attention) :]
    return [layer[:, list(heads)] for layer, heads in zip(teacher.attention, chosen, strict=True)]
