"""A matrix: the recipes that it stands for, and what is wrong with one."""

import pytest
import yaml

from bistil.errors import BistilError
from bistil.recipe.matrix import Matrix
from bistil.recipe.recipe import Recipe


@pytest.fixture
def values(tmp_path):
    for code in ("en", "sw", "eu"):
        (tmp_path / f"pos-{code}.conllu").write_text("x")
    task = {"kind": "pos", "train": "train.conllu", "test": f"{tmp_path}/pos-{{language}}.conllu"}
    entities = {"kind": "ner", "train": "train.iob2", "test": {"sw": "ner-sw.iob2", "tr": "ner-tr.iob2"}}
    return {
        "name": "many",
        "source": {"language": "en", "text": "en.txt"},
        "languages": {"sw": "sw.txt", "eu": ["eu.txt", "more/*.txt"], "tr": "tr.txt"},
        "students": {"half": {"layer_reduction": 2}, "thin": {"layers": 12, "intermediate_size": 384}},
        "tasks": [task, entities],
        "distill": {"tokens": 1000},
        "out": "runs/many",
    }


def test_it_stands_for_a_recipe_of_each_language_and_student(values, tmp_path):
    recipes = Matrix.checked(values).recipes()
    assert list(recipes) == ["sw/half", "sw/thin", "eu/half", "eu/thin", "tr/half", "tr/thin"]
    written = {
        "name": "many-sw-thin",
        "source": {"language": "en", "text": "en.txt"},
        "target": {"language": "sw", "text": "sw.txt"},
        "student": {"layers": 12, "intermediate_size": 384},
        "distill": {"tokens": 1000},
        "baselines": [],
        "tasks": [
            {
                "kind": "pos",
                "train": "train.conllu",
                "test": {code: f"{tmp_path}/pos-{code}.conllu" for code in ("en", "sw")},
            },
            {"kind": "ner", "train": "train.iob2", "test": {"sw": "ner-sw.iob2"}},
        ],
        "out": "runs/many/sw/thin",
    }
    assert recipes["sw/thin"] == Recipe.checked(written)
    assert [task.name for task in recipes["eu/half"].tasks] == ["pos"]
    assert [task.name for task in recipes["tr/half"].tasks] == ["ner"]
    assert recipes["eu/half"].target.text == ("eu.txt", "more/*.txt")


def test_shared_teachers_have_a_vocabulary_of_all_languages(values):
    recipes = Matrix.checked({**values, "share_teachers": True}).recipes()
    assert recipes["sw/half"].vocabulary.further == {"eu": ("eu.txt", "more/*.txt"), "tr": ("tr.txt",)}
    assert recipes["tr/thin"].vocabulary.further == {"sw": ("sw.txt",), "eu": ("eu.txt", "more/*.txt")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"languages": {"en": "en.txt"}}, "languages has en, which is the source"),
        ({"languages": {"sw": "sw.txt", "tr": "tr.txt", "xx": "xx.txt"}}, "no task has a test file in xx"),
        ({"students": {"half": {"layer_redction": 2}}}, "Did you mean 'students.half.layer_reduction'?"),
        ({"students": {"a/b": {}}}, "a name of letters, digits"),
        ({"langauges": {}}, "Did you mean 'languages'?"),
        ({"tasks": [{"kind": "pos", "train": "t", "test": "one.conllu"}]}, "one path without {language}"),
        ({"tasks": [{"kind": "pos", "train": "t", "test": {"de": "de.conllu"}}]}, "which is not in languages"),
        ({"tasks": [{"kind": "pos", "train": "t", "test": {"sw": 3}}]}, "tasks.0.test.sw"),
        ({"resources": {"cpus": 0}}, "'resources.cpus' must be greater than 0"),
        ({"share_teachers": True, "vocabulary": {"further": {"de": "de.txt"}}}, "leave one out"),
        ({"seeds": [1, 1]}, "seeds must differ"),
    ],
)
def test_what_is_wrong_is_said_when_it_is_read(values, tmp_path, change, said):
    path = tmp_path / "matrix.yaml"
    path.write_text(yaml.safe_dump({**values, **change}))
    with pytest.raises(BistilError) as error:
        Matrix.load(path)
    assert said in str(error.value)
    assert "matrix" in str(error.value).lower()


def test_a_recipe_is_no_matrix_and_a_matrix_no_recipe(values, tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(BistilError, match="`bistil fleet` makes it"):
        Recipe.load(path)
    path.write_text(yaml.safe_dump({"name": "one", "target": {"language": "tr", "text": "tr.txt"}}))
    with pytest.raises(BistilError, match="`bistil run` makes it"):
        Matrix.load(path)
