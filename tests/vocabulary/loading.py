"""What a folder gives when transformers loads it: imported here, and run where another release is installed."""

import json
import sys
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoTokenizer

TEXTS = ["The teacher reads seven books, 7.", "öğretmen  yedi kitabı okuyor query: zzyzx 𓀀", "<mask> [MASK] x", ""]


def tokenizer_facts(tokenizer: Any) -> dict[str, Any]:
    names = dict(tokenizer.special_tokens_map)
    further = names.pop("additional_special_tokens", None) or list(tokenizer.extra_special_tokens)
    ids = tokenizer(TEXTS)["input_ids"]
    return {
        "ids": ids,
        "pairs": [tokenizer(a, b)["input_ids"] for a, b in zip(TEXTS, TEXTS[::-1], strict=True)],
        "decoded": tokenizer.batch_decode(ids, skip_special_tokens=True),
        "names": names,
        "further": further,
        "added": {str(number): repr(token) for number, token in sorted(tokenizer.added_tokens_decoder.items())},
        "size": len(tokenizer),
        "sides": [tokenizer.padding_side, tokenizer.truncation_side],
        "inputs": tokenizer.model_input_names,
    }


def outputs(model: Any, tokenizer: Any) -> torch.Tensor:
    """Of every text, or of every real token."""
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        found = model.eval()(**inputs)[0]
    return found[inputs["attention_mask"].bool()] if found.dim() == 3 else found


def main() -> None:
    job = json.load(sys.stdin)
    found: dict[str, Any] = {"version": transformers.__version__}
    computed = {}
    for folder, head in job["models"]:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        found[folder] = tokenizer_facts(tokenizer) | {"longest": tokenizer.model_max_length, "error": ""}
        try:
            model = getattr(transformers, head).from_pretrained(folder, use_safetensors=True)
        except Exception as error:
            found[folder]["error"] = f"{type(error).__name__}: {error}"
        else:
            computed[folder] = outputs(model, tokenizer)
    save_file(computed, job["outputs"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
