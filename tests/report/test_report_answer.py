import re

import pytest

from bistil.report.answer import answer

SMALL = {
    "target": "tr",
    "source": "en",
    "tasks": [
        {"name": "kinds", "kind": "classification", "metric": "accuracy",
         "scores": {"teacher": {"tr": [78.4]}, "student": {"tr": [77.6]}}},
    ],
    "comparison": {"smaller": 5.9, "faster": 3.4},
}  # fmt: skip


SMALL_AND_FAST = "5.9 times smaller and 3.4 times faster than the teacher"
LOWER = "0.8 points lower (77.6 against 78.4 accuracy)"


def report(student=77.6, smaller=5.9, faster=3.4, **others):
    task = SMALL["tasks"][0]
    scores = {"teacher": {"tr": [78.4]}, "student": {"tr": [student]}}
    comparison = {"smaller": smaller, "faster": faster}
    return SMALL | {"tasks": [task | {"scores": scores}], "comparison": comparison} | others


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (report(), f"is {SMALL_AND_FAST}, and scores {LOWER}."),
        (
            report(student=78.8),
            f"is {SMALL_AND_FAST}, and scores 0.4 points higher (78.8 against 78.4 accuracy).",
        ),
        (
            report(student=77.4),
            f"is {SMALL_AND_FAST}, and scores 1.0 point lower (77.4 against 78.4 accuracy).",
        ),
        (report(student=78.42), f"is {SMALL_AND_FAST}, and scores the same (78.4 against 78.4 accuracy)."),
        (
            report(faster=0.8),
            f"is 5.9 times smaller but 1.2 times slower than the teacher, and scores {LOWER}.",
        ),
        (
            report(smaller=0.5),
            f"is 2.0 times bigger but 3.4 times faster than the teacher, and scores {LOWER}.",
        ),
        (
            report(smaller=0.5, faster=0.8),
            f"is 2.0 times bigger and 1.2 times slower than the teacher, and scores {LOWER}.",
        ),
        (
            report(faster=1.01),
            f"is 5.9 times smaller than the teacher at about the same speed, and scores {LOWER}.",
        ),
        (
            report(smaller=0.99, faster=1.0),
            f"is about the same size and speed as the teacher, and scores {LOWER}.",
        ),
        (report(comparison={}), "scores 0.8 points lower than the teacher (77.6 against 78.4 accuracy)."),
        (
            report(student=78.4, comparison={}),
            "scores the same as the teacher (78.4 against 78.4 accuracy).",
        ),
    ],
)
def test_the_sentence_is_right_whichever_is_better(made, sentence):
    found = answer(made)
    assert found.sentence == f"Your Turkish classification model {sentence}"
    assert all(phrase in found.sentence for phrase in found.phrases)


FORMS = [
    {"role": "teacher", "engine": "torch", "disk_bytes": 487_000_000, "throughput": 35.0},
    {"role": "student", "engine": "torch", "disk_bytes": 80_000_000, "throughput": 71.0},
    {"role": "student_onnx", "scored_as": "student", "engine": "onnx"},
    {"role": "student_int8", "engine": "int8", "disk_bytes": 21_500_000, "throughput": 158.0},
    {"role": "trimmed_int8", "engine": "int8"},
    {"role": "trimmed_onnx", "scored_as": "teacher", "engine": "onnx"},
]


def deployed(role="student_int8", smaller=22.7, faster=4.5, rival=1.9, rival_role="trimmed_int8", int8=77.5):
    """A run that exported, with scores of 77.6 in PyTorch and 78.4 of the teacher."""
    made = report()
    against = {} if rival is None else {"rival": {"role": rival_role, "faster": rival}}
    found = {"role": role, "smaller": smaller, "faster": faster, **against}
    (task,) = made["tasks"]
    scores = task["scores"] | ({} if int8 is None else {"student_int8": {"tr": [int8]}})
    return made | {
        "comparison": made["comparison"] | {"deployed": found},
        "models": FORMS,
        "tasks": [task | {"scores": scores}],
    }


