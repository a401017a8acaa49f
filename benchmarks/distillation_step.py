"""How near a distillation step is to the limit: `python -m benchmarks.distillation_step [DTYPE]`.

Multilingual-E5-small, trimmed to English and Turkish, into 6 layers, at 8 × 64 tokens (a recipe's default),
32 × 128 and 64 × 64, with a language delta of 8 % on the teacher. In turns, A B A B: steps of
`bistil.training.distillation` as a run makes them; the same step as the reference formulates it (eager attention
in all layers, attention loss by boolean indexing, deltas added and subtracted for each batch), in a process of its
own, which has the allocator as it comes; the product of two square matrices (`bistil.models.flops.matrix_rate`)
between the steps. Medians, on the CUDA device if there is one, with 1,024 × 64 tokens as well; in what a run would
compute here, or in the float32 or bfloat16 that is asked for. Kept in ``results/distillation-step.json``.
"""

import multiprocessing
import sys
import tempfile
import time
from copy import deepcopy
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel

from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil.corpora.blocks import load_blocks, pack, save_blocks
from bistil.corpora.masking import Masking
from bistil.corpora.mixed import MixedBlocks
from bistil.corpora.text import files, lines
from bistil.files import read_json, write_json
from bistil.models import teachers
from bistil.models.flops import forward_flops, matrix_rate
from bistil.models.students import make_student
from bistil.sparse.delta import SparseDelta
from bistil.sparse.switch import DeltaSwitch
from bistil.training.allocator import keep_freed_memory
from bistil.training.devices import device, mixed_precision
from bistil.training.distillation import DistillationTrainer
from bistil.training.trainer import arguments
from bistil.vocabulary import trim_vocabulary

RESULT = ROOT / "results/distillation-step.json"
LAYERS = (2, 4, 6, 8, 10, 12)
SHAPES = ((8, 64), (32, 128), (64, 64), *([(1024, 64)] if torch.cuda.is_available() else []))
ROUNDS, LEAST = 4, 4_096  # tokens of the steps of a kind in a round, at least
DENSITY = 0.08


def main() -> None:
    """Measures both shapes, prints and keeps the numbers."""
    keep_freed_memory()
    native = "bfloat16" if mixed_precision() else "float32"
    dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}[sys.argv[1] if sys.argv[1:] else native]
    model, tokenizer = teachers.load(teachers.locate("bundled:multilingual-e5-small"))
    text = {language: files(realdata() / f"text/{language}.txt") for language in ("en", "tr")}
    trimmed = trim_vocabulary(model, tokenizer, text, min_probability=1e-6)
    masking = Masking.of(trimmed.tokenizer)
    kept = read_json(RESULT)["steps"] if RESULT.exists() else {}
    for batch, block in SHAPES:
        with tempfile.TemporaryDirectory() as temporary:
            folder, training = Path(temporary), {}
            for language, paths in text.items():
                save_blocks(folder, language, pack(trimmed.tokenizer, lines(paths), block, language))
                training[language] = load_blocks(folder, language)[0]
            data = MixedBlocks(training, masking, batch=batch, batches=ROUNDS * steps_of(batch, block), seed=0)
            trimmed.model.save_pretrained(folder / "teacher")
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            reference = context.Process(target=serve, args=(theirs, folder, data, batch, dtype))
            reference.start()
            facts = compare(trimmed.model, data, batch, block, folder, dtype, ours)
            ours.send(None)
            reference.join()
        name = f"{batch} x {block}, {str(dtype).removeprefix('torch.')}"
        kept[name] = described(facts)
        print(
            f"{name}: {facts['tokens_per_second']:,.0f} tokens/s, {facts['share_of_matrix_rate']:.1%} of the "
            f"matrix rate ({facts['matrix_rate']:.3g}); the reference's step "
            f"{facts['reference_tokens_per_second']:,.0f} tokens/s, ours "
            f"{facts['times_the_reference']:.2f} times; losses differ by {facts['loss_difference']:.1e}"
        )
    write_json(RESULT, {"command": "python -m benchmarks.distillation_step", "steps": kept})


def serve(connection: Connection, folder: Path, data: MixedBlocks, batch: int, dtype: torch.dtype) -> None:
    """The reference's steps, made when they are asked for: ("loss" or "seconds", step)."""
    teacher = AutoModel.from_pretrained(folder / "teacher", add_pooling_layer=False)
    reference = Reference(teacher, make_student(teacher, LAYERS)[0], data, batch, dtype)
    for language, delta in reference.deltas.items():
        (folder / language).mkdir()
        delta.save(folder / language)
    connection.send("ready")
    while (asked := connection.recv()) is not None:
        kind, step = asked
        connection.send(float(reference.loss(step).detach()) if kind == "loss" else reference.seconds(step))


