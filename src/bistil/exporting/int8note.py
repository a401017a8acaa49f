"""What a model card says first where it tells of an int8 file that its folder has not."""

import re

_NOTE = "**There is no int8 file here.** What this card says of int8 is about the same model's earlier export.\n\n"


def noted(card: str, int8: bool) -> str:
    """The card with the note below its title if it tells of int8 and there is none, else without the note.

    Example: ``noted("# pos\\n\\nThis model in int8 is small.\\n", int8=False)`` has the note as its third line.
    """
    plain = card.replace(_NOTE, "")
    if int8 or not re.search(r"\bin int8\b|onnx/model_quantized\.onnx", plain):
        return plain
    # not a comment of the metadata between the lines of three dashes
    head = re.match(r"(---\n.*?\n---\n+)?(# [^\n]*\n+)?", plain, re.DOTALL)
    place = head.end() if head else 0
    return f"{plain[:place]}{_NOTE}{plain[place:]}"
