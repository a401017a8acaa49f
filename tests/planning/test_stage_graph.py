"""Stages of several recipes as one graph: what is shared, in which order, how long for some workers."""

import itertools
import random

import pytest
from tests import tiny

from bistil.planning.graph import Graph, Node, graph
from bistil.planning.matrixplan import makespan, plan_matrix
from bistil.planning.walk import walk
from bistil.recipe.matrix import Matrix
from bistil.vocabulary.count import count_tokens


@pytest.fixture(scope="module")
def matrix(tmp_path_factory, tiny_lines, tiny_teacher):
    return tiny.matrix(tmp_path_factory.mktemp("matrix"), tiny_lines, tiny_teacher)


def counted(values):
    found = graph(Matrix.checked(values).recipes())
    return {
        name: sum(node.step.name == name for node in found.nodes.values())
        for name in ("vocabulary", "blocks", "task-teacher", "undistilled", "distill", "task-student")
    }


def test_what_recipes_need_alike_is_one_node(matrix):
    recipes = Matrix.checked(matrix).recipes()
    found = graph(recipes)
    steps = {}
    for label, recipe in recipes.items():
        with walk(recipe) as own:
            steps[label] = {step.folder.path.name for step in own.steps}
    assert found.nodes.keys() == set().union(*steps.values())
    for label, keys in steps.items():
        assert {node.key for node in found.of(label)} == keys
    order = list(found.nodes)
    for key, node in found.nodes.items():
        assert all(order.index(one) < order.index(key) for one in node.inputs)
    by_name = {node.step.name: node for node in found.nodes.values()}
    names = {one.rpartition("-")[0] for one in by_name["task-student"].inputs}
    assert names == {"task-teacher", "distill"}
    ancestors = {one.rpartition("-")[0] for one in found.ancestors(by_name["task-student"].key)}
    assert ancestors == {"task-teacher", "distill", "undistilled", "blocks", "vocabulary"}


def test_a_model_from_scratch_waits_for_the_student_whose_shape_it_has(matrix):
    def keys(layers):
        values = {**matrix, "baselines": ["scratch"], "students": {"one": {"layers": layers}}}
        found = graph(Matrix.checked(values).recipes())
        keys = {key for key, node in found.nodes.items() if node.step.name == "scratch"}
        for key in keys:
            assert any(one.startswith("undistilled-") for one in found.ancestors(key))
        return keys

    assert not keys([1, 2]) & keys([1, 3])  # in ModernBERT layers attend otherwise


def test_a_language_has_one_vocabulary_and_teacher_and_with_shared_teachers_all_languages(matrix):
    own = {"vocabulary": 2, "blocks": 2, "task-teacher": 2, "undistilled": 4, "distill": 4, "task-student": 4}
    assert counted(matrix) == own
    shared = {**own, "vocabulary": 1, "task-teacher": 1, "undistilled": 2}
    assert counted({**matrix, "share_teachers": True}) == shared


def test_narrow_students_of_one_vocabulary_are_measured_on_their_own_text(matrix):
    values = {**matrix, "share_teachers": True, "students": {"thin": {"intermediate_size": 8}}}
    assert counted(values)["undistilled"] == 2


@pytest.mark.parametrize("change", [{"teacher": "FacebookAI/xlm-roberta-base"}, {"baselines": ["some/model"]}])
def test_a_model_that_cannot_be_fetched_is_a_problem_where_a_plan_does_without(matrix, monkeypatch, change):
    def unreachable(name, **_):
        raise ConnectionError(f"{name} is out of reach")

    monkeypatch.setattr("bistil.models.sources.snapshot_download", unreachable)
    recipes = Matrix.checked({**matrix, **change}).recipes()
    found = graph(recipes)
    assert found.nodes == {}
    assert found.problems.keys() == recipes.keys()
    name = change.get("teacher", "some/model")
    assert all(name in problem for problem in found.problems.values())
    with walk(next(iter(recipes.values()))) as planned:
        assert any(f"{name} is not available here" in note for note in planned.notes)


def _graph(needs):
    nodes = {}
    for key, inputs in needs.items():
        nodes[key] = Node(None, ("a",), frozenset(inputs))
    return Graph(nodes)


def test_heights_are_the_longest_ways():
    needs = {"a": [], "b": ["a"], "c": ["a", "b"], "d": []}
    assert _graph(needs).heights == {"a": 2, "b": 1, "c": 0, "d": 0}


def test_makespan_is_within_what_list_scheduling_can_lose():
    """Against brute force: the best of all orders; Graham (1969) has the bound."""
    chance = random.Random(0)
    for _ in range(40):
        keys = "abcdef"
        needs = {key: [one for one in keys[:n] if chance.random() < 0.3] for n, key in enumerate(keys)}
        seconds = {key: float(chance.randint(1, 9)) for key in keys}
        found = makespan(_graph(needs), seconds, 2)
        best = min(_simulated(order, needs, seconds) for order in itertools.permutations(keys))
        assert best <= found <= (2 - 1 / 2) * best
    assert makespan(_graph({"a": [], "b": [], "c": ["a", "b"]}), dict.fromkeys("abc", 10.0), 2) == 20.0


def _simulated(order, needs, seconds, workers=2):
    """Each in its turn as early as it can, on the worker that is free first."""
    free, ends = [0.0] * workers, {}
    for key in order:
        if any(one not in ends for one in needs[key]):
            return float("inf")
        worker = min(range(workers), key=free.__getitem__)
        begin = max([free[worker], *(ends[one] for one in needs[key])])
        free[worker] = ends[key] = begin + seconds[key]
    return max(ends.values())


def test_the_plan_of_a_matrix_counts_each_stage_once(matrix, untimed):
    found = plan_matrix(Matrix.checked(matrix), "a100")
    assert found.recipes == 4
    assert len(found.stages) == len(graph(Matrix.checked(matrix).recipes()).nodes)
    assert found.new == dict(found.stages)
    assert 0 < found.wall_seconds <= found.seconds + 1e-6
    assert found.wall_seconds >= found.seconds / found.workers - 1e-6
    shared = [key for key, node in found.graph.nodes.items() if len(node.labels) == 2]
    assert len(shared) == 8
    assert found.saved == pytest.approx(sum(found.stages[key].seconds for key in shared))


def test_a_distillation_of_several_processes_takes_the_processors_of_as_many_workers(matrix, untimed, monkeypatch):
    monkeypatch.setattr("bistil.planning.matrixplan.available", lambda: 4)
    workers = [plan_matrix(Matrix.checked({**matrix, "resources": {"processes": n}})).workers for n in (1, 2, 4)]
    assert workers == [4, 2, 1]


def test_the_plan_of_a_matrix_reads_and_counts_each_text_once(matrix, untimed, monkeypatch):
    counted = []

    def noted(tokenizer, lines):
        counted.append(list(lines))
        return count_tokens(tokenizer, iter(counted[-1]))

    monkeypatch.setattr("bistil.planning.samples.count_tokens", noted)
    plan_matrix(Matrix.checked(matrix))
    assert len(counted) == len({tuple(lines) for lines in counted}) == 3  # of the source and two targets
