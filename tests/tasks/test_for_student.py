"""A student learns its teacher's predictions: no labels of plain text are looked for, for no loss reads them."""

from dataclasses import replace

import pytest
import torch

from bistil.tasks.registry import task_kind
from bistil.tasks.squad import Answer, Question

LABELS = {
    "pos": ("NOUN", "PUNCT", "VERB"),
    "ner": ("O", "B-LOC", "I-LOC"),
    "parsing": ("nsubj", "punct", "root"),
    "classification": ("food", "music", "sport"),
}


def others(kind, example, labels):
    """The example under labels that differ at each place."""
    if kind == "classification":
        return replace(example, label=labels[2])
    if kind == "parsing":
        return replace(example, gold=tuple(f"{place}:{labels[0]}" for place in range(len(example.words))))
    return replace(example, gold=tuple(labels[place % 3] for place in range(len(example.words))))


@pytest.mark.parametrize("kind", LABELS)
def test_the_loss_of_plain_text_is_that_of_any_labels(kind, tiny_teacher, tiny_tokenizer, tiny_lines):
    labels = LABELS[kind]
    task = task_kind(kind)(labels)
    teacher, student = (task.new_model(tiny_teacher, seed).eval() for seed in (0, 1))
    if kind == "ner":
        with torch.no_grad():
            teacher.classifier.bias += torch.tensor([-9.0, 9, 0])  # each word an entity: no line is left out
    found = task.for_student(tiny_lines["tr"][:8], [], teacher, tiny_tokenizer, 8)
    assert len(found) == 8

    def loss(examples):
        features = task.features(examples, tiny_tokenizer, 64)
        batch = task.collator(tiny_tokenizer)([dict(feature) for feature in features])
        with torch.no_grad():
            return float(task.head_loss(student(**batch), teacher(**batch), batch))

    assert task.with_any_label(list(map(task.parse, tiny_lines["tr"][:8]))) == found
    found_loss = loss(found)
    assert found_loss > 0
    assert loss([others(kind, one, labels) for one in found]) == found_loss


def test_the_loss_of_questions_is_that_of_any_answers(tiny_teacher, tiny_tokenizer):
    task = task_kind("qa")()
    teacher, student = (task.new_model(tiny_teacher, seed).eval() for seed in (0, 1))
    asked = [Question("Who slept?", "The cat slept. The dog did not."), Question("Who ran?", "Nobody ran.")]

    def loss(examples):
        batch = task.collator(tiny_tokenizer)([dict(one) for one in task.features(examples, tiny_tokenizer, 64)])
        with torch.no_grad():
            return float(task.head_loss(student(**batch), teacher(**batch), batch))

    found = loss(task.with_any_label(asked))
    assert found > 0
    assert loss([replace(one, answers=(Answer(one.context[:3], 0),)) for one in asked]) == found
