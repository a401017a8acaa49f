from pathlib import Path

import pytest
import yaml

from bistil.errors import BistilError
from bistil.recipe.recipe import Recipe

RECIPE = """\
name: basque-pos
source: {language: en, text: en.txt}
target: {language: eu, text: [eu.txt, more/*.txt]}
vocabulary: {min_probability: 1e-6}
tasks:
  - {kind: pos, train: train.conllu, test: {eu: eu.conllu, en: en.conllu}, epochs: [3, 10]}
out: runs/basque-pos
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def test_values_and_defaults(path):
    recipe = Recipe.load(path)
    assert recipe.teacher == "bundled:multilingual-e5-small"
    assert recipe.source.text == ("en.txt",)
    assert recipe.target.text == ("eu.txt", "more/*.txt")
    assert recipe.vocabulary.min_probability == 1e-6
    task = recipe.tasks[0]
    assert (task.kind, task.name, task.epochs, task.test["eu"]) == ("pos", "pos", (3, 10), Path("eu.conllu"))
    assert task.validation is None
    assert recipe.baselines == ("layer_drop",)


def test_save_and_load_give_the_same_recipe(path, tmp_path):
    recipe = Recipe.load(path, ["tasks.0.max_train_samples=12", "student.layers=[2, 5]"])
    recipe.save(tmp_path / "saved.yaml")
    assert Recipe.load(tmp_path / "saved.yaml") == recipe
    assert sorted(p.name for p in tmp_path.iterdir()) == ["recipe.yaml", "saved.yaml"]


def test_overrides(path):
    recipe = Recipe.load(
        path,
        ["distill.tokens=1_000_000", "tasks.0.density=0.1", "seeds=[0, 1]", "tasks.0.test.eu=a=b.conllu"],
    )
    assert recipe.distill.tokens == 1_000_000
    assert recipe.distill.sequence_length == 64
    assert recipe.tasks[0].density == 0.1
    assert recipe.seeds == (0, 1)
    assert recipe.tasks[0].test["eu"] == Path("a=b.conllu")
    assert recipe.override(["distill.batch_size=2"]).distill.model_dump() == {
        **recipe.distill.model_dump(),
        "batch_size": 2,
    }


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("distill.token=5", ["unknown key 'distill.token'", "Did you mean 'distill.tokens'?"]),
        ("tasks.0.densty=0.1", ["'tasks.0.densty'", "Did you mean 'tasks.0.density'?"]),
        ("sorce=1", ["Did you mean 'source'?"]),
        ("layer_reduction=2", ["Did you mean student.layer_reduction?"]),
        ("max_length=2", ["Did you mean tasks.0.max_length?"]),
        ("vocabulary.zzz=2", ["Known keys there: min_probability, sample_lines, further."]),
        ("distill.tokens", ["--set takes KEY=VALUE", "'distill.tokens'"]),
        ("=3", ["--set takes KEY=VALUE"]),
        ("tasks.3.density=1", ["no item 3", "0 to 0"]),
        ("name.first=1", ["'first' has no place there"]),
        ("seeds=[0", ["--set seeds", "not YAML"]),
        ("distill.tokens=many", ["'distill.tokens'", "integer", "'many'"]),
        ("tasks.0.density=1.5", ["'tasks.0.density'", "less than or equal to 1", "1.5"]),
        ("student.layers=[4, 2]", ["'student.layers'", "ascending"]),
        ("student.hidden_size=0", ["'student.hidden_size'", "greater than 0"]),
        ("student.intermediate_size=wide", ["'student.intermediate_size'", "integer"]),
        ("source.license=''", ["'source.license'", "at least 1 character"]),
        ("tasks.0.license=[MIT]", ["'tasks.0.license'", "string"]),
        ("target.language=en", ["both en"]),
        ("tasks.0.test={tr: x}", ["tasks.0.test has tr", "en and eu"]),
        ("seeds=[1, 1]", ["seeds must differ"]),
        ("seeds=[-1]", ["'seeds.0'", "greater than or equal to 0"]),
        ("seeds=[3_000_000_000]", ["'seeds.0'", "less than 2147483648"]),
        ("name=2024-13-01/x", ["'name' must be a name of letters"]),
        ("baselines=[trimmed, trimmed]", ["baselines must differ"]),
        ("baselines=[layer-drop]", ["'baselines.0' is no baseline", "did you mean layer_drop?"]),
        ("baselines=[multilingual]", ["text of further languages", "go together"]),
        ("multilingual={de: de.txt}", ["go together"]),
        ("name=../x", ["'name' must be a name of letters", "'../x'"]),
        ("target.language=Turkish", ["'target.language' must be a language code such as en", "'Turkish'"]),
    ],
)
def test_wrong_values_are_one_clear_sentence(path, override, words):
    with pytest.raises(BistilError) as error:
        Recipe.load(path, [override])
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_language_deltas_have_no_place_in_a_multilingual_baseline(path):
    deltas = ["source.delta=deltas/en", "target.delta=deltas/eu"]
    assert Recipe.load(path, deltas).source.delta == Path("deltas/en")
    with pytest.raises(BistilError, match="leave out the baseline multilingual"):
        Recipe.load(path, [*deltas, "baselines=[multilingual]", "multilingual={de: de.txt}"])


def test_wrong_files(path, tmp_path):
    with pytest.raises(BistilError, match=r"none\.yaml: No such file"):
        Recipe.load(tmp_path / "none.yaml")
    path.write_text("")
    with pytest.raises(BistilError, match="has no keys"):
        Recipe.load(path)
    path.write_text("name: x\nsource: {language: en\ntarget: 3\n")
    with pytest.raises(BistilError, match=r"recipe\.yaml, line 3: this is not YAML"):
        Recipe.load(path)
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(BistilError, match="not UTF-8"):
        Recipe.load(path)
    path.write_text(RECIPE.replace("out: runs/basque-pos\n", ""))
    with pytest.raises(BistilError, match="'out' is missing"):
        Recipe.load(path)


def test_norwegian_is_not_false(path):
    path.write_text(RECIPE.replace("eu", "no"))
    assert Recipe.load(path).target.language == "no"


def test_byte_order_mark_is_accepted(path):
    path.write_text("\ufeff" + RECIPE, encoding="utf-8")
    assert Recipe.load(path).name == "basque-pos"


def test_saved_recipe_is_plain_yaml(path, tmp_path):
    Recipe.load(path).save(tmp_path / "saved.yaml")
    values = yaml.safe_load((tmp_path / "saved.yaml").read_text())
    assert list(values)[:3] == ["name", "teacher", "source"]
    assert values["tasks"][0]["epochs"] == [3, 10]


def test_check_files_names_field_and_path(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.load(path, ["target.text=eu.txt"])
    with pytest.raises(BistilError, match=r"source\.text: .*en\.txt"):
        recipe.check_files()
    (tmp_path / "en.txt").write_text("a\n")
    (tmp_path / "eu.txt").write_text("")
    with pytest.raises(BistilError, match=r"target\.text: .*eu\.txt.* empty"):
        recipe.check_files()
    (tmp_path / "eu.txt").write_text("a\n")
    with pytest.raises(BistilError, match=r"tasks\.0\.train: there is no file train\.conllu"):
        recipe.check_files()
    for name in ("train", "eu"):
        (tmp_path / f"{name}.conllu").write_text("x")
    with pytest.raises(BistilError, match=r"tasks\.0\.test\.en: there is no file en\.conllu"):
        recipe.check_files()
    (tmp_path / "en.conllu").write_text("")
    with pytest.raises(BistilError, match=r"tasks\.0\.test\.en: en\.conllu is empty"):
        recipe.check_files()
    (tmp_path / "en.conllu").write_text("x")
    recipe.check_files()


@pytest.mark.parametrize(
    ("text", "out", "refused"),
    [
        ("corp", "corp/out", True),
        ("corp", "corp", True),
        ("corp/**/*.txt", "corp/out", True),
        ("corp/**", "corp/out", True),
        ("linked/**/*.txt", "corp/out", True),
        ("c*/*/*.txt", "corp/out", True),
        ("corp/*.txt", "corp", True),
        ("corp/tr.txt", "corp/out", False),
        ("corp/*.txt", "corp/out", False),
        ("corp/**/*.txt", "corp/.out", False),
        ("corp/**/tr*.txt", "corp/out", False),
        ("corp", "corp-out", False),
        ("corp/deep/*.txt", "corp", False),
        ("out/data/tr-0123456789.txt", "out", False),
    ],
)
def test_text_does_not_mean_the_files_of_the_run(text, out, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("en.txt", "corp/tr.txt", "corp/deep/tr.txt", "out/data/tr-0123456789.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("a line")
    Path("linked").symlink_to("corp")
    recipe = Recipe.checked(
        {
            "name": "own",
            "source": {"language": "en", "text": "en.txt"},
            "target": {"language": "tr", "text": text},
            "out": out,
        }
    )
    if not refused:
        return recipe.check_files()
    with pytest.raises(
        BistilError, match=r"target\.text: the text .* holds .*, whose files would be read as text"
    ):
        recipe.check_files()


def test_the_home_folder(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    recipe = Recipe.load(path, ["out=~/runs/x", "tasks.0.train=~/train.conllu", "tasks.0.test.eu=~/eu.conllu"])
    (task,) = recipe.tasks
    assert (recipe.out, task.train) == (tmp_path / "runs/x", tmp_path / "train.conllu")
    assert task.test == {"eu": tmp_path / "eu.conllu", "en": Path("en.conllu")}


@pytest.mark.parametrize("key", ["out", "tasks.0.train"])
def test_the_home_folder_of_nobody(path, key):
    with pytest.raises(BistilError, match=rf"'{key}' must be a path without ~nosuch, .* got '~nosuch/x'"):
        Recipe.load(path, [f"{key}=~nosuch/x"])


def test_what_is_not_set_follows_from_whether_embeddings_are_learned(recipe_file):
    plain = Recipe.load(recipe_file, ["distill.batch_size=null"])  # which the file sets
    for of in (plain, Recipe.checked(yaml.safe_load(plain.text()))):
        lines = of.override(["distill.embeddings=true"])
        assert (lines.distill.batch, lines.distill.masked) == (32, 0.0)
        blocks = lines.override(["distill.embeddings=false"])
        assert (blocks.distill.batch, blocks.distill.masked) == (8, 0.15)
    own = plain.override(["distill.embeddings=true", "distill.batch_size=4", "distill.mlm_probability=0.1"])
    assert (own.distill.batch, own.distill.masked) == (4, 0.1)
    assert own.distill.known["batch_size"] == 4
    assert lines.distill.known["mlm_probability"] == 0.0


@pytest.mark.parametrize("name", ["ner", "nli", "parsing", "qa"])
def test_the_settings_of_the_paper(name):
    """Ansell et al. 2023: 200,000 steps of 8 × 256 tokens; half of the layers, or a third."""
    path = Path(__file__).parents[2] / f"recipes/paper/{name}.yaml"
    recipe = Recipe.load(path, ["student.layers=[3,6,9,12]"])
    assert recipe.student.layers == (3, 6, 9, 12)
    recipe = Recipe.load(path)
    assert recipe.student.layers == (2, 4, 6, 8, 10, 12)
    distill = recipe.distill
    assert distill.tokens == 200_000 * distill.batch * distill.sequence_length
    assert (distill.batch, distill.sequence_length, distill.learning_rate) == (8, 256, 1e-4)
    (task,) = recipe.tasks
    assert (task.density, task.pseudo_labels, list(task.test)) == (0.08, 0, [recipe.target.language])
    with pytest.raises(BistilError, match=r"source\.text: .* does not exist"):
        recipe.check_files()


def test_true_and_false_among_the_arguments_are_not_words(path):
    given = "bf16: false, tf32: True, report_to: none, seed: 3, adam_epsilon: 1e-8, fsdp_config: {x: [false]}"
    path.write_text(f"{RECIPE}distill: {{arguments: {{{given}}}}}\n")
    found = Recipe.load(path).distill.arguments
    plain = {"bf16": False, "tf32": True, "report_to": "none", "seed": 3}
    assert found == {**plain, "adam_epsilon": 1e-8, "fsdp_config": {"x": [False]}}
    assert found["bf16"] is False


def test_aliases_of_aliases_take_neither_time_nor_memory(tmp_path):
    path = tmp_path / "recipe.yaml"
    nine = {"list": "[{}]", "merge": "{{<<: [{}]}}"}
    for kind, form in nine.items():
        lines = ["a: &a [x, x]" if kind == "list" else "a: &a {x: y}"]
        for before, name in zip("abcdefghijkl", "bcdefghijklm", strict=True):
            lines.append(f"{name}: &{name} " + form.format(", ".join([f"*{before}"] * 9)))
        path.write_text("\n".join(lines))
        with pytest.raises(BistilError, match=r"recipe\.yaml, line 6: .*more than 100,000 values"):
            Recipe.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]", "line 1: .*an alias stands within what it stands for"),
        ("name: a\nname: b", "line 1: .*the key 'name' stands twice"),
        ('a: b\nname: "\\ud83d"', "line 2: .*half of a character"),
        ("name: " + "[" * 3000, "line 1: .*nested more than 100 levels"),
        ("name: " + "9" * 5000, "this is not YAML .*4300 digits"),
        ("name: !!bool x", "this is not YAML"),
        ("name: !!int ''", "this is not YAML"),
    ],
)
def test_what_no_recipe_can_hold(text, message, tmp_path):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(BistilError, match=rf"recipe\.yaml.*{message}"):
        Recipe.load(tmp_path / "recipe.yaml")
