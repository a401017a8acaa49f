"""What lies in a local transformers folder, read without a network, without pickles, without code of its own."""

from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

from bistil.corpora.tokenizers import without_dropout

# Without the second transformers would ask at the keyboard whether to run the folder's code, and run it.
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def model(kind: Any, folder: Path, **options: Any) -> Any:
    """A model of a transformers class: ``model(AutoModel, folder, dtype=torch.float32)``."""
    return kind.from_pretrained(folder, use_safetensors=True, **_LOCAL, **options)


def tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, without BPE dropout."""
    read = AutoTokenizer.from_pretrained(folder, **_LOCAL)
    read.init_kwargs.pop("local_files_only", None)  # which would be saved
    return without_dropout(read) if isinstance(read, PreTrainedTokenizerFast) else read


def config(folder: Path) -> Any:
    """The folder's configuration."""
    return AutoConfig.from_pretrained(folder, **_LOCAL)
