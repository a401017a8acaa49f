"""What general distillation does for a student: `python -m benchmarks.effect [TARGET REDUCTION TOKENS]`.

Multilingual-E5-small, English with Turkish, Basque and Swahili, half and a third of the layers, a million
tokens: the held-out loss on the way; how near the student's sentence vectors are to the trimmed teacher's (mean
cosine of mean-pooled last hidden states) in source, target and a third language, German, before and after; tags of
parts of speech in the target where there is a treebank, English EWT (2,000 sentences) being the source. Each run
is kept in ``results/effect.json`` when it ends, and not made again; a killed one goes on. Some files are under
licences that forbid commercial use: no model of this is published.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import conllu
import torch
from torch.nn import functional as F

from benchmarks.pairs import TREEBANKS, names_of, pair
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.models import teachers
from bistil.models.students import kept_layers
from bistil.pipeline.runs import distill, run
from bistil.progress import Progress

RESULT = ROOT / "results/effect.json"
TARGETS = ("tr", "eu", "sw")
SWAHILI, THIRD = "nc/ner/swa_masakhaner2-test.txt", "de"
SENTENCES = 300


def measure(target: str, reduction: int, tokens: int) -> dict[str, Any]:
    """One run, trained as far as it is not yet, and what came of it."""
    kinds = tuple(kind for kind in names_of(target) if kind == "pos")
    chosen, progress = pair(target, reduction, tokens, kinds), Progress()
    distilled = distill(chosen, progress)
    stages = chosen.out / "stages"
    undistilled = next(stages.glob(f"undistilled-{distilled.manifest['inputs']['student'][:10]}"))
    vocabulary = next(
        stages.glob(f"vocabulary-{read_json(undistilled / 'manifest.json')['inputs']['vocabulary'][:10]}")
    )
    folders = {"layer_drop": undistilled / "student", "student": distilled.path / "student"}
    sentences = {language: list(texts(language)) for language in ("en", target, THIRD)}
    wanted = {language: vectors(vocabulary / "model", own) for language, own in sentences.items()}
    facts = {
        **read_json(distilled.path / "distillation.json"),
        "cosine": {
            role: {
                language: float(F.cosine_similarity(vectors(folder, own), wanted[language]).mean())
                for language, own in sentences.items()
            }
            for role, folder in folders.items()
        },
    }
    if chosen.tasks:
        (task,) = run(chosen, progress).report["tasks"]
        facts["pos"] = {role: scores[target] for role, scores in task["scores"].items()}
        facts["comparisons"] = task["comparisons"][target]
    return facts


def texts(language: str) -> Iterator[str]:
    """Sentences that no student was distilled on."""
    if language == "sw":
        parts = (realdata() / SWAHILI).read_text(encoding="utf-8").strip().split("\n\n")
        yield from (" ".join(line.split()[0] for line in part.splitlines()) for part in parts[:SENTENCES])
        return
    with (realdata() / TREEBANKS[language]).open(encoding="utf-8") as file:
        for number, sentence in enumerate(conllu.parse_incr(file)):
            if number == SENTENCES:
                return
            yield sentence.metadata["text"]


@torch.inference_mode()
def vectors(folder: Path, sentences: Sequence[str]) -> torch.Tensor:
    """Mean-pooled last hidden states [sentences, width]."""
    model, tokenizer = teachers.load(folder)
    found = []
    for start in range(0, len(sentences), 32):
        inputs = tokenizer(
            list(sentences[start : start + 32]), padding=True, truncation=True, max_length=128, return_tensors="pt"
        )
        mask = inputs["attention_mask"][..., None]
        found.append((model(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1))
    return torch.cat(found)


def main() -> None:
    """The runs that are asked for, or all, in the order in which they matter most."""
    runs: Mapping[str, Any] = read_json(RESULT)["runs"] if RESULT.exists() else {}
    match sys.argv[1:]:
        case [language, every, budget]:
            wanted = [(language, int(every), int(budget))]
        case _:
            wanted = [(target, reduction, 1_000_000) for reduction in (2, 3) for target in TARGETS]
    for target, reduction, tokens in wanted:
        layers = " ".join(map(str, kept_layers(12, reduction)))
        name = f"en-{target}, {layers}, {tokens}"
        if name not in runs:
            runs = {**runs, name: described(measure(target, reduction, tokens))}
            write_json(RESULT, {"command": "python -m benchmarks.effect", "runs": runs})
        facts = runs[name]
        print(name, json.dumps({key: facts.get(key) for key in ("cosine", "pos")}), facts["curve"][-1])


if __name__ == "__main__":
    main()
