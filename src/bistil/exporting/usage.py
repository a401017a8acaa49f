"""How a model is used and cited, for its card."""

from collections.abc import Mapping
from typing import Any

from bistil.report.languages import language_name

_NAME = "OWNER/NAME"
CITATION = """\
```bibtex
@inproceedings{ansell-etal-2023-distilling,
  title = {Distilling Efficient Language-Specific Models for Cross-Lingual Transfer},
  author = {Ansell, Alan and Ponti, Edoardo Maria and Korhonen, Anna and Vuli{\\'c}, Ivan},
  booktitle = {Findings of the Association for Computational Linguistics: ACL 2023},
  year = {2023}
}
@inproceedings{ansell-etal-2022-composable,
  title = {Composable Sparse Fine-Tuning for Cross-Lingual Transfer},
  author = {Ansell, Alan and Ponti, Edoardo Maria and Korhonen, Anna and Vuli{\\'c}, Ivan},
  booktitle = {Proceedings of the 60th Annual Meeting of the Association for Computational Linguistics},
  year = {2022}
}
```"""


def usage(report: Mapping[str, Any], task: Mapping[str, Any] | None) -> list[str]:
    """Three ways to use a model, as blocks of Markdown."""
    intro = f"`{_NAME}` is the model's id on the hub, or its folder."
    text = f'"A text in {language_name(report["target"])}."'
    if task is None:
        return ["## Use it", intro, _python(_student(text)), "Or fine-tune it:", _python(_TRAINED)]
    pipeline = task.get("pipeline")
    asked = 'question="A question?", context="A text with the answer."' if pipeline == _QUESTIONS else text
    blocks = ["## Use it", intro]
    if pipeline:
        blocks.append(
            _python(
                f'from transformers import pipeline\n\nmodel = pipeline("{pipeline}", "{_NAME}")\nmodel({asked})'
            )
        )
    else:
        blocks += ["Transformers has no head for this task; bistil brings it.", _python(_REGISTERED)]
    if pipeline == "token-classification":
        blocks.append("The pipeline labels pieces of words. bistil labels words:")
    blocks.append(
        _python(f'import bistil  # pip install "bistil[train]"\n\nmodel = bistil.load("{_NAME}")\nmodel({asked})')
    )
    file = "questions.json" if pipeline == _QUESTIONS else "texts.txt"
    return [*blocks, f"```sh\nbistil predict {_NAME} {file}\n```"]


_QUESTIONS = "question-answering"
_REGISTERED = f"""\
import bistil.tasks  # pip install "bistil[train]"
from transformers import AutoModel

model = AutoModel.from_pretrained("{_NAME}")"""
_TRAINED = f"""\
import bistil  # pip install "bistil[train]"

bistil.train("{_NAME}", task="classification", train="train.jsonl", output_dir="classifier")"""


def _student(text: str) -> str:
    return f"""\
from transformers import pipeline

encoder = pipeline("feature-extraction", "{_NAME}")
encoder({text})"""


def _python(code: str) -> str:
    return f"```python\n{code}\n```"
