"""The parsing task: reading, windows, scores against another evaluation, and the way through a pipeline."""

import copy
import io
import json
import random
from itertools import pairwise

import conllu
import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer
from typer.testing import CliRunner

from bistil.cli import app, main
from bistil.errors import BistilError
from bistil.models.parser import ParserOutput
from bistil.models.students import make_student
from bistil.pipeline.runs import run
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.runtime.trees import best_tree, is_tree
from bistil.sparse.delta import SparseDelta
from bistil.tasks import Parsing, PartOfSpeech, Prediction, task_kind, task_of
from bistil.tasks.saved import load
from bistil.tasks.words import Sentence
from bistil.training.ticket import Length
from bistil.training.transfer import TaskTraining, distill_task

SENTENCE = """\
# sent_id = 1
# text = Evdeki kedi uyudu.
1-2	Evdeki	_	_	_	_	_	_	_	_
1	Evde	ev	NOUN	_	Case=Loc	3	nmod	_	_
2	ki	ki	PART	_	_	1	case	_	_
3	kedi	kedi	NOUN	_	_	4	nsubj:pass	_	_
3.1	boş	_	VERB	_	_	_	_	_	_
4	uyudu	uyu	VERB	_	_	0	root	_	SpaceAfter=No
5	.	.	PUNCT	_	_	4	punct	_	_
"""
GOLD = ("3:nmod", "1:case", "4:nsubj", "0:root", "4:punct")
TASK = Parsing(("case", "nmod", "nsubj", "punct", "root"))


def written(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def predicted(*labels: str) -> Prediction:
    return Prediction(labels, (1.0,) * len(labels))


def test_heads_and_relations_are_read_with_and_without_subtypes(tmp_path):
    file = written(tmp_path / "a.conllu", f"{SENTENCE}\n{SENTENCE}")
    examples = Parsing.read(file)
    assert [example.gold for example in examples] == [GOLD] * 2
    assert examples[1].source.endswith("a.conllu, sentence at line 11")
    subtypes = task_kind("parsing-subtypes")
    assert subtypes.read(file)[0].gold == (*GOLD[:2], "4:nsubj:pass", *GOLD[3:])
    assert Parsing.from_examples(examples) == TASK
    assert "nsubj:pass" in subtypes.from_examples(subtypes.read(file)).labels


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t3\tnmod", "\tx\tnmod", "line 4: the head is 'x'"),
        ("\t3\tnmod", "\t_\tnmod", "line 4: the head is '_'"),
        ("\t3\tnmod", "\t²\tnmod", "line 4: the head is '²'"),
        ("\t3\tnmod", "\t-1\tnmod", "line 4: the head is '-1'"),
        ("\t3\tnmod", "\t6\tnmod", "line 4: the head is word 6, but the sentence ends with word 5"),
        ("\t3\tnmod", "\t1\tnmod", "line 4: word 1 is its own head"),
        ("\t3\tnmod", "\t3\t_", "line 4: there is no relation to the head 3"),
        ("\t3\tnmod", "\t0\tnmod", r"line 8: another word is the root already \(.*line 4\)"),
        ("\t0\troot", "\t5\troot", "sentence at line 1: no word is the root"),
        ("\t4\tnsubj", "\t2\tnsubj", "line 4: word 1 is its own head by way of others"),
    ],
)
def test_what_is_no_tree_is_named(old, new, message, tmp_path):
    with pytest.raises(BistilError, match=message) as caught:
        Parsing.read(written(tmp_path / "bad.conllu", SENTENCE.replace(old, new, 1)))
    assert "bad.conllu" in str(caught.value)


def test_treebanks_without_trees_can_be_parsed_but_not_learned_from(tmp_path):
    lines = [line.split("\t") for line in SENTENCE.splitlines()]
    bare = ["\t".join([*line[:6], "_", "_", *line[8:]]) if len(line) > 1 else line[0] for line in lines]
    (example,) = Parsing.read(written(tmp_path / "bare.conllu", "\n".join(bare) + "\n"))
    assert example.gold is None
    with pytest.raises(BistilError, match=r"bare.conllu, sentence at line 1: the example has no label"):
        Parsing.from_examples([example])


