import json
from pathlib import Path

import pytest
import yaml

from bistil.cli import main
from bistil.cli.commented import commented
from bistil.recipe.recipe import Recipe

CONLLU = "1\tBir\t_\tDET\t_\t_\t2\tdet\t_\t_\n2\tev\t_\tNOUN\t_\t_\t0\troot\t_\t_\n\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "en.txt").write_text("one two three\n\nfour five\n")
    (tmp_path / "tr.txt").write_text("bir iki\n")
    rows = [{"text": f"word {n}", "label": ["animal", "plant", "animal"][n % 3], "id": n} for n in range(9)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "test.csv").write_text('label,text\nplant,"bir, iki"\n')
    (tmp_path / "train.conllu").write_text(CONLLU * 3)
    return tmp_path


def init(*more: str, train: str = "train.jsonl", test: str = "tr=test.csv") -> int:
    texts = ["--source-text", "en.txt", "--target-text", "tr.txt"]
    return main(["init", "--target", "tr", *texts, "--train", train, "--test", test, *more])


def run_init(*more: str, **files: str) -> int:
    """The command line leaves through SystemExit when all is well, and returns 2 when not."""
    try:
        return init(*more, **files)
    except SystemExit as end:
        return int(end.code or 0)


def test_classification_recipe(folder, capsys):
    assert run_init() == 0
    recipe = Recipe.load("recipe.yaml")
    recipe.check_files()
    assert (recipe.source.language, recipe.target.language) == ("en", "tr")
    assert recipe.tasks[0].kind == recipe.tasks[0].name == "classification"
    assert recipe.tasks[0].test == {"tr": Path("test.csv")}
    text = (folder / "recipe.yaml").read_text()
    assert "# found: columns text, label, id; 9 examples, 2 labels: animal 67%, plant 33%" in text
    assert "# found: 2 lines, 5 words in 1 file" in text
    assert "density: 0.08  # share of the encoder's parameters" in text
    assert text.count("license: null  # licence of the text, such as CC-BY-SA-4.0") == 2
    assert "license: null  # licence of the labelled files" in text
    output = capsys.readouterr().out
    assert "Wrote recipe.yaml" in output
    assert "bistil run recipe.yaml" in output
    assert sorted(path.name for path in folder.iterdir() if "recipe" in path.name) == ["recipe.yaml"]


def test_the_home_folder_in_an_option_where_the_shell_leaves_it(folder, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(folder / "home"))
    (folder / "home").mkdir()
    assert run_init("--recipe=~/mine.yaml") == 0
    assert (folder / "home/mine.yaml").is_file()
    assert not (folder / "~").exists()


def test_examples_without_labels(folder, capsys):
    (folder / "more.jsonl").write_text('{"text": "bir"}\n{"text": "iki", "label": "unheard of"}\n')
    assert run_init("--unlabelled", "tr=more.jsonl", "--unlabelled", "en=more.jsonl") == 0
    assert Recipe.load("recipe.yaml").tasks[0].unlabelled == {code: Path("more.jsonl") for code in ("tr", "en")}
    assert "# found: tr: 2 examples, en: 2 examples" in (folder / "recipe.yaml").read_text()
    assert "more.jsonl: tr: 2 examples, labels not read" in capsys.readouterr().out


def test_pos_recipe_with_validation_elsewhere(folder):
    more = ["--validation", "train.conllu", "--recipe", "other.yaml", "--source", "de"]
    assert run_init(*more, train="train.conllu", test="de=train.conllu") == 0
    recipe = Recipe.load("other.yaml")
    assert recipe.tasks[0].kind == "pos"
    assert recipe.tasks[0].validation == Path("train.conllu")
    text = (folder / "other.yaml").read_text()
    assert "3 sentences, 2 labels: DET 50%, NOUN 50%" in text
    assert "no tr file, so transfer to it will not be measured" in text


