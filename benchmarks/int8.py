"""What int8 costs students of real tasks: `python -m benchmarks.int8 [TARGET REDUCTION [TASK]]`, resumable.

Multilingual-E5-small, English to German, every second and every third layer, general distillation on 300,000
tokens; tags, entities and trees are learned on what `benchmarks.transfer` learns them on. The students are
exported as `bistil export` does it, with the German test file and the English validation file.
``results/int8.json`` has the scores in float32 and in int8, what stayed in float32, and the bytes. Some files
are under licences that forbid commercial use: no model of this is published.
"""

import sys
from tempfile import TemporaryDirectory

import bistil
from benchmarks.pairs import pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.pipeline.runs import transfer_tasks
from bistil.progress import Progress

RESULT = ROOT / "results/int8.json"
TOKENS = 300_000
WANTED = [("de", reduction, kind) for reduction in (2, 3) for kind in ("pos", "ner", "parsing")]


def main() -> None:
    """Those that are asked for, or all."""
    match sys.argv[1:]:
        case [target, every, *kinds]:
            wanted = [one for one in WANTED if one[:2] == (target, int(every)) and (not kinds or one[2] in kinds)]
        case _:
            wanted = WANTED
    for target, reduction, kind in wanted:
        rows = read_json(RESULT)["rows"] if RESULT.exists() else {}
        name = f"en-{target}, every {reduction}, {kind}"
        if name not in rows:
            recipe = pair(target, reduction, TOKENS, (kind,))
            transfer_tasks(recipe, Progress())
            (task,) = recipe.tasks
            test = {target: task.test[target], "en": task.validation or task.train}
            with TemporaryDirectory() as folder:
                report = bistil.export(recipe.out / "tasks" / task.name, folder, test=test).report
            kept = {key: report[key] for key in ("kept", "scores", "bytes", "tolerance")}
            rows = {**rows, name: described(kept)}
            write_json(RESULT, {"command": "python -m benchmarks.int8", "rows": rows})
        print(name, rows[name]["scores"], rows[name]["kept"] or "all in int8", flush=True)


if __name__ == "__main__":
    main()