def test_relations_that_training_lacks_are_wrong_if_they_are_universal_and_else_an_error(tmp_path):
    gold = [Sentence(("a", "b"), ("0:root", "1:clf"))]
    TASK.check(gold)
    assert TASK.score(gold, [predicted("0:root", "1:case")]) == {"las": 50, "uas": 100}
    with pytest.raises(BistilError, match=r"text given: the relation 'nsbj' is not in the training data"):
        TASK.check([Sentence(("a", "b"), ("0:root", "1:nsbj"))])


def evaluated(gold_file: str, system_file: str) -> dict[str, float]:
    """UAS and LAS as the evaluation of CoNLL 2018 defines them, from two files with the same words."""

    def rows(text):
        return [
            [
                (token["id"], token["head"], token["deprel"].split(":")[0])
                for token in sentence
                if isinstance(token["id"], int)
            ]
            for sentence in conllu.parse(text)
        ]

    gold, system = rows(gold_file), rows(system_file)
    assert [len(one) for one in gold] == [len(one) for one in system]
    words = [pair for one, other in zip(gold, system, strict=True) for pair in zip(one, other, strict=True)]
    return {
        "uas": 100 * sum(a[1] == b[1] for a, b in words) / len(words),
        "las": 100 * sum(a[1:] == b[1:] for a, b in words) / len(words),
    }


def test_scores_agree_with_an_evaluation_of_the_files(tmp_path):
    chance = random.Random(0)
    examples = Parsing.read(written(tmp_path / "a.conllu", "\n".join([SENTENCE] * 30)))
    predictions = [
        predicted(
            *(
                f"{chance.randrange(6)}:{chance.choice(TASK.labels)}" if chance.random() < 0.3 else item
                for item in GOLD
            )
        )
        for _ in examples
    ]
    system = "\n".join(map(TASK.render, examples, predictions))
    found = TASK.score(examples, predictions)
    assert found == pytest.approx(evaluated("\n".join([SENTENCE] * 30), system))
    assert 0 < found["las"] < found["uas"] < 100


