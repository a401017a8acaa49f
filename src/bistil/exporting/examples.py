"""Short inputs to try a model with, in its languages. Pure."""

from collections.abc import Sequence
from typing import Any

_MOST = 4
# A sentence with a person and a place in it, and a question that it answers.
SENTENCES = {
    "en": ("Marie Curie was born in Warsaw in 1867.", "Where was Marie Curie born?"),
    "de": ("Marie Curie wurde 1867 in Warschau geboren.", "Wo wurde Marie Curie geboren?"),
    "tr": ("Marie Curie 1867 yılında Varşova'da doğdu.", "Marie Curie nerede doğdu?"),
    "es": ("Marie Curie nació en Varsovia en 1867.", "¿Dónde nació Marie Curie?"),
    "fr": ("Marie Curie est née à Varsovie en 1867.", "Où est née Marie Curie ?"),
    "it": ("Marie Curie nacque a Varsavia nel 1867.", "Dove nacque Marie Curie?"),
    "pt": ("Marie Curie nasceu em Varsóvia em 1867.", "Onde nasceu Marie Curie?"),
    "nl": ("Marie Curie werd in 1867 in Warschau geboren.", "Waar werd Marie Curie geboren?"),
    "pl": ("Maria Curie urodziła się w Warszawie w 1867 roku.", "Gdzie urodziła się Maria Curie?"),
    "ar": ("وُلدت ماري كوري في وارسو عام 1867.", "أين وُلدت ماري كوري؟"),
    "fa": ("ماری کوری در سال ۱۸۶۷ در ورشو به دنیا آمد.", "ماری کوری کجا به دنیا آمد؟"),
    "ru": ("Мария Кюри родилась в Варшаве в 1867 году.", "Где родилась Мария Кюри?"),
    "uk": ("Марія Кюрі народилася у Варшаві 1867 року.", "Де народилася Марія Кюрі?"),
    "zh": ("玛丽·居里于1867年出生在华沙。", "玛丽·居里出生在哪里？"),
    "ja": ("マリー・キュリーは1867年にワルシャワで生まれました。", "マリー・キュリーはどこで生まれましたか。"),
    "id": ("Marie Curie lahir di Warsawa pada tahun 1867.", "Di mana Marie Curie lahir?"),
    "vi": ("Marie Curie sinh năm 1867 tại Warszawa.", "Marie Curie sinh ở đâu?"),
    "sw": ("Marie Curie alizaliwa Warsaw mwaka 1867.", "Marie Curie alizaliwa wapi?"),
    "eu": ("Marie Curie Varsovian jaio zen 1867an.", "Non jaio zen Marie Curie?"),
    "hi": ("मैरी क्यूरी का जन्म 1867 में वारसॉ में हुआ था।", "मैरी क्यूरी का जन्म कहाँ हुआ था?"),
}
_ABOUT_PAIRS = {"entailment", "contradiction", "not_entailment", "paraphrase", "not_paraphrase"}


def takes_pairs(task: Any) -> bool:
    """Whether a task's models classify pairs of texts: as the model says, or else as far as its labels tell.

    Example: of a model of another library with the labels entailment and neutral it is true.
    """
    if (found := getattr(task, "pairs", None)) is None:
        found = any(label.lower() in _ABOUT_PAIRS for label in task.labels)
    return task.kind == "classification" and found


def examples(task: Any, languages: Sequence[str]) -> list[dict[str, Any]]:
    """Up to four inputs for models of a task, one a language that there is one in, or else in English.

    Args:
        task: with its labels.
        languages: those of the model, as its card has them.

    Example:
        For POS tagging in ``["tr"]`` it is ``[{"language": "tr", "input": "Marie Curie 1867 yılında …"}]``.
    """
    return [{"language": code, "input": _input(task, *own)} for code, own in sentences(languages).items()]


def sentences(languages: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A sentence and a question that it answers, by language: of up to four that there are such in, or of English.

    Example: of ``["tr"]`` it has ``{"tr": ("Marie Curie 1867 yılında Varşova'da doğdu.", "Marie Curie nerede
    doğdu?")}``.
    """
    known = [code for code in languages if code in SENTENCES][:_MOST] or ["en"]
    return {code: SENTENCES[code] for code in known}


def _input(task: Any, sentence: str, question: str) -> str | dict[str, str]:
    if task.reads_lines(()) and not takes_pairs(task):
        return sentence
    columns = {"text": sentence, "text_pair": question, "question": question, "context": sentence}
    return {name: columns[name] for name in task.row if name in columns}
