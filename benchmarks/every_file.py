"""Every labelled file through `bistil eval`: `python -m benchmarks.every_file`, resumable file by file.

One teacher a task, multilingual-E5-small with its whole vocabulary, tuned on a small part of the English training
data (`bistil teach`, as docs/tasks.md has it), then the documented command on each test file: treebanks, entities
(by a teacher of PAN-X's silver ones), inference, intents, topics, questions. No model of this is published. The
scores are kept in ``results/every-file.json``.
"""

import json
import subprocess
import sys
from typing import Any

from benchmarks.pairs import pair
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.pipeline.runs import teach_tasks
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe

RESULT = ROOT / "results/every-file.json"
OUT = ROOT / "runs/every-file"
EXAMPLES = {"pos": 800, "ner": 2_000, "nli": 4_000, "intents": 4_000, "topics": 701, "qa": 500}
DATES = ["--map", "DATE=O"]
LETTERS = [
    part for label in ("entailment", "neutral", "contradiction") for part in ("--map", f"{label[0]}={label}")
]
INTENTS = ("en", "de", "id", "sw", "tr", "vi")
FILES: dict[str, dict[str, list[str]]] = {
    "pos": {
        "ud/de_gsd-test.conllu": [],
        "ud/ga_idt-test.conllu": [],
        "ud/id_gsd-test.conllu": [],
        "ud/tr_boun-test.conllu": [],
        "ud/vi_vtb-test.conllu": [],
        "ud/wo_wtb-test.conllu": [],
        "nc/ud/eu_bdt-test.conllu": [],
    },
    "ner": {
        **{f"ner/{code}_panx-dev.iob2": [] for code in ("de", "eu", "id", "sw", "tr", "vi")},
        "ner/en_ewt-test.iob2": DATES,
        "ner/de_pud-test.iob2": [],
        "ner/zh_gsdsimp-test.iob2": [],
        **{f"nc/ner/{code}_masakhaner2-test.txt": DATES for code in ("hau", "pcm", "swa", "wol", "yor")},
    },
    "nli": {
        **{f"nc/nli/{code}_xnli-test.tsv": [] for code in ("en", "de", "eu", "sw", "tr")},
        **{f"nli/{code}_americasnli-test.tsv": [] for code in ("aym", "gn", "nah", "quy")},
        "nli/id_indonli-test_lay.jsonl": LETTERS,
        "nli/en_conjnli-dev.tsv": [],
        "nc/nli/sw_xnli-dev.tsv": [],
        "nc/nli/en_lingnli-dev.tsv": [],
    },
    "intents": {f"intent/{code}_massive-test.tsv": [] for code in INTENTS},
    "topics": {f"topic/{code}_sib200-test.tsv": [] for code in (*INTENTS, "eu", "wo", "yo")},
    "qa": {
        **{f"qa/xquad.{code}.json": ["--language", code] for code in ("en", "tr", "de", "vi")},
        **{f"qa/{code}_tydiqa-dev.json": ["--language", code] for code in ("id", "sw")},
        "qa/de_mlqa-dev.json": ["--language", "de"],
    },
}

ENGLISH = {
    "pos": "ud/en_ewt-test.conllu",
    "ner": "ner/en_panx-dev.iob2",
    "nli": "nc/nli/en_xnli-test.tsv",
    "intents": "intent/en_massive-test.tsv",
    "topics": "topic/en_sib200-test.tsv",
    "qa": "qa/xquad.en.json",
}


def recipe(name: str) -> Recipe:
    """One of the tasks with an English test, for `bistil teach`; nothing of the vocabulary is cut."""
    if name == "topics":
        files = {key: str(realdata() / f"topic/en_sib200-{key}.tsv") for key in ("train", "dev", "test")}
        task: dict[str, Any] = {"kind": "classification", "train": files["train"], "validation": files["dev"]}
    else:
        (own,) = pair("tr", 2, 1, (name,)).tasks
        task = own.model_dump(mode="json")
    test = {"en": str(realdata() / ENGLISH[name])}
    task |= {"name": name, "test": test, "max_train_samples": EXAMPLES[name]}
    base = pair("tr", 2, 1, ()).model_dump(mode="json")
    changed = {"name": "every-file", "tasks": [task], "out": str(OUT)}
    return Recipe.checked({**base, **changed}).override(["vocabulary.min_probability=0"])


def main() -> None:
    """Tunes the teachers, each before what has no score of it yet."""
    rows = read_json(RESULT)["rows"] if RESULT.exists() else {}
    for name, files in FILES.items():
        if not files.keys() - rows.keys():
            continue
        found = teach_tasks(recipe(name), Progress())
        for file, options in files.items():
            if file in rows:
                continue
            command = ["eval", str(OUT / "teachers" / name), str(realdata() / file), "--json", *options]
            done = subprocess.run([sys.executable, "-m", "bistil", *command], capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{file}: {done.stderr}")
            scored = json.loads(done.stdout)
            facts = {
                "task": name,
                "examples": scored["examples"],
                "scores": scored["scores"],
                "english": found[name]["en"][0],
                "warnings": done.stderr.replace(str(realdata()), "…").splitlines(),
            }
            rows = {**rows, file: described(facts)}
            write_json(
                RESULT, {"command": "python -m benchmarks.every_file", "trained_on": EXAMPLES, "rows": rows}
            )
            print(file, scored["examples"], scored["scores"], flush=True)


if __name__ == "__main__":
    main()