TO_TEACHER = "22.7 times smaller and 4.5 times faster than the teacher as it stands"
IN_INT8 = "0.9 points lower than the teacher (77.5 against 78.4 accuracy)"


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            deployed(),
            f" in int8 is {TO_TEACHER}, 1.9 times faster than the trimmed teacher in the same form, "
            f"and scores {IN_INT8}.",
        ),
        (
            deployed(rival=0.8),
            f" in int8 is {TO_TEACHER}, but 1.2 times slower than the trimmed teacher in the same form, "
            f"and scores {IN_INT8}.",
        ),
        (
            deployed(rival=1.01),
            f" in int8 is {TO_TEACHER}, about as fast as the trimmed teacher in the same form, "
            f"and scores {IN_INT8}.",
        ),
        (
            deployed(faster=0.5),
            " in int8 is 22.7 times smaller but 2.0 times slower than the teacher as it stands, 1.9 times faster "
            f"than the trimmed teacher in the same form, and scores {IN_INT8}.",
        ),
        (deployed(rival=None), f" in int8 is {TO_TEACHER}, and scores {IN_INT8}."),
        (
            deployed(rival_role="trimmed_onnx"),
            f" in int8 is {TO_TEACHER}, 1.9 times faster than the trimmed teacher in ONNX, and scores {IN_INT8}.",
        ),
        (
            deployed(int8=78.4),
            f" in int8 is {TO_TEACHER}, 1.9 times faster than the trimmed teacher in the same form, "
            "and scores the same as the teacher (78.4 against 78.4 accuracy).",
        ),
        (  # in float32 it has the score of the student
            deployed("student_onnx", smaller=6.1, faster=2.0, rival_role="trimmed_onnx", rival=2.1, int8=None),
            " in ONNX is 6.1 times smaller and 2.0 times faster than the teacher as it stands, 2.1 times faster "
            "than the trimmed teacher in the same form, and scores 0.8 points lower than the teacher "
            "(77.6 against 78.4 accuracy).",
        ),
        (deployed(int8=None), f" is {SMALL_AND_FAST}, and scores {LOWER}."),  # a seed without int8
    ],
)
def test_a_run_that_exports_speaks_of_what_is_deployed(made, sentence):
    found = answer(made)
    assert found.sentence == f"Your Turkish classification model{sentence}"
    assert all(phrase in found.sentence for phrase in found.phrases)


def test_tiles_of_what_is_deployed():
    size, speed, score, against = answer(deployed()).tiles
    assert (size.value, size.note) == ("21.5 MB", "4.4 % of the teacher's 487 MB")
    assert (speed.value, speed.note) == ("158/s", "texts per second; the teacher 35.0")
    assert (score.value, against.value) == ("77.5", "−0.9")


def test_problems_name_task_and_seed_where_there_are_several():
    problem = {"task": "kinds", "model": "student", "seed": 3, "missing": "int8", "reason": "int8 costs 2 points."}
    alone = report(problems=[problem, problem | {"model": "trimmed"}], seeds=[3])
    assert answer(alone).problems == (
        "The student has no int8 form: int8 costs 2 points.",
        "The trimmed teacher has no int8 form: int8 costs 2 points.",
    )
    task = SMALL["tasks"][0]
    several = report(problems=[problem], seeds=[3, 4], tasks=[task, task | {"name": "tags"}])
    assert answer(several).problems == ("The student of kinds with seed 3 has no int8 form: int8 costs 2 points.",)


def test_a_teacher_that_learned_nothing_comes_first():
    doubt = "The task kinds: the task teacher has learned nothing: 50.0% of its labels …"
    problem = {"task": "kinds", "model": "student", "seed": 3, "missing": "int8", "reason": "int8 costs 2 points."}
    assert answer(report(problems=[problem], doubts=[doubt])).problems[0] == doubt