def test_trees_are_described_by_their_relations_and_questions_by_their_number(folder):
    answers = [{"text": "Ada", "answer_start": 0}]
    questions = [{"id": str(n), "question": "Who?", "answers": answers} for n in range(3)]
    data = {"data": [{"paragraphs": [{"context": "Ada wrote it.", "qas": questions}]}]}
    (folder / "train.json").write_text(json.dumps(data))
    assert run_init("--kind", "parsing", train="train.conllu", test="tr=train.conllu") == 0
    assert "3 sentences, 2 labels: det 50%, root 50%" in Path("recipe.yaml").read_text()
    assert run_init("--recipe", "qa.yaml", train="train.json", test="tr=train.json") == 0
    assert "# found: 3 examples\n" in Path("qa.yaml").read_text()
    assert "# answers need depth" in Path("qa.yaml").read_text()
    advised = "# more questions, without answers, bring a student nearer to its teacher\n    unlabelled: {}"
    assert advised in Path("qa.yaml").read_text()
    more = ["--unlabelled", "en=train.json", "--recipe", "more.yaml"]
    assert run_init(*more, train="train.json", test="tr=train.json") == 0
    assert "# found: en: 3 examples\n    unlabelled: {en: train.json}" in Path("more.yaml").read_text()
    recipe = Recipe.load("qa.yaml")
    assert (recipe.student.budget, recipe.tasks[0].density, recipe.tasks[0].student_density) == (0.5, 0.08, 0.5)
    row = {"question": "Who?", "context": "Ada.", "answers": answers}
    (folder / "rows.jsonl").write_text(json.dumps(row))
    assert run_init("--recipe", "rows.yaml", train="rows.jsonl", test="tr=rows.jsonl") == 0
    assert Recipe.load("rows.yaml").tasks[0].kind == "qa"


def test_pairs_of_texts_are_learned_in_larger_batches(folder):
    rows = [{"premise": "a", "hypothesis": "b", "label": label} for label in ("yes", "no")]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run_init(test="tr=train.jsonl") == 0
    (task,) = Recipe.load("recipe.yaml").tasks
    assert task.batch_size == 16
    assert "# for pairs of texts, of which a teacher may learn nothing in" in Path("recipe.yaml").read_text()


def test_labels_that_a_file_calls_otherwise(folder):
    (folder / "test.csv").write_text("label,text\nA,x\n")
    assert run_init() == 2
    assert run_init("--map", "A=animal") == 0
    assert Recipe.load("recipe.yaml").tasks[0].label_map == {"A": "animal"}


def test_long_texts_get_a_longer_input(folder):
    (folder / "train.jsonl").write_text("".join(json.dumps({"text": "w " * 100, "label": n}) + "\n" for n in "ab"))
    (folder / "test.csv").write_text("label,text\na,x\n")
    assert run_init() == 0
    assert Recipe.load("recipe.yaml").tasks[0].max_length == 256


def test_of_long_texts_the_words_are_more_than_were_counted(folder, monkeypatch):
    monkeypatch.setattr("bistil.cli.findings.MOST_LINES", 2)
    (folder / "tr.txt").write_text("bir\n" * 9)
    assert run_init() == 0
    text = (folder / "recipe.yaml").read_text()
    assert "# found: more than 2 lines, more than 2 words in 1 file" in text
    assert "in equal parts, is more than 6 tokens" in text


def test_never_overwrites(folder, capsys):
    (folder / "recipe.yaml").write_text("mine")
    assert run_init() == 2
    assert (folder / "recipe.yaml").read_text() == "mine"
    assert capsys.readouterr().err == (
        "bistil: recipe.yaml exists already. Delete it, or write elsewhere with --recipe.\n"
    )


