"""Which names are ids of the model hub and which are paths, be there something or not; which files a model has."""

import os
import re
from pathlib import Path

from bistil.files import disk_problem

# The folders of a run, and those that the documentation puts models, deltas and text into.
_FOLDERS = frozenset({"corpora", "data", "deltas", "language", "models", "out", "recipes", "runs", "stages"})
_FOLDERS |= {"student", "task", "tasks", "teacher", "teachers"}
_FILES = frozenset({".bin", ".csv", ".gz", ".json", ".jsonl", ".onnx", ".parquet", ".pt", ".pth", ".safetensors"})
_FILES |= {".tsv", ".txt", ".yaml", ".yml", ".zip", ".zst"}

# The card, and what makes a model and its tokenizer: all that is ever fetched or uploaded of a PyTorch model.
CARD = "README.md"
MODEL_FILES = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "sentencepiece*.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)

# What makes sentence embeddings of an encoder, as sentence-transformers has it.
EMBEDDING_FILES = (
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "*_Pooling/config.json",
)


def why_path(name: str, out: Path | None = None) -> str:
    """Why a name is a path and the hub must not be asked for it; empty for what may be a hub id.

    A mistyped path must not fetch a stranger's model. ``out`` is the recipe's folder: what lies below is a path,
    also before the first run. Example: ``why_path("runs/tr/student")`` is ``"it has more than one slash"``, and
    ``why_path("FacebookAI/xlm-roberta-base")`` is empty where nothing here is called FacebookAI.
    """
    if name.startswith(("/", ".", "~")) or "\\" in name or re.match("[A-Za-z]:", name):
        return "it is written as one"
    if name.endswith("/"):
        return "it ends in a slash"
    if name.count("/") > 1:
        return "it has more than one slash"
    if (suffix := Path(name).suffix.lower()) in _FILES:
        return f"it ends in {suffix}"
    first = name.partition("/")[0]
    if first.casefold() in _FOLDERS:
        return f"bistil's own folders are called {first}"
    if os.path.exists(first):  # unlike Path.exists, no error for a name that no file can have
        return f"there is something called {first} here"
    if first and out is not None and out.absolute().is_relative_to(Path(first).absolute()):
        return f"{out} is where the recipe writes"
    return ""


def no_folder(what: str, name: str, why: str) -> str:
    """The message for a path at which no folder is."""
    if os.path.exists(os.path.expanduser(name)):
        return f"{name} is a file, and no {what}."
    return f"There is no {what} {name} (looked in {Path.cwd()}). It is a path, not a hub id, as {why}."


def not_fetched(what: str, name: str, choices: str, error: Exception) -> str:
    """The message for an id whose files huggingface_hub could not fetch: why, and the cure.

    ``what`` says what was looked for, such as "teacher", and ``choices`` what may be given instead.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub import errors as hub

    local = isinstance(
        error, hub.LocalEntryNotFoundError
    )  # what it says if the cache has not what the hub refused
    cause = error.__cause__ if local and error.__cause__ else error
    if isinstance(cause, hub.HFValidationError):
        return f"{name!r} is neither a folder nor a hub id. Give {choices}."
    if isinstance(cause, hub.GatedRepoError):
        return f"The hub asks for leave to use {name}. Accept its terms there and run `hf auth login`."
    status = cause.response.status_code if isinstance(cause, hub.HfHubHTTPError) else None
    if isinstance(cause, hub.RepositoryNotFoundError) or (status == 401 and not get_token()):
        return (
            f"Neither a folder nor a model on the hub that you may read is named {name!r}. Check its spelling, "
            "and if it is private, run `hf auth login` or set HF_TOKEN."
        )
    if status == 401:
        return "The hub does not accept the access token. Run `hf auth login`, or set HF_TOKEN to a valid one."
    if status is not None:
        return f"The hub refused {name} with status {status}. Try again later."
    if constants.HF_HUB_OFFLINE and (local or isinstance(cause, hub.OfflineModeIsEnabled)):
        return f"HF_HUB_OFFLINE forbids the hub, and {name} is not in the local cache. Unset it to fetch {name}."
    if (
        not local
        and isinstance(cause, OSError)
        and (reason := disk_problem(cause) or (cause.filename and cause.strerror))
    ):
        return (
            f"{reason}: the files of {name} cannot be kept in {constants.HF_HUB_CACHE}. Fix that, or choose "
            "another folder with HF_HOME."
        )
    return (
        f"Could not fetch the {what} {name} from the hub, and it is not in the local cache "
        f"({type(cause).__name__}). Check the network, or give {choices}."
    )