def compare(
    teacher: Any,
    data: MixedBlocks,
    batch: int,
    block: int,
    folder: Path,
    dtype: torch.dtype,
    reference: Connection,
) -> dict[str, Any]:
    """Ours and the reference's step in turns on the same batches."""
    student, alignment = make_student(teacher, LAYERS)
    assert reference.recv() == "ready"

    def ask(kind: str, step: int) -> float:
        reference.send((kind, step))
        return float(reference.recv())

    rates: list[float] = []
    theirs: list[float] = []
    shares: list[float] = []
    ours: list[float] = []
    started, spent, steps = 0.0, 0.0, steps_of(batch, block)
    operations = forward_flops(teacher, block) + 3 * forward_flops(student, block)

    def after(step: int, loss: float | None) -> None:
        # A round at a time, for the teacher reads the batches of several steps at once.
        nonlocal started, spent
        spent += now() - started
        rates.append(matrix_rate(device(), dtype))
        if step and step % steps == 0:
            if step > steps:  # the first round warms up
                ours.append(spent / steps)
                # the machine's speed drifts, so that a round is held against the products between its steps
                shares.append(operations * batch * block / ours[-1] / (sum(rates[-steps - 1 :]) / (steps + 1)))
                theirs.extend(ask("seconds", made) for made in range(step - steps, step))
            rates.append(matrix_rate(device(), dtype))
            spent = 0.0
        started = now()

    trainer = DistillationTrainer(
        model=student,
        teacher=teacher,
        alignment=alignment,
        languages=data.languages,
        switch=DeltaSwitch(teacher, {name: SparseDelta.load(folder / name) for name in data.languages}),
        args=arguments(
            folder / "training",
            batch=batch,
            learning_rate=1e-4,
            seed=0,
            further={"bf16": dtype == torch.bfloat16},
        ),
        train_dataset=data,
        on_step=after,
    )
    difference = max(
        abs(loss(trainer, data, batch, step) / ask("loss", step) - 1) for step in range(len(data.languages))
    )
    trainer.run()
    tokens = batch * block
    return {
        "tokens_per_second": tokens / median(ours),
        "reference_tokens_per_second": tokens / median(theirs),
        "times_the_reference": median(theirs) / median(ours),
        "share_of_matrix_rate": median(shares),
        "flops_per_token": operations,
        "matrix_rate": median(rates),
        "loss_difference": difference,
        "seconds": {"ours": ours, "reference": theirs},
    }


def steps_of(batch: int, block: int) -> int:
    """How many steps of the same kind follow each other: two, more of short ones."""
    return max(2, LEAST // (batch * block))


def now() -> float:
    """The time when all that was asked of the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@torch.no_grad()
def loss(trainer: DistillationTrainer, data: MixedBlocks, batch: int, step: int) -> float:
    """Our loss of a batch."""
    items = data.__getitems__(range(step * batch, (step + 1) * batch))
    inputs = {
        "input_ids": torch.stack([item["input_ids"] for item in items]).to(device()),
        "language": torch.tensor([item["language"] for item in items]),
    }
    return float(trainer.compute_loss(trainer.model, inputs))


class Reference:
    """The same step as the paper's code formulates it, on copies of the same models."""

    def __init__(self, teacher: Any, student: Any, data: MixedBlocks, batch: int, dtype: torch.dtype) -> None:
        # Eager attention is set before any reader sets its own.
        self.teacher = self._eager(teacher).eval().requires_grad_(False).to(device())
        self.student = self._eager(student).to(device())
        self.optimizer = torch.optim.AdamW(self.student.parameters(), lr=1e-4, weight_decay=0.0)
        self.data, self.batch, self.dtype = data, batch, dtype
        drawn: Any = {"generator": torch.Generator(device()).manual_seed(0), "device": device()}
        own = dict(self.teacher.named_parameters())
        self.deltas: dict[str, SparseDelta] = {}
        self.changes: dict[str, tuple[dict[str, Tensor], dict[str, Tensor]]] = {}
        for language in data.languages:
            index = {
                name: (torch.rand(value.numel(), **drawn) < DENSITY).nonzero().flatten()
                for name, value in own.items()
            }
            change = {name: 1e-3 * torch.randn(len(index[name]), **drawn) for name in own}
            self.changes[language] = (index, change)
            self._add(language, 1)
            self.deltas[language] = SparseDelta.diff(teacher, self.teacher, "language")
            self._add(language, -1)

    @staticmethod
    def _eager(model: Any) -> Any:
        copy = type(model)(deepcopy(model.config), add_pooling_layer=False)
        copy.load_state_dict(model.state_dict())
        copy.set_attn_implementation("eager")
        return copy

    def seconds(self, step: int) -> float:
        """How long a training step takes."""
        started = now()
        self.loss(step).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return now() - started

    def loss(self, step: int) -> Tensor:
        """Hidden and attention loss of one batch."""
        items = self.data.__getitems__(range(step * self.batch, (step + 1) * self.batch))
        inputs = torch.stack([item["input_ids"] for item in items]).to(device())
        self._add(self.data.languages[items[0]["language"]], 1)
        with torch.autocast(device().type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            with torch.no_grad():
                wanted = self.teacher(inputs, output_hidden_states=True, output_attentions=True)
            found = self.student(inputs, output_hidden_states=True, output_attentions=True)
        self._add(self.data.languages[items[0]["language"]], -1)
        hidden = [
            F.mse_loss(mine.float(), wanted.hidden_states[layer].float())
            for mine, layer in zip(found.hidden_states, (0, *LAYERS), strict=True)
        ]
        attention = []
        for mine, layer in zip(found.attentions, LAYERS, strict=True):
            theirs = wanted.attentions[layer - 1]
            real = theirs > 0
            attention.append(F.mse_loss(mine[real].float(), theirs[real].float()))
        return torch.stack(hidden).mean() + torch.stack(attention).mean()

    @torch.no_grad()
    def _add(self, language: str, sign: int) -> None:
        index, change = self.changes[language]
        for name, value in self.teacher.named_parameters():
            value.view(-1)[index[name]] += sign * change[name]


if __name__ == "__main__":
    main()
