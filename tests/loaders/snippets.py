"""The code of docs/loaders.md, which these tests run."""

from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs/loaders.md"
# By a name of ours: the language of a block, and a text that no other block of that language has.
MARKS = {
    "pipelines": ("python", 'pipeline("token-classification"'),
    "questions": ("python", 'pipeline("question-answering"'),
    "questions, without a pipeline": ("python", "AutoModelForQuestionAnswering"),
    "sentence-transformers, ONNX": ("python", 'backend="onnx"'),
    "sentence-transformers": ("python", 'SentenceTransformer("runs/turkish/student")'),
    "fastembed": ("python", "fastembed"),
    "pipelines in JavaScript": ("js", 'pipeline("token-classification"'),
    "questions in JavaScript": ("js", 'pipeline("question-answering"'),
    "pairs in JavaScript": ("js", "AutoModelForSequenceClassification"),
    "C++": ("cpp", "onnxruntime_cxx_api.h"),
    "compiling C++": ("sh", "g++"),
}


def snippet(name: str) -> str:
    language, mark = MARKS[name]
    (text,) = (block.text for block in blocks(PAGE) if block.language == language and mark in block.text)
    return text
