"""What target text is worth when a task is distilled: `python -m benchmarks.target_lines`, resumable.

Multilingual-E5-small, half of the layers, English to Turkish, a million tokens of general distillation, then
parts of speech and trees: the student learns from English alone, from English with twice the passes, and from
English and as many lines of plain Turkish. The scores are kept in ``results/target-lines.json``; stages are
those of `benchmarks.transfer`.
"""

from benchmarks.pairs import pair
from benchmarks.realdata import ROOT
from benchmarks.results import described
from benchmarks.transfer import TOKENS
from bistil import Progress, transfer_tasks
from bistil.stages import read_json, write_json

RESULT = ROOT / "results/target-lines.json"
SETTINGS = {
    "English alone": ["target_lines=0"],
    "English alone, twice the passes": ["target_lines=0", "epochs=[2,4]"],
    "English and as much Turkish": [],
}


def main() -> None:
    """All settings of both tasks; twice the passes are so for the task teacher, too."""
    rows = read_json(RESULT)["rows"] if RESULT.exists() else {}
    for kind in ("pos", "parsing"):
        for name, changes in SETTINGS.items():
            if kind == "parsing" and "twice" in name:  # trees take long, and one control is enough
                continue
            key = f"{kind}: {name}"
            if key not in rows:
                recipe = pair("tr", 2, TOKENS, (kind,)).override([f"tasks.0.{change}" for change in changes])
                (scores,) = transfer_tasks(recipe, Progress()).values()
                rows[key] = described({code: own[0] for code, own in scores.items()})
                write_json(RESULT, {"command": "python -m benchmarks.target_lines", "rows": rows})
            print(key, rows[key]["tr"], rows[key]["validation"], flush=True)


if __name__ == "__main__":
    main()
