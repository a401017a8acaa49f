"""Every labelled file through `bistil eval`: `python -m benchmarks.every_file`, resumable file by file.

One teacher a task, multilingual-E5-small with its whole vocabulary, tuned on a small part of the English training
data (`bistil teach`, as docs/tasks.md has it), then the documented command on each test file: seven treebanks,
seven files of entities, six of inference, four of questions. The English training data of entities and inference
are stand-ins, so that their scores check the machinery; no model of this is published. The scores are kept in
``results/every-file.json``.
"""

import json
import subprocess
import sys

from benchmarks.pairs import pair
from benchmarks.realdata import ROOT, realdata
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.pipeline.runs import teach_tasks
from bistil.progress import Progress
from bistil.recipe.recipe import Recipe

RESULT = ROOT / "results/every-file.json"
OUT = ROOT / "runs/every-file"
EXAMPLES = {"pos": 800, "ner": 800, "nli": 800, "qa": 500}
DATES = ["--map", "DATE=O"]
LETTERS = [
    part for label in ("entailment", "neutral", "contradiction") for part in ("--map", f"{label[0]}={label}")
]
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
        "ner/de_pud-test.iob2": [],
        "ner/zh_gsdsimp-test.iob2": [],
        **{f"nc/ner/{code}_masakhaner2-test.txt": DATES for code in ("hau", "pcm", "swa", "wol", "yor")},
    },
    "nli": {
        **{f"nli/{code}_americasnli-test.tsv": [] for code in ("aym", "gn", "nah", "quy")},
        "nli/id_indonli-test_lay.jsonl": LETTERS,
        "nc/nli/sw_xnli-dev.tsv": [],
    },
    "qa": {f"qa/xquad.{code}.json": ["--language", code] for code in ("en", "tr", "de", "vi")},
}


ENGLISH = {
    "pos": "ud/en_ewt-test.conllu",
    "ner": "ner/en_ewt-test.iob2",
    "nli": "nli/en_conjnli-dev.tsv",
    "qa": "qa/xquad.en.json",
}


def recipe(name: str) -> Recipe:
    """One of the tasks with an English test, for `bistil teach`; nothing of the vocabulary is cut."""
    target, kind = ("sw", "classification") if name == "nli" else ("sw" if name == "ner" else "tr", name)
    (task,) = pair(target, 2, 1, (kind,)).tasks
    own = {"test": {"en": str(realdata() / ENGLISH[name])}, "max_train_samples": EXAMPLES[name]}
    base = pair("tr", 2, 1, ()).model_dump(mode="json")
    changed = {"name": "every-file", "tasks": [{**task.model_dump(mode="json"), **own}], "out": str(OUT)}
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