def test_an_unknown_language_keeps_its_code_and_an_untested_task_has_no_score():
    untested = SMALL["tasks"][0] | {"kind": "pos", "title": "part-of-speech", "scores": {}}
    made = report(target="qqx", tasks=[untested])
    assert answer(made).sentence == (
        "Your qqx part-of-speech model is 5.9 times smaller and 3.4 times faster than the teacher."
    )


def test_of_several_targets_the_one_that_was_tested_is_named():
    assert answer(report(targets=["tr", "eu"])).sentence.endswith(
        "scores 0.8 points lower (Turkish alone was tested, 77.6 against 78.4 accuracy)."
    )


def test_many_languages_are_counted_and_the_worst_and_best_of_them_named():
    codes = ["af", "az", "cy", "eu", "tr"]
    student = {code: [70.0 + number] for number, code in enumerate(codes)}
    task = SMALL["tasks"][0] | {
        "scores": {"teacher": {code: [73.0] for code in codes}, "student": student},
        "train_examples": 1,
    }
    found = answer(report(tasks=[task], targets=codes, comparison={}))
    assert found.sentence == (
        "Your 5-language classification model scores 1.0 point lower than the teacher "
        "(mean of 5 languages, 72.0 against 73.0 accuracy; Afrikaans −3.0 to Turkish +1.0)."
    )
    assert found.remarks == ("Trained on 1 labelled English example and none in the 5 target languages.",)


@pytest.mark.parametrize(("student", "teacher"), [(-12.3, 8.0), (-5.0, -10.0), (5.0, -10.0)])
def test_a_correlation_below_0_has_a_true_minus_and_is_no_share_of_another(student, teacher):
    task = SMALL["tasks"][0] | {"metric": "spearman"}
    task["scores"] = {"teacher": {"tr": [teacher]}, "student": {"tr": [student]}, "layer_drop": {"tr": [-30.0]}}
    found = answer(report(tasks=[task], comparison={}))
    assert "-" not in found.sentence + " ".join(found.remarks)
    assert "scores −30.0, " in found.remarks[0]
    score, against = found.tiles
    assert score.value == f"{student:.1f}".replace("-", "−")
    assert score.bars == ()
    assert against.note == "points"


def test_several_tasks_are_answered_one_by_one():
    task = SMALL["tasks"][0]
    tagging = {"name": "tags", "kind": "pos", "metric": "accuracy"}
    scores = {"teacher": {"tr": [80.0]}, "student": {"tr": [82.0]}}
    assert answer(report(tasks=[task, tagging | {"scores": scores}])).sentence == (
        "Your Turkish models are 5.9 times smaller and 3.4 times faster than the teacher. "
        f"kinds: {LOWER}. tags: 2.0 points higher (82.0 against 80.0 accuracy)."
    )


def test_tiles_and_remarks_tell_the_same_story_as_the_json(sample):
    made = sample(seeds=3)
    task, (teacher, student, _) = made["tasks"][0], made["models"]
    means = {role: sum(found["tr"]) / 3 for role, found in task["scores"].items()}
    parameters, speed, score, against = answer(made).tiles
    assert parameters.value == f"{student['parameters'] / 1e6:.1f} M"
    assert f"{100 * student['parameters'] / teacher['parameters']:.1f} %" in parameters.note
    assert (speed.value, speed.note) == ("215/s", "texts per second; the teacher 104")
    assert score.value == f"{means['student']:.1f}"
    assert against.value == f"−{means['teacher'] - means['student']:.1f}"
    assert f"{100 * means['student'] / means['teacher']:.1f} %" in against.note
    remarks = " ".join(answer(made).remarks)
    numbers = re.findall(r"\d[\d,.]*\d", remarks)
    assert numbers == ["1,500", f"{means['layer_drop']:.1f}", f"{means['student'] - means['layer_drop']:.1f}"]
