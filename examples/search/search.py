"""Search a folder of texts by meaning, in either language of a student: index it, ask, or serve a page.

python search.py index MODEL FOLDER --out INDEX
python search.py ask INDEX "When did the cat sleep?"
python search.py serve INDEX
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

import bistil
from bistil.files import fingerprint_file

SUFFIXES = (".txt", ".md")
SHOWN = 10
PAGE = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
# sentence-transformers' names of prompts, the first that a model has counts
QUERY, PASSAGE = ("query",), ("document", "passage", "corpus")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"


@dataclass(frozen=True)
class Passage:
    """A paragraph, the file that it is in, and the line at which it begins."""

    file: str
    line: int
    text: str


def passages(folder: Path) -> Iterator[Passage]:
    """The paragraphs of all .txt and .md files of a folder; blank lines part them."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()):
        lines: list[str] = []
        name = path.relative_to(folder).as_posix()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise bistil.BistilError(f"{path} is not UTF-8 text. Save it as UTF-8.") from None
        for number, line in enumerate([*text.split("\n"), ""], start=1):
            if line.strip():
                lines.append(line.strip())
            elif lines:
                yield Passage(name, number - len(lines), " ".join(lines))
                lines = []


@dataclass(frozen=True)
class Index:
    """Passages and their vectors, [passages, dimensions], at length 1; and the model that made them."""

    model: Any
    passages: Sequence[Passage]
    vectors: np.ndarray

    @classmethod
    def of(cls, model: Any, folder: Path) -> "Index":
        """Encodes the passages of a folder."""
        found = list(passages(folder))
        if not found:
            raise bistil.BistilError(f"{folder} has no text in {' or '.join(SUFFIXES)}. Give another folder.")
        return cls(model, found, _vectors(model, [one.text for one in found], PASSAGE))

    def save(self, folder: Path) -> None:
        """Writes the vectors, the passages, where the model is, and what it was."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "vectors.npy", self.vectors)
        kept = {
            "model": str(self.model.path.absolute()),
            "digest": _digest(self.model.path),
            "passages": [asdict(one) for one in self.passages],
        }
        (folder / "passages.json").write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Index":
        """Reads what `save` wrote."""
        kept = json.loads((folder / "passages.json").read_text(encoding="utf-8"))
        model = embedder(kept["model"])
        if kept.get("digest") != _digest(model.path):
            raise bistil.BistilError(f"{model.path} has changed since {folder} was made. Index again.")
        return cls(model, [Passage(**one) for one in kept["passages"]], np.load(folder / "vectors.npy"))

    def ask(self, question: str) -> list[tuple[float, Passage]]:
        """The nearest passages and their cosines, the nearest first. All are compared: the result is exact."""
        cosines = self.vectors @ _vectors(self.model, question, QUERY)
        return [(float(cosines[at]), self.passages[at]) for at in np.argsort(-cosines, kind="stable")[:SHOWN]]


def embedder(name: str) -> Any:
    """A model that makes vectors."""
    model = bistil.load(name)
    if not hasattr(model, "encode"):
        raise bistil.BistilError(f"{name} is a model for {model.task}. Give a sentence embedding model.")
    return model


def page(index: Index, question: str) -> str:
    """The page with what was asked and what was found. What texts hold is shown, never run."""
    found = index.ask(question) if question.strip() else []
    items = "".join(
        f'<li><p dir="auto">{escape(one.text)}</p>'
        f"<footer><bdi>{escape(one.file)}</bdi>, line {one.line} · {cosine:.2f}</footer></li>"
        for cosine, one in found
    )
    return PAGE.substitute(
        question=escape(question), count=f"{len(index.passages):,}", results=f"<ol>{items}</ol>" if items else ""
    )


def server(index: Index, port: int) -> ThreadingHTTPServer:
    """Serves the page on this machine alone, in threads: a browser opens connections on which it asks nothing."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # a page elsewhere whose name is made to lead here must not read the texts
            if self.headers.get("Host", "").split(":")[0] not in ("localhost", "127.0.0.1"):
                return self.send_error(403)
            url = urlsplit(self.path)
            if url.path != "/":
                return self.send_error(404)
            body = page(index, parse_qs(url.query).get("q", [""])[0]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="Search a folder of texts by meaning.")
    commands = options.add_subparsers(dest="command", required=True)
    made = commands.add_parser("index", help="encode the paragraphs of a folder's .txt and .md files")
    made.add_argument("model", help="a sentence embedding model: a folder or a hub id")
    made.add_argument("folder", type=Path)
    made.add_argument("--out", type=Path, default=Path("index"))
    asked = commands.add_parser("ask", help="print what is nearest to a question")
    asked.add_argument("index", type=Path)
    asked.add_argument("question")
    served = commands.add_parser("serve", help="show a page on this machine")
    served.add_argument("index", type=Path)
    served.add_argument("--port", type=int, default=8000)
    given = options.parse_args(arguments)
    if given.command == "index":
        index = Index.of(embedder(given.model), given.folder)
        index.save(given.out)
        print(f"{len(index.passages):,} passages in {given.out}")
    elif given.command == "ask":
        for cosine, one in Index.load(given.index).ask(given.question):
            print(f"{cosine:.2f}  {one.file}:{one.line}  {one.text}")
    else:
        with server(Index.load(given.index), given.port) as running:
            print(f"http://127.0.0.1:{running.server_port}", flush=True)
            running.serve_forever()


def _digest(model: Path) -> str:
    """Of the files that vectors depend on: a question's are compared with those of the same model alone."""
    kinds = (".json", ".onnx", ".safetensors")
    files = (one for one in model.rglob("*") if one.suffix in kinds and not one.name.startswith("."))
    return hashlib.sha256("".join(map(fingerprint_file, sorted(files))).encode()).hexdigest()


def _vectors(model: Any, texts: Any, names: Sequence[str]) -> Any:
    """The vectors of texts at length 1, with the prompt of one of these names if the model has it."""
    prompt = next((name for name in names if name in model.prompts), None)
    return model.encode(texts, prompt_name=prompt, normalize_embeddings=True)


if __name__ == "__main__":
    try:
        main()
    except (bistil.BistilError, OSError) as error:
        sys.exit(f"search: {error}")
