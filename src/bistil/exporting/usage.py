"""How a model is used and cited, for its card."""

import json
from collections.abc import Mapping
from typing import Any

from bistil.exporting.metadata import PIPELINES, embeds, first, head, in_transformers, pipeline
from bistil.report.languages import language_name

_NAME = "OWNER/NAME"
_QUESTIONS = "question-answering"
_INSTALL = 'pip install "bistil[train]"'
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
    """Three ways to use a model, and two to use a student, as blocks of Markdown."""
    blocks = ["## Use it", f"`{_NAME}` is the model's id on the hub, or its folder."]
    text = (
        f'"A text in {language_name(language)}."' if (language := next(iter(first(report)), "")) else '"A text."'
    )
    if task is None and embeds(report):
        return [*blocks, *_embedding(report, text)]
    if task is None:
        does = pipeline(report)
        asked = 'f"A {model.tokenizer.mask_token}."' if does == "fill-mask" else text
        blocks += _python("from transformers import pipeline", _pipeline(does), f"model({asked})")
        trained = f'bistil.train("{_NAME}", task="classification", train="train.jsonl", output_dir="classifier")'
        return [*blocks, "Or fine-tune it:", *_python(f"import bistil  # {_INSTALL}", trained)]
    tag = PIPELINES.get(head(task))
    asked = 'question="A question?", context="A text with the answer."' if tag == _QUESTIONS else text
    if in_transformers(task) and tag in (None, _QUESTIONS):  # transformers 5 has no pipeline for questions
        blocks += _loaded(head(task))
    elif head(task) and not tag:
        blocks += _registered()
    elif tag:
        blocks += _python("from transformers import pipeline", _pipeline(tag), f"model({asked})")
    if tag == "token-classification":
        blocks.append("The pipeline labels pieces of words. bistil labels words:")
    blocks += _python(f"import bistil  # {_INSTALL}", f'model = bistil.load("{_NAME}")', f"model({asked})")
    return [
        *blocks,
        f"```sh\nbistil predict {_NAME} {'questions.json' if tag == _QUESTIONS else 'texts.txt'}\n```",
    ]


def _embedding(report: Mapping[str, Any], text: str) -> list[str]:
    prompts: Mapping[str, str] = report["prompts"]
    encoded = f"model.encode([{text}]{f', prompt_name={_quoted(next(iter(prompts)))}' if prompts else ''})"
    named = ", ".join(f"`{name}` puts {_quoted(prompt)} before a text" for name, prompt in prompts.items())
    imports = "from sentence_transformers import SentenceTransformer"
    return [
        *_python(imports, f'model = SentenceTransformer("{_NAME}")', f"vectors = {encoded}"),
        *([f"Its prompts: {named}."] if prompts else []),
        "Or without sentence-transformers:",
        *_python(f"import bistil  # {_INSTALL}", f'model = bistil.load("{_NAME}")', f"vectors = {encoded}"),
    ]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _pipeline(tag: str) -> str:
    return f'model = pipeline("{tag}", "{_NAME}")'


def _loaded(name: str) -> list[str]:
    return _python(f"from transformers import {name}", f'model = {name}.from_pretrained("{_NAME}")')


def _registered() -> list[str]:
    imports = f"import bistil.tasks  # {_INSTALL}\nfrom transformers import AutoModel"
    loaded = _python(imports, f'model = AutoModel.from_pretrained("{_NAME}")')
    return ["Transformers has no head for this task; bistil brings it:", *loaded]


def _python(imports: str, *lines: str) -> list[str]:
    code = "\n".join(lines)
    return [f"```python\n{imports}\n\n{code}\n```"]
