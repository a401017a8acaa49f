"""What a run has made: its students, their task models, and which of them is published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bistil.files import read_json
from bistil.pipeline import deployment
from bistil.pipeline.choice import Drop
from bistil.pipeline.onestudent import OneStudent
from bistil.pipeline.stages import StageFolder
from bistil.pipeline.taskstages import Outcome
from bistil.recipe.recipe import Recipe


@dataclass(frozen=True)
class Made:
    """The stages of a run: students, task models and their ONNX files by task and role, measurements.

    ``students`` are in the order in which they were made, without those that were given up. ``drops`` say by name
    how far each that was tried is below the task teacher, where that decided. The ``published`` one has the role
    "student", others `OneStudent.role`.
    """

    published: OneStudent
    students: Sequence[OneStudent]
    drops: Mapping[str, Drop]
    learned: Mapping[str, Mapping[str, Sequence[Outcome]]]
    deployed: Mapping[str, deployment.ByModel]
    efficiency: StageFolder

    def costs(self) -> dict[str, Any]:
        """Measured sizes and speeds by role; where they were measured, no student was published yet."""
        found, own = read_json(self.efficiency.path / "efficiency.json"), self.published.role
        return {
            f"student{role.removeprefix(own)}" if role.startswith(own) else role: cost
            for role, cost in found.items()
        }

    def facts(self, recipe: Recipe) -> dict[str, Any]:
        """What the report has of several students, those that were made in that order; {} where there is one."""
        if not recipe.students:
            return {}
        limit = None if recipe.choose is None else recipe.choose.max_drop
        made = {
            one.name: {
                "role": "student" if one is self.published else one.role,
                **one.shape.facts,
                **({"drop": drop.points, "drop_high": drop.most} if (drop := self.drops.get(one.name)) else {}),
            }
            for one in self.students
        }
        given_up = {
            name: {"drop": drop.points, "drop_low": drop.least}
            for name, drop in self.drops.items()
            if not drop.whole
        }
        return {
            "published": self.published.name,
            **(
                {}
                if limit is None
                else {"max_drop": limit, "within": self.drops[self.published.name].within(limit)}
            ),
            "made": made,
            "given_up": given_up,
            "not_made": [name for name in recipe.students if name not in {**made, **given_up}],
        }