def test_scores_of_each_relation():
    gold = [Sentence(("a", "b", "c", "d"), ("2:case", "0:root", "2:nmod", "3:case"))]
    per_label = TASK.per_label(gold, [predicted("2:case", "0:root", "2:case", "2:case")])
    assert per_label["case"] == {
        "precision": pytest.approx(100 / 3),
        "recall": 50,
        "f1": pytest.approx(40),
        "support": 2,
    }
    assert per_label["nmod"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert list(per_label) == ["case", "nmod", "root"]
    with pytest.raises(ValueError, match="1 predictions for 4"):
        TASK.score(gold, [predicted("2:case")])


def long_example(tiny_lines, words=90):
    """Heads reach over the cuts of windows: every word hangs on the 40th, some on the word before."""
    row = [word for line in tiny_lines["tr"] for word in line.split()][:words]
    heads = [0 if n == 40 else 40 if n % 3 or n == 1 else n - 1 for n in range(1, words + 1)]
    return Sentence(tuple(row), tuple(f"{head}:{'nmod' if head else 'root'}" for head in heads))


def test_features_count_heads_from_the_window_and_leave_out_those_in_others(tiny_tokenizer, tiny_lines):
    examples = [Sentence(("Yedi", "kitabı", "."), ("2:nmod", "0:root", "2:punct")), long_example(tiny_lines)]
    first, *windows = TASK.features(examples, tiny_tokenizer, 40)
    assert (first["heads"], first["labels"]) == ([2, 0, 2], [1, 4, 3])
    assert len(windows) > 2
    start = 0
    for feature in windows:
        pieces = [tiny_tokenizer.encode(word, add_special_tokens=False) for word in examples[1].words[start:]]
        count = len(feature["heads"])
        expected = [number for number in range(count) for _ in pieces[number]]
        assert feature["word_ids"] == [-1, *expected, -1]
        assert len(feature["input_ids"]) == len(feature["attention_mask"]) == len(expected) + 2 <= 40
        for word, (head, label) in enumerate(
            zip(feature["heads"], feature["labels"], strict=True), start=start + 1
        ):
            gold = int(examples[1].gold[word - 1].split(":")[0])
            inside = gold == 0 or start < gold <= start + count
            assert head == (-100 if not inside else gold - start if gold else 0)
            assert label == (-100 if not inside else TASK.labels.index("nmod" if gold else "root"))
        start += count
    assert start == 90


def test_collated_features_are_padded_with_what_does_not_count(tiny_tokenizer, tiny_lines):
    features = TASK.features([long_example(tiny_lines)], tiny_tokenizer, 40)
    batch = TASK.collator(tiny_tokenizer)(features)
    assert set(batch) == {"input_ids", "attention_mask", "word_ids", "heads", "labels"}
    assert batch["heads"].shape == batch["labels"].shape == (len(features), max(len(f["heads"]) for f in features))
    assert int(batch["word_ids"].max()) + 1 == batch["heads"].shape[1]
    assert (batch["word_ids"][batch["attention_mask"] == 0] == -1).all()
    assert (batch["input_ids"][batch["attention_mask"] == 0] == tiny_tokenizer.pad_token_id).all()
    for row, feature in enumerate(features):
        assert batch["heads"][row].tolist()[: len(feature["heads"])] == feature["heads"]
        assert set(batch["heads"][row].tolist()[len(feature["heads"]) :]) <= {-100}


@pytest.fixture(scope="module")
def model(tiny_teacher):
    """A parser that has opinions."""
    made = TASK.new_model(tiny_teacher)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for part in (made.arcs, made.relations):
            torch.nn.init.normal_(part.weight, 0.0, 0.5)
    return made


@torch.no_grad()
def test_predictions_are_the_best_tree_of_each_sentence_by_itself(model, tiny_tokenizer, tiny_lines):
    examples = [TASK.parse(line) for line in tiny_lines["tr"][:7]] + [TASK.parse(""), TASK.parse("Evet")]
    assert model.training
    predictions = TASK.predict(model, tiny_tokenizer, examples, batch_size=4)
    assert model.training
    model.eval()
    for example, prediction in zip(examples, predictions, strict=True):
        if not example.words:
            assert prediction == Prediction((), ())
            continue
        pieces = [tiny_tokenizer.encode(word, add_special_tokens=False) for word in example.words]
        outputs = model(
            torch.tensor([[0, *(piece for own in pieces for piece in own), 2]]),
            torch.ones(1, 2 + sum(map(len, pieces)), dtype=torch.long),
            torch.tensor([[-1, *(number for number, own in enumerate(pieces) for _ in own), -1]]),
        )
        heads = best_tree(outputs.arc_logits[0].numpy())
        for word, (head, item) in enumerate(zip(heads, prediction.labels, strict=True)):
            relation = outputs.relation_logits[0, word, head].softmax(-1)
            for number, label in enumerate(TASK.labels):  # the root, and no other word, is called so
                if (label == "root") != (head == 0):
                    relation[number] = 0
            assert item == f"{head}:{TASK.labels[int(relation.argmax())]}"
            likely = float(outputs.arc_logits[0, word].softmax(-1)[head] * relation.max())
            assert prediction.probabilities[word] == pytest.approx(likely, abs=1e-4)
    model.train()
    assert TASK.predict(model, tiny_tokenizer, []) == []


def test_every_word_of_a_long_sentence_gets_a_head_in_one_tree(model, tiny_tokenizer, tiny_lines):
    words = long_example(tiny_lines, 300).words
    short, long = TASK.predict(model, tiny_tokenizer, [Sentence(words[:4]), Sentence(words)], batch_size=2)
    heads = [int(item.split(":")[0]) for item in long.labels]
    assert len(heads) == len(long.probabilities) == 300
    assert is_tree(heads)
    root = heads.index(0) + 1
    windows = TASK.features([Sentence(words, ("0:root",) * 300)], tiny_tokenizer, 128)
    starts = np.cumsum([0, *(len(window["heads"]) for window in windows)])
    assert 1 <= root <= starts[1]
    for start, end in pairwise(starts[1:]):
        outside = [word for word in range(start + 1, end + 1) if not start < heads[word - 1] <= end]
        assert len(outside) == 1
        assert heads[outside[0] - 1] == root
        assert not long.labels[outside[0] - 1].endswith(":root")
        alone = TASK.predict(model, tiny_tokenizer, [Sentence(words[start:end])])[0]
        assert [int(item.split(":")[0]) for item in alone.labels] == [
            0 if head == root else head - start for head in heads[start:end]
        ]  # fmt: skip
    assert len(short.labels) == 4


@torch.no_grad()
def test_lenient_scores_need_no_tree(model, tiny_tokenizer):
    lines = ["Öğretmen sabahleyin küçük evi okuyor", "komşum yedi kitabı", "evi"]
    gold = [("2:nmod", "0:root", "1:case", "5:nsubj", "2:nmod"), ("0:root", "1:nmod", "2:case"), ("0:root",)]
    examples = [Sentence(tuple(line.split()), items) for line, items in zip(lines, gold, strict=True)]
    heads = both = 0
    for example in examples:
        (feature,) = TASK.features([example], tiny_tokenizer, 128)
        outputs = model.eval()(**TASK.collator(tiny_tokenizer)([feature]))
        for word, item in enumerate(example.gold):
            head, relation = item.split(":")
            right = int(outputs.arc_logits[0, word].argmax()) == int(head)
            heads += right
            both += right and TASK.labels[int(outputs.relation_logits[0, word, int(head)].argmax())] == relation
    found = TASK.lenient_scores(model, tiny_tokenizer, examples)
    assert found == {"las": pytest.approx(100 * both / 9), "uas": pytest.approx(100 * heads / 9)}
    # With the greedy heads and the relations to them as gold, nothing is wrong, though they are no trees.
    greedy = []
    for example in examples:
        (feature,) = TASK.features([example], tiny_tokenizer, 128)
        outputs = model(**TASK.collator(tiny_tokenizer)([feature]))
        best = outputs.arc_logits[0].argmax(-1)
        relations = outputs.relation_logits[0, range(len(best)), best].argmax(-1)
        items = zip(best.tolist(), relations.tolist(), strict=True)
        greedy.append(Sentence(example.words, tuple(f"{head}:{TASK.labels[one]}" for head, one in items)))
    assert not all(is_tree([int(item.split(":")[0]) for item in example.gold]) for example in greedy)
    assert TASK.lenient_scores(model, tiny_tokenizer, greedy) == {"las": 100, "uas": 100}


def test_head_loss_is_a_soft_cross_entropy_over_words():
    generator = torch.Generator().manual_seed(0)
    least = torch.finfo(torch.float32).min
    outputs = []
    for _ in range(2):
        arcs = torch.randn(2, 3, 4, generator=generator)
        arcs[1, :, 3] = least  # the second sentence has two words
        outputs.append(ParserOutput(arc_logits=arcs, relation_logits=torch.randn(2, 3, 4, 5, generator=generator)))
    student, teacher = outputs
    student.arc_logits.requires_grad_()
    word_ids = torch.tensor([[-1, 0, 1, 2, -1], [-1, 0, 1, -1, -1]])
    loss = Parsing.head_loss(student, teacher, {"word_ids": word_ids})

    def entropy(one, other):
        return -float((torch.softmax(other / 2, -1) * torch.log_softmax(one / 2, -1)).sum().detach())

    arcs, relations = [], []
    for row, words in enumerate([3, 2]):
        for word in range(words):
            real = slice(0, words + 1)
            arcs.append(entropy(student.arc_logits[row, word, real], teacher.arc_logits[row, word, real]))
            head = int(teacher.arc_logits[row, word].argmax())
            relations.append(
                entropy(student.relation_logits[row, word, head], teacher.relation_logits[row, word, head])
            )
    assert loss.item() == pytest.approx(sum(arcs) / 5 + sum(relations) / 5, rel=1e-5)
    loss.backward()
    assert student.arc_logits.grad.isfinite().all()
    assert not student.arc_logits.grad[1, 2].any()


def test_rendering_fills_heads_and_relations_alone(tmp_path):
    (example,) = task_kind("parsing-subtypes").read(written(tmp_path / "a.conllu", SENTENCE))
    assert TASK.render(example, predicted(*example.gold)) == SENTENCE
    enhanced = SENTENCE.replace("\troot\t_", "\troot\t0:root|3.1:conj")
    (example,) = task_kind("parsing-subtypes").read(written(tmp_path / "b.conllu", enhanced))
    other = TASK.render(example, predicted("0:root", "1:case", "1:case", "1:case", "1:punct"))
    assert [line.split("\t")[6:9] for line in other.splitlines()[2:]] == [
        ["_", "_", "_"], ["0", "root", "_"], ["1", "case", "_"], ["1", "case", "_"], ["_", "_", "_"],
        ["1", "case", "_"], ["1", "punct", "_"],
    ]  # fmt: skip
    raw = TASK.parse("“Evet!” dedi.")
    (sentence,) = conllu.parse(
        TASK.render(raw, predicted("2:case", "5:nsubj", "2:punct", "2:punct", "0:root", "5:punct"))
    )
    assert [token["head"] for token in sentence] == [2, 5, 2, 2, 0, 5]
    assert sentence[0]["deps"] is None


def test_the_student_learns_without_dropout_from_the_teachers_head(model, tiny_teacher, tiny_tokenizer, tmp_path):
    encoder, alignment = make_student(AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False), (2, 4))
    encoder.save_pretrained(tmp_path / "student")
    student, teacher = TASK.new_model(tmp_path / "student", 1), copy.deepcopy(model)
    examples = [Sentence(("Yedi", "kitabı", "okuyor"), ("2:nmod", "3:nsubj", "0:root"))] * 8
    features, losses = TASK.features(examples, tiny_tokenizer, 32), []
    training = TaskTraining((Length(2), Length(2)), batch=4, learning_rate=1e-3, density=0.1, seed=0)
    delta = distill_task(
        teacher, student, alignment, {"en": features}, TASK.collator(tiny_tokenizer), TASK.head_loss, training,
        tmp_path / "training", lambda step, note: losses.append(note),
    )  # fmt: skip
    assert {module.p for module in student.modules() if isinstance(module, torch.nn.Dropout)} == {0.0}
    assert teacher.arcs.weight.equal(model.arcs.weight)
    assert delta.density == pytest.approx(0.1, rel=0.05)
    assert set(delta.dense) == {name for name, _ in student.named_parameters() if not name.startswith("encoder.")}
    values = [float(note.split("loss ")[1]) for note in losses if "loss" in note]
    assert len(values) == 8
    assert values[3] < values[0]  # the same batch over and over: without dropout its loss falls at every step
    assert values[7] < values[4]