@pytest.mark.parametrize(
    ("options", "files", "words"),
    [
        ([], {"train": "none.jsonl"}, ["tasks.0.train", "none.jsonl"]),
        ([], {"train": "en.txt"}, ["en.txt: cannot tell the task"]),
        ([], {"train": "words.jsonl"}, ["words.jsonl may be for ner, parsing", "--kind ner"]),
        ([], {"test": "test.csv"}, ["--test takes LANG=FILE", "'test.csv'"]),
        (["--test", "tr=train.jsonl"], {}, ["two files for tr"]),
        ([], {"test": "eu=test.csv"}, ["tasks.0.test has eu", "en and tr"]),
        ([], {"train": "wrong.csv"}, ["wrong.csv", "no column 'label'", "'stars'"]),
        ([], {"train": "empty.csv"}, ["tasks.0.train", "empty.csv is empty"]),
        ([], {"test": "tr=other.jsonl"}, ["other.jsonl", "mineral"]),
        (["--source", "tr"], {}, ["both tr"]),
        (["--map", "plant"], {}, ["--map takes LABEL=LABEL", "'plant'"]),
        (["--map", "a=b", "--map", "a=c"], {}, ["--map gives two names for a: b and c"]),
        (["--source-text", "none/*.txt"], {}, ["source.text", "none/*.txt"]),
        (["--recipe", "none/recipe.yaml"], {}, ["no folder none"]),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(folder, capsys, options, files, words):
    (folder / "wrong.csv").write_text("text,stars\na,1\n")
    (folder / "empty.csv").write_text("")
    (folder / "words.jsonl").write_text('{"tokens": ["a"], "upos": ["NOUN"]}\n')
    (folder / "other.jsonl").write_text('{"text": "x", "label": "mineral"}\n')
    assert run_init(*options, **files) == 2
    message = capsys.readouterr().err
    assert message.startswith("bistil: ")
    assert message.count("\n") == 1
    for word in words:
        assert word in message
    assert not list(folder.glob("*recipe*"))


def test_comments_cannot_be_broken_out_of():
    recipe = Recipe.checked(
        {
            "name": "x",
            "source": {"language": "en", "text": ["a: b #c.txt", "ş'.txt"]},
            "target": {"language": "no", "text": "- x"},
            "tasks": [
                {"kind": "pos", "train": "t", "test": {"no": "y"}},
                {"kind": "pos", "name": "two", "train": "t", "test": {"en": "null"}},
            ],
            "out": "out",
        }
    )
    text = commented(recipe, "Heading\nof two lines", {"tasks.0.train": "label\nout: evil\x85out: evil\x00"})
    values = yaml.safe_load(text)
    assert Recipe.checked(values) == recipe
    assert values["out"] == "out"


def test_several_targets(folder, capsys):
    (folder / "az.txt").write_text("bir iki\n")
    codes = ["--target", "tr", "--target", "az", "--source-text", "en.txt"]
    files = ["--train", "train.jsonl", "--test", "tr=test.csv"]

    def written(*texts: str) -> int:
        try:
            return main(["init", *codes, *(part for text in texts for part in ("--target-text", text)), *files])
        except SystemExit as end:
            return int(end.code or 0)

    assert written("tr=tr.txt", "az.txt") == 2
    assert "--target-text takes CODE=TEXT with several targets" in capsys.readouterr().err
    assert written("tr=tr.txt") == 2
    assert "--target has az without text" in capsys.readouterr().err
    assert written("tr=tr.txt", "az=az.txt", "de=tr.txt") == 2
    assert "--target-text has de" in capsys.readouterr().err
    assert written("tr=tr.txt", "az=az.txt") == 0
    recipe = Recipe.load("recipe.yaml")
    recipe.check_files()
    assert [part.language for part in recipe.languages] == ["en", "tr", "az"]
    assert recipe.name == "tr-az-classification"
    text = (folder / "recipe.yaml").read_text()
    assert "no az file, so transfer to it will not be measured" in text
    assert "one epoch over all texts, in equal parts, is about 9 tokens" in text
