"""A model folder onto the hub: the files of the model, named one by one, and nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bistil.errors import BistilError
from bistil.hub import CARD, EMBEDDING_FILES, MODEL_FILES
from bistil.report.formats import size

_WEIGHTS = ("model*.safetensors", "onnx/*.onnx")
# Not `kept_tokens.tsv`, which counts the tokens of the user's text, and not `recipe.yaml`, which has their paths.
_UPLOADED = (*MODEL_FILES, *EMBEDDING_FILES, "onnx/*.onnx", "export.json", "scores.json", "vocabulary.json", CARD)
_GIVE = "Give student or tasks/NAME of a run, or another model folder."


@dataclass(frozen=True)
class Upload:
    """A file to upload: its name on the hub, such as ``onnx/model.onnx``, where it lies, and its bytes."""

    name: str
    path: Path
    size: int


def uploads(folder: Path) -> list[Upload]:
    """The files of a model folder that are uploaded, by name.

    These are configuration, weights as safetensors and ONNX, tokenizer, model card, and what bistil writes about
    scores, export and vocabulary. Whatever else lies there stays: data, stages, recipes, markers, pickles.
    Raises BistilError for a folder that holds no model.
    """
    if not folder.is_dir():
        raise BistilError(f"There is no folder {folder}. {_GIVE}")
    if not (folder / "config.json").is_file():
        raise BistilError(f"{folder} holds no model (no config.json). {_GIVE}")
    if not any(path.is_file() for pattern in _WEIGHTS for path in folder.glob(pattern)):
        raise BistilError(f"{folder} holds no weights (model.safetensors, or ONNX files in onnx/). {_GIVE}")
    paths = {path for pattern in _UPLOADED for path in folder.glob(pattern) if path.is_file()}
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return [Upload(name, names[name], names[name].stat().st_size) for name in sorted(names)]


def listing(files: Sequence[Upload]) -> str:
    """The files as lines with their sizes, and whether a model card is missing."""
    width = max(len(file.name) for file in files)
    lines = [f"  {file.name:<{width}}  {size(file.size):>8}" for file in files]
    if CARD not in {file.name for file in files}:
        lines.append(
            f"There is no {CARD}, so the page on the hub will have no model card; `bistil run` writes one."
        )
    return "\n".join(lines)


def push(
    files: Sequence[Upload],
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
) -> str:
    """Upload files in one commit; a repository that is not there is made.

    Args:
        files: what `uploads` found.
        repo_id: "OWNER/NAME", or "NAME" for one of your own.
        private: whether only you and your organisation see it; one that is public already is refused.
        revision: a branch, which is made if it is not there.
        token: an access token of the hub instead of the saved one.

    Returns:
        The address of the repository, such as ``https://huggingface.co/me/turkish-pos``.

    Raises:
        BistilError: no token, no right to write there, no network, a card that the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    if not (token or get_token()):
        raise BistilError("There is no access token of the hub. Run `hf auth login`, or set HF_TOKEN.")
    api = HfApi(token=token, library_name="bistil", library_version=version("bistil"))
    with _in_one_sentence(repo_id):
        repo = api.create_repo(repo_id, private=private, exist_ok=True)
        if private and not api.model_info(repo.repo_id).private:
            raise BistilError(
                f"{repo.repo_id} exists and is public, so nothing was uploaded. Make it private in its settings "
                "on the hub, or choose another name."
            )
        if revision is not None:
            api.create_branch(repo.repo_id, branch=revision, exist_ok=True)
        api.create_commit(
            repo.repo_id,
            [CommitOperationAdd(file.name, file.path) for file in files],
            commit_message=f"Upload with bistil {version('bistil')}",
            revision=revision,
        )
    return str(repo)


@contextmanager
def _in_one_sentence(repo_id: str) -> Iterator[None]:
    """Around calls of the hub: what goes wrong there is a BistilError with the cure."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except BistilError:
        raise
    except HFValidationError as error:
        raise BistilError(f"{repo_id!r} is no hub id. Give OWNER/NAME, such as me/turkish-pos.") from error
    except OfflineModeIsEnabled as error:
        raise BistilError("HF_HUB_OFFLINE forbids the hub. Unset it to upload.") from error
    except Exception as error:  # those of the HTTP client have no common base with the hub's own
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error  # in a thread
        if isinstance(cause, HfHubHTTPError):
            raise BistilError(_refused(repo_id, cause.response.status_code, cause.server_message)) from error
        if isinstance(cause, ValueError) and CARD in str(cause):
            raise BistilError(f"The hub refuses {CARD}: {_line(cause)}. Correct it, and push again.") from error
        raise BistilError(
            f"Could not upload to {repo_id} ({type(cause).__name__}: {_line(cause)}). Check the network, and push "
            "again: what has arrived is not sent twice."
        ) from error


def _refused(repo_id: str, status: int, said: str | None) -> str:
    if status == 401:
        return "The hub does not accept the access token. Run `hf auth login`, or set HF_TOKEN to a valid one."
    if status == 403:
        return (
            f"The access token may not write to {repo_id}. Make one with write access in the hub's settings, or "
            "choose a repository of yours."
        )
    return f"The hub refused {repo_id} with status {status}{f' ({said})' if said else ''}. Try again later."


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
