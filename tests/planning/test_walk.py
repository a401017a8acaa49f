"""Which stages are made anew when something of a recipe changes."""

import shutil

import pytest

from bistil.errors import BistilError
from bistil.planning.walk import walk
from bistil.recipe.recipe import Recipe


@pytest.fixture
def anew(experiment):
    """The kinds of the stages that a changed recipe has and the plain one, or ``before``, has not."""

    def found(changes: list[str], before: tuple[str, ...] = ()) -> set[str]:
        plain = Recipe.model_validate(experiment | {"seeds": [0]})
        steps = []
        for recipe in (plain.override(before), plain.override(changes)):
            with walk(recipe) as walked:
                steps.append({step.folder.fingerprint: step.name for step in walked.steps})
        return {name for fingerprint, name in steps[1].items() if fingerprint not in steps[0]}

    return found


def with_tests(experiment, **languages):
    files = {code: experiment["tasks"][0]["test"][file] for code, file in languages.items()}
    return f"tasks.0.test={files}"


def test_nothing_is_made_anew_for_what_changes_no_result(anew, experiment, tmp_path):
    readme = shutil.copytree(experiment["teacher"], tmp_path / "teacher")
    (readme / "README.md").write_text("read me")
    for changes in (
        [],
        [f"out={tmp_path}/elsewhere"],
        [f"teacher={readme}"],
        ["distill.arguments={logging_steps: 5, run_name: mine}"],
        [with_tests(experiment, en="en", tr="tr")],
    ):
        assert anew(changes) == set(), changes


def test_scores_and_speeds_are_made_anew_for_other_tests(anew, experiment):
    assert anew([with_tests(experiment, en="tr", tr="en")]) == {"evaluation", "efficiency"}
    only = (with_tests(experiment, tr="tr"),)
    assert anew([with_tests(experiment, en="tr")], only) == {"evaluation"}  # the speed is that on the same texts
    assert anew(["distill.arguments={max_grad_norm: 2}"]) >= {"distill", "task-student"}


def test_blocks_that_the_teacher_cannot_take(experiment):
    with (
        pytest.raises(
            BistilError, match=r"distill\.sequence_length is 1000, but the teacher takes only 128 tokens"
        ),
        walk(Recipe.model_validate(experiment).override(["distill.sequence_length=1000"])),
    ):
        pass
