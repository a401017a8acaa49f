"""What trimming leaves on disk: a transformers folder, why each token was kept, the numbers, the plot."""

import csv
from pathlib import Path
from typing import Any

from bistil.files import check_published, publish, write_json
from bistil.models.folder import save_model
from bistil.packages import whole_folder
from bistil.vocabulary.trimming import TrimmedVocabulary

REPORT, TOKENS, PLOT = "vocabulary.json", "kept_tokens.tsv", "vocabulary_size.svg"


def save_trimmed(trimmed: TrimmedVocabulary, folder: Path, source: Path | None = None) -> dict[str, Any]:
    """Write the model and tokenizer, ``kept_tokens.tsv``, ``vocabulary.json`` and ``vocabulary_size.svg``.

    The folder is there whole or not at all; one that bistil wrote is replaced, any other is an error. Returns what
    the JSON has: the report with the bytes on disk and coverage by size.

    Args:
        trimmed: what `trim_vocabulary` returned.
        folder: where to write.
        source: the folder of the model before trimming, for its bytes on disk.
    """
    from bistil.report.vocabularyplot import coverage_curve, plot_coverage  # it brings matplotlib

    check_published(folder)
    with whole_folder(folder) as temporary:
        save_model(trimmed.model, trimmed.tokenizer, temporary)
        curve = coverage_curve(trimmed.counts)
        report = {
            **trimmed.report,
            "disk_bytes_before": _disk_bytes(source) if source else None,
            "disk_bytes_after": _disk_bytes(temporary),
            "coverage_by_size": curve,
        }
        _write_tokens(trimmed, temporary / TOKENS)
        plot_coverage(curve, trimmed.counts, trimmed.selection.ids, temporary / PLOT)
        write_json(temporary / REPORT, report)
        publish(temporary, folder)  # which then is there, so that the temporary one goes
    return report


def _write_tokens(trimmed: TrimmedVocabulary, path: Path) -> None:
    ids = trimmed.selection.ids
    columns = [count[ids].tolist() for count in trimmed.counts.values()]
    tokens = trimmed.tokenizer.convert_ids_to_tokens(range(len(ids)))
    rows = zip(range(len(ids)), ids.tolist(), tokens, trimmed.selection.reasons, *columns, strict=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["id", "old_id", "token", "reason", *(f"count_{language}" for language in trimmed.counts)])
        writer.writerows(rows)


def _disk_bytes(folder: Path) -> int:
    """Bytes of the weights and of the tokenizer and configuration."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".json"))
