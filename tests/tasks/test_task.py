import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import classification_report
from transformers import AutoModelForTokenClassification

from bistil.errors import BistilError
from bistil.models.families import FAMILIES
from bistil.sparse.groups import encoder_parameters
from bistil.tasks import Classification, PartOfSpeech, Prediction, task_kind, task_kinds, task_of
from bistil.tasks.classification import Example
from bistil.tasks.inference import batched, max_length

TASK = Classification(("food", "person", "plant"))


def pair(gold: str, predicted: str) -> tuple[Example, Prediction]:
    return Example(("a text",), gold), Prediction((predicted,), (0.5,))


def test_scores_of_a_hand_worked_case():
    # food: 2 gold, 1 right, 1 wrong answer "food"; person: 2 gold, 2 right, 1 wrong; plant never predicted.
    rows = [
        ("food", "food"),
        ("food", "person"),
        ("person", "person"),
        ("person", "person"),
        ("plant", "food"),
    ]
    gold, predictions = zip(*(pair(*row) for row in rows), strict=True)
    scores = TASK.score(gold, predictions)
    assert scores["accuracy"] == pytest.approx(60)
    assert scores["macro_f1"] == pytest.approx(100 * (1 / 2 + 4 / 5 + 0) / 3)
    table = TASK.per_label(gold, predictions)
    assert table["food"] == {"precision": 50, "recall": 50, "f1": 50, "support": 2}
    assert table["person"] == pytest.approx({"precision": 200 / 3, "recall": 100, "f1": 80, "support": 2})
    assert table["plant"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


def test_scores_of_random_answers_agree_with_scikit_learns_report():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(3, (200, 2), generator=generator).tolist()
    rows = [(TASK.labels[a], TASK.labels[b]) for a, b in drawn]
    gold, predictions = zip(*(pair(*row) for row in rows), strict=True)
    report = classification_report(*zip(*rows, strict=True), output_dict=True)
    scores = TASK.score(gold, predictions)
    assert scores["accuracy"] == pytest.approx(100 * report["accuracy"])
    assert scores["macro_f1"] == pytest.approx(100 * report["macro avg"]["f1-score"])
    for label, row in TASK.per_label(gold, predictions).items():
        assert row["f1"] == pytest.approx(100 * report[label]["f1-score"])
        assert row["support"] == report[label]["support"]


def test_labels_that_occur_nowhere_do_not_lower_macro_f1():
    gold, predictions = zip(pair("food", "food"), pair("person", "person"), strict=True)
    assert TASK.score(gold, predictions)["macro_f1"] == 100


def test_labels_are_sorted_and_at_least_two():
    train = [Example(("x",), label) for label in ("plant", "food", "plant")]
    assert Classification.from_examples(train).labels == ("food", "plant")
    with pytest.raises(BistilError, match=r"1 different labels \(plant\)"):
        Classification.from_examples(train[:1])


def test_an_unseen_and_a_missing_label_are_named_with_their_line():
    with pytest.raises(
        BistilError, match=r"t.csv, line 7: the label 'rock' does not occur .* food, person, plant"
    ):
        TASK.check([Example(("x",), "food"), Example(("y",), "rock", "t.csv, line 7")])
    with pytest.raises(BistilError, match="line 8: the example has no label"):
        TASK.score([Example(("y",), None, "t.csv, line 8")], [Prediction(("food",), (1.0,))])
    with pytest.raises(BistilError, match="no labelled examples"):
        TASK.score([], [])


@pytest.mark.parametrize("kind", task_kinds())
def test_a_new_model_keeps_the_encoder_and_only_the_seed_moves_the_head(kind, tiny_teacher, capfd):
    task = task_kind(kind)(("a", "b", "c"))
    state = torch.random.get_rng_state()
    model, again, other = (task.new_model(tiny_teacher, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    encoder = load_file(tiny_teacher / "model.safetensors")
    weights = model.base_model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in encoder.items())
    heads = [
        [value for name, value in one.named_parameters() if name not in encoder_parameters(one) and value.any()]
        for one in (model, again, other)
    ]
    assert all(map(torch.equal, heads[0], heads[1]))
    assert not any(map(torch.equal, heads[0], heads[2]))
    assert model.config.num_labels == 3
    assert model.dtype == torch.float32
    assert capfd.readouterr().err == ""


def test_a_saved_model_still_knows_its_task(tiny_teacher, tmp_path):
    task = PartOfSpeech(("ADJ", "NOUN", "VERB"))
    task.new_model(tiny_teacher).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["label2id"] == {"ADJ": 0, "NOUN": 1, "VERB": 2}
    assert task_of(AutoModelForTokenClassification.from_pretrained(tmp_path)) == task
    with pytest.raises(BistilError, match="does not say which task"):
        task_of(AutoModelForTokenClassification.from_pretrained(tiny_teacher))


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(BistilError, match=r"'classificaton'. Use 'classification'\."):
        task_kind("classificaton")


@pytest.mark.parametrize("family", FAMILIES)
def test_longest_input_is_what_the_model_takes(tiny_encoder, tiny_tokenizer, family):
    model = tiny_encoder(family)
    longest = max_length(model, tiny_tokenizer)
    assert longest == (63 if "roberta" in family else 64)  # its first position is after that of padding, 0
    tokens = torch.full((1, longest + 1), 7)
    assert model(tokens[:, :-1]).last_hidden_state.isfinite().all()
    if family in ("bert", "roberta", "xlm-roberta", "distilbert"):  # the others count no absolute positions
        with pytest.raises((IndexError, RuntimeError)):
            model(tokens)


class Recorder(torch.nn.Module):
    """Says of each batch how many inputs of how many tokens it had."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, int]] = []

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        self.shapes.append(tuple(input_ids.shape))
        return SimpleNamespace(first=input_ids[:, 0])


@pytest.mark.parametrize(
    ("lengths", "shapes"),
    [
        ([8192] * 3, [(1, 8192)] * 3),
        ([1024] * 9, [(8, 1024), (1, 1024)]),
        ([8192, *[512] * 40], [(1, 8192), (32, 512), (8, 512)]),
        ([*range(1, 513)], [(32, longest) for longest in range(512, 0, -32)]),  # as many as ever
    ],
)
def test_batches_of_long_inputs_are_small(lengths, shapes, tiny_tokenizer):
    model = Recorder()
    inputs = [
        {"input_ids": [number + 2] * length, "attention_mask": [1] * length}
        for number, length in enumerate(lengths)
    ]
    found = {}
    for chosen, outputs in batched(model, tiny_tokenizer, inputs, 32):
        found |= dict(zip(chosen, outputs["first"].tolist(), strict=True))
    assert model.shapes == shapes
    assert found == {number: one["input_ids"][0] for number, one in enumerate(inputs)}
