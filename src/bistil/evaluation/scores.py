"""Zero-shot scores of a task model on labelled files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bistil.tasks.task import Task


def evaluate(
    model: Any,
    tokenizer: Any,
    task: Task[Any],
    tests: Mapping[str, Sequence[Any]],
    on_examples: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Scores, contributions to them, scores per label and predicted labels for each language, all JSON-able.

    A torch model moves to the CUDA device if there is one.
    Example: ``evaluate(model, tokenizer, task, {"tr": examples})["tr"]["scores"]["accuracy"]`` is 74.3.
    """
    results = {}
    if hasattr(model, "to"):  # an engine of ONNX runs where it is
        from bistil.training.devices import device

        model.to(device())
    for language, examples in tests.items():
        predictions = task.predict(model, tokenizer, examples)
        on_examples(len(examples))
        results[language] = {
            "scores": task.score(examples, predictions),
            "contributions": task.contributions(examples, predictions),
            "per_label": task.per_label(examples, predictions),
            "predictions": [prediction.labels for prediction in predictions],
        }
    return results
