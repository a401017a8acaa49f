"""`bistil.push_to_hub`: a model on the hub."""

import os
from pathlib import Path

from bistil.api.given import path_of
from bistil.exporting.push import listing, push, uploads
from bistil.progress import Progress


def push_to_hub(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    progress: bool | Progress = True,
) -> str:
    """Upload a model to the hub: configuration, weights, tokenizer, ONNX files and the model card, in one commit.

    Nothing else in the folder is uploaded: no data, stages or recipes. What is on the hub already is not deleted.

    Args:
        folder: a student or task model, such as ``OUT/tasks/NAME`` of a run, or what `bistil.train` returned.
        repo_id: "OWNER/NAME", or "NAME" for a repository of your own; it is made if it is not there.
        private: whether only you and your organisation see it. A repository that is public already is refused.
        revision: the branch to write to, which is made if it is not there; by default "main".
        token: an access token of the hub; by default ``HF_TOKEN``, or the one that `hf auth login` saved.
        progress: whether to show it, and the files.

    Returns:
        The address of the repository.

    Raises:
        BistilError: a folder that holds no model, no token, no right to write there, no network.

    Example:
        ``push_to_hub("runs/tr/tasks/pos", "me/turkish-pos")`` is ``"https://huggingface.co/me/turkish-pos"``.
    """
    files, shown = uploads(Path(path_of(folder, "The model", "its folder"))), Progress.shown(progress)
    shown.say(listing(files))
    with shown.stage(f"Uploading to {repo_id}"):
        return push(files, repo_id, private=private, revision=revision, token=token)
