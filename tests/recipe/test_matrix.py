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


def test_examples_without_labels_go_to_their_language(values):
    values["tasks"][0]["unlabelled"] = {"en": "en.conllu", "sw": "sw.conllu", "eu": "eu.conllu"}
    recipes = Matrix.checked(values).recipes()
    assert list(recipes["sw/half"].tasks[0].unlabelled) == ["en", "sw"]
    assert list(recipes["eu/thin"].tasks[0].unlabelled) == ["en", "eu"]


def test_the_home_folder(values, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    values["tasks"][0]["test"] = "~/pos-{language}.conllu"
    recipe = Matrix.checked({**values, "out": "~/many"}).recipes()["sw/half"]
    assert recipe.out == tmp_path / "many/sw/half"
    assert recipe.tasks[0].test["sw"] == tmp_path / "pos-sw.conllu"


def test_shared_teachers_have_a_vocabulary_of_all_languages(values):
    recipes = Matrix.checked({**values, "share_teachers": True}).recipes()
    assert recipes["sw/half"].vocabulary.further == {"eu": ("eu.txt", "more/*.txt"), "tr": ("tr.txt",)}
    assert recipes["tr/thin"].vocabulary.further == {"sw": ("sw.txt",), "eu": ("eu.txt", "more/*.txt")}


@pytest.fixture
def vectors(values, tmp_path):
    for name in ("lines-en", "lines-sw", "lines-tr", "topics-sw", "topics-en", "alike"):
        (tmp_path / name).write_text("x")
    tests = {
        "lines": [f"{tmp_path}/lines-en", f"{tmp_path}/lines-{{language}}"],
        "topics": f"{tmp_path}/topics-{{language}}",
        "alike": f"{tmp_path}/alike",
    }
    settings = {"test": tests, "train": {"topics": f"{tmp_path}/topics-en"}}
    kept = {key: values[key] for key in values if key != "tasks"}
    return {**kept, "distill": {"embeddings": True}, "languages": {"sw": "s", "tr": "t"}, "embeddings": settings}


def test_embeddings_are_tested_in_the_languages_that_have_files(vectors, tmp_path):
    recipes = Matrix.checked(vectors).recipes()
    assert list(recipes) == ["sw/half", "sw/thin", "tr/half", "tr/thin"]
    found = recipes["sw/half"].embeddings
    assert found.test == {
        "lines": (tmp_path / "lines-en", tmp_path / "lines-sw"),
        "topics": (tmp_path / "topics-sw",),
        "alike": (tmp_path / "alike",),
    }
    assert found.train == {"topics": tmp_path / "topics-en"}
    assert list(recipes["tr/half"].embeddings.test) == ["lines", "alike"]
    assert recipes["tr/half"].embeddings.train == {}
    assert recipes["tr/half"].distill.embeddings


def test_tests_whose_files_are_nowhere_yet_are_in_every_language(vectors, tmp_path):
    vectors["embeddings"] = {"test": {"later": [f"{tmp_path}/none-{{language}}"]}}
    recipes = Matrix.checked(vectors).recipes()
    assert [recipes[label].embeddings.test["later"] for label in ("sw/half", "tr/half")] == [
        (tmp_path / f"none-{code}",) for code in ("sw", "tr")
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"languages": {"sw": "s", "eu": "e"}}, "no test of embeddings has a test file in eu"),
        ({"tasks": [{"kind": "pos", "train": "t", "test": "{language}"}]}, "give just one of them"),
        ({"embeddings": {"test": {"alike": "alike.tsv"}}}, "embeddings.test has no path with {language}"),
        ({"embeddings": {"test": {"l": "{language}"}, "train": {"k": "t"}}}, "train has k, which is no test"),
        ({"distill": {}}, "set distill.embeddings to true"),
        ({"baselines": ["scratch"]}, "the baseline scratch is for tasks"),
        ({"embeddings": None}, "give just one of them"),
    ],
)
def test_what_is_wrong_with_embeddings_is_said_when_it_is_read(vectors, tmp_path, change, said):
    path = tmp_path / "matrix.yaml"
    path.write_text(yaml.safe_dump({**vectors, **change}))
    with pytest.raises(BistilError) as error:
        Matrix.load(path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"languages": {"en": "en.txt"}}, "languages has en, which is the source"),
        (
            {"languages": {"tr": {"text": "tr.txt", "license": "MIT"}}},
            "'languages.tr' must be a file, glob or folder of text, or a list of such; got",
        ),
        ({"baselines": ["multilingual"]}, "the baseline multilingual is for recipes; leave it out"),
        ({"languages": {"sw": "sw.txt", "tr": "tr.txt", "xx": "xx.txt"}}, "no task has a test file in xx"),
        ({"students": {"half": {"layer_redction": 2}}}, "Did you mean 'students.half.layer_reduction'?"),
        ({"students": {"a/b": {}}}, "a name of letters, digits"),
        ({"langauges": {}}, "Did you mean 'languages'?"),
        ({"tasks": [{"kind": "pos", "train": "t", "test": "one.conllu"}]}, "one path without {language}"),
        ({"tasks": [{"kind": "pos", "train": "t", "test": {"de": "de.conllu"}}]}, "which is not in languages"),
        (
            {"tasks": [{"kind": "pos", "train": "t", "test": {"sw": "t"}, "unlabelled": {"de": "t"}}]},
            "tasks.0.unlabelled has de, which is not in languages",
        ),
        ({"tasks": [{"kind": "pos", "train": "t", "test": {"sw": 3}}]}, "tasks.0.test.sw"),
        ({"resources": {"cpus": 0}}, "'resources.cpus' must be greater than 0"),
        ({"resources": {"gpus": 1.5}}, "resources.gpus is 1.5, and only below 1"),
        (
            {"resources": {"gpus": 0.5, "processes": 2}},
            "resources.gpus is 0.5, and only below 1, with one process",
        ),
        (
            {"distill": {"batch_size": 6}, "resources": {"processes": 4}},
            "distill.batch_size is 6, which the 4 processes of resources cannot share equally; make it a multiple",
        ),
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