@pytest.fixture(scope="module")
def treebanks(tmp_path_factory, tiny_lines):
    """The verb is the root; all else hangs on it, but for punctuation, which hangs on the word before."""
    folder = tmp_path_factory.mktemp("treebanks")
    verbs = {"reads", "builds", "sees", "forgets", "carries", "paints", "measures", "sells"}
    verbs |= {"okuyor", "yapıyor", "görüyor", "unutuyor", "taşıyor", "boyuyor", "ölçüyor", "satıyor"}
    for language, lines in tiny_lines.items():
        (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
        blocks = []
        for line in lines:
            words = TASK.parse(line).words
            root = next(number for number, word in enumerate(words, start=1) if word in verbs)
            rows = []
            for number, word in enumerate(words, start=1):
                if word in (",", "."):
                    head, relation = number - 1, "punct"
                else:
                    head, relation = (0, "root") if number == root else (root, "nsubj" if number < root else "obj")
                rows.append("\t".join([str(number), word, *"____", str(head), relation, "_", "_"]))
            blocks.append("\n".join(rows) + "\n")
        (folder / f"{language}.conllu").write_text("\n".join(blocks), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(treebanks, tiny_teacher):
    recipe = {
        "name": "tiny",
        "teacher": str(tiny_teacher),
        "source": {"language": "en", "text": str(treebanks / "en.txt")},
        "target": {"language": "tr", "text": str(treebanks / "tr.txt")},
        "distill": {"tokens": 1024, "sequence_length": 16, "batch_size": 8},
        "tasks": [
            {
                "kind": "parsing",
                "train": str(treebanks / "en.conllu"),
                "test": {"tr": str(treebanks / "tr.conllu"), "en": str(treebanks / "en.conllu")},
                "epochs": [3, 6],
                "min_steps": 0,
                "max_train_samples": 120,
                "batch_size": 8,
                "density": 0.5,
                "teacher_learning_rate": 3e-3,
                "student_learning_rate": 3e-3,
            }
        ],
        "baselines": [],
        "out": str(treebanks / "out"),
    }
    return run(Recipe.model_validate(recipe), Progress(io.StringIO()))


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_a_parser_is_distilled(finished, treebanks):
    (task,) = finished.report["tasks"]
    assert task["metric"] == "LAS"
    assert task["scores"]["teacher"]["en"][0] > 75
    assert task["scores"]["student"]["en"][0] > 60  # attached to the word before and named at random: about 20
    assert all(":" in item for item in task["examples"][0]["student"])
    assert "LAS" in (finished.output_dir / "report.md").read_text()
    folder = finished.output_dir / "tasks" / "parsing"
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.encoder.config.num_hidden_layers == 2
    learned = task_of(model)
    assert isinstance(learned, Parsing)
    examples = Parsing.read(treebanks / "en.conllu")
    found = learned.score(examples, learned.predict(model, tokenizer, examples))
    assert found["las"] == pytest.approx(task["scores"]["student"]["en"][0])


@pytest.mark.slow
def test_a_saved_parser_on_the_command_line(finished, treebanks, tmp_path):
    folder = str(finished.output_dir / "tasks" / "parsing")
    file = str(treebanks / "en.conllu")
    result = json.loads(printed("eval", folder, file, "--lenient", "--json"))
    assert result["scores"]["las"] == pytest.approx(finished.report["tasks"][0]["scores"]["student"]["en"][0])
    model, tokenizer, task = load(finished.output_dir / "tasks" / "parsing")
    lenient = task.lenient_scores(model, tokenizer, task.read(treebanks / "en.conllu"))
    assert result["scores"]["uas_lenient"] == lenient["uas"]
    assert result["scores"]["las_lenient"] == lenient["las"]
    assert "\nLAS " in printed("eval", folder, file)
    (tmp_path / "raw.txt").write_text("The teacher reads fresh bread.\n")
    (sentence,) = conllu.parse(printed("predict", folder, str(tmp_path / "raw.txt")))
    assert is_tree([token["head"] for token in sentence])


def test_other_tasks_have_no_lenient_scores_and_are_told_apart_by_what_their_folders_say(
    tiny_teacher, tmp_path, capsys
):
    tokenizer = AutoTokenizer.from_pretrained(tiny_teacher)
    for kind in (PartOfSpeech, task_kind("xpos"), task_kind("parsing-subtypes")):
        folder = tmp_path / kind.kind
        kind(("NOUN", "VERB")).new_model(tiny_teacher).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        assert type(load(folder)[2]) is kind
    file = written(tmp_path / "a.conllu", SENTENCE)
    assert main(["eval", str(tmp_path / "pos"), str(file), "--lenient"]) == 2
    assert "There is no lenient evaluation of pos" in capsys.readouterr().err


def test_a_parsers_delta_makes_the_parser_of_its_encoder(model, tiny_teacher, tmp_path):
    tuned = copy.deepcopy(model)
    with torch.no_grad():
        tuned.encoder.encoder.layer[0].output.dense.weight[1] += 1
    SparseDelta.diff(AutoModel.from_pretrained(tiny_teacher), tuned).save(tmp_path)
    printed("delta", "apply", str(tmp_path), "--model", str(tiny_teacher), "--out", str(tmp_path / "out"))
    found = load(tmp_path / "out")[0]
    assert found.config.bistil_task == "parsing"
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in tuned.state_dict().items())


@pytest.mark.realdata
def test_every_sentence_of_the_real_treebanks_is_a_tree_that_decoding_gives_back(realdata):
    files = [*sorted((realdata / "ud").glob("*-test.conllu")), realdata / "nc" / "ud" / "eu_bdt-test.conllu"]
    assert len(files) == 8
    for file in files:
        examples = Parsing.read(file)
        Parsing(("root", "nsubj")).check(examples)
        for example in examples:
            heads = np.array([int(item.split(":")[0]) for item in example.gold])
            scores = np.zeros((len(heads), len(heads) + 1))
            scores[np.arange(len(heads)), heads] = 1
            assert best_tree(scores).tolist() == heads.tolist(), example.source
