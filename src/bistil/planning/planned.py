"""The plan of a recipe: its stages with what each takes, and how long here and on a graphics card."""

from dataclasses import dataclass, replace

from bistil.errors import BistilError
from bistil.planning.estimate import estimate
from bistil.planning.known import GPU_SHARE, GPUS
from bistil.planning.pace import Pace
from bistil.planning.samples import Samples
from bistil.planning.walk import Step, walk
from bistil.planning.work import Work
from bistil.recipe.recipe import Recipe
from bistil.training.allocator import keep_freed_memory
from bistil.training.devices import unused

_DISK_RATE = 2e8  # bytes a second that a stage writes
_GRAPH = 10.0  # seconds in which torch traces a model for ONNX, which depend little on its size
_START = 18.0  # seconds in which a model is loaded here, and in a process of its own that imports torch first


@dataclass(frozen=True)
class Planned:
    """One stage: what it takes, whether it is reused, and seconds here and on the card; None: not known."""

    title: str
    reused: bool
    work: Work
    seconds: float | None
    gpu_seconds: float | None


@dataclass(frozen=True)
class Plan:
    """The stages of a run in their order, what the machine does in a second, and what could not be planned.

    ``vocabulary`` is counted on the first lines of the text where ``guessed``; the whole text usually has more.
    ``bare`` is the memory of the process with nothing but the tokenizer; the totals leave out what is not known.
    """

    stages: tuple[Planned, ...]
    pace: Pace
    vocabulary: int | None
    guessed: bool
    bare: int
    gpu: str | None
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Of the stages that are not reused."""
        return sum(stage.seconds or 0 for stage in self._new)

    @property
    def gpu_seconds(self) -> float:
        """The same on the graphics card."""
        return sum(stage.gpu_seconds or 0 for stage in self._new)

    @property
    def flops(self) -> float:
        """Operations of the stages that are not reused."""
        return sum(stage.work.flops or 0 for stage in self._new)

    @property
    def memory(self) -> float:
        """The peak of the new stages, with the bare process."""
        return self.bare + max((stage.work.memory for stage in self._new), default=0)

    @property
    def disk(self) -> float:
        """Bytes that the new stages leave."""
        return sum(stage.work.disk for stage in self._new)

    @property
    def _new(self) -> list[Planned]:
        return [stage for stage in self.stages if not stage.reused]


def plan(recipe: Recipe, gpu: str | None = None) -> Plan:
    """What `bistil.run` of the recipe would do; the machine's pace is measured for some ten seconds.

    ``gpu`` names a card, see `bistil.planning.known.GPUS`. Files that are not there yet are noted, not missed.
    Example: ``plan(Recipe.load("recipe.yaml"), "a100").seconds`` is 2140.0.
    """
    card = known_gpu(gpu)
    keep_freed_memory()
    with walk(recipe) as found:
        own = estimate(found, Samples())
        pace = own.pace()
    stages = tuple(planned(step, work, pace, card) for step, work in own.works)
    notes = (*found.notes, *unused())
    return Plan(stages, pace, own.vocabulary, own.guessed, own.bare, card, notes)


def known_gpu(name: str | None) -> str | None:
    """A card as `GPUS` has it; `BistilError` for one that is not there."""
    if name is None or name.lower() in GPUS:
        return name and name.lower()
    raise BistilError(f"There is no GPU {name!r} in the list. Choose from {', '.join(GPUS)}.")


def seconds(work: Work, pace: Pace) -> float | None:
    """How long a stage takes at a pace; None where its operations or the pace are not known.

    Example: 2e12 operations of fine-tuning at 1e11 a second take 20 seconds, and writing 2e8 bytes one more.
    """
    rates = {
        "distilling": pace.distilling,
        "task distilling": pace.task_distilling,
        "fine-tuning": pace.fine_tuning,
        "evaluating": pace.evaluating,
    }
    if work.flops is None or (work.kind == "reading" and not (work.text and pace.reading)):
        return None
    computing = work.flops / rates[work.kind] if work.flops else 0.0
    reading = work.text / pace.reading if pace.reading and work.text else 0.0
    starting = work.openings * pace.opening + work.processes * _START + work.graphs * _GRAPH
    return computing + reading + work.disk / _DISK_RATE + starting


def planned(step: Step, work: Work, pace: Pace, gpu: str | None) -> Planned:
    """A stage at a pace, and on a card."""
    there = None
    if gpu is not None:
        rate = GPUS[gpu] * GPU_SHARE
        there = seconds(
            work, replace(pace, distilling=rate, task_distilling=rate, fine_tuning=rate, evaluating=rate)
        )
    return Planned(step.title, step.reused, work, seconds(work, pace), there)
