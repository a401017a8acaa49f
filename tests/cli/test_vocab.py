import json

from typer.testing import CliRunner

from bistil.cli import app


def test_a_corpus_of_one_line_has_none_held_out(tiny_teacher, tiny_lines, tmp_path, monkeypatch):
    monkeypatch.setenv("BISTIL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "en.txt").write_text(tiny_lines["en"][0])
    (tmp_path / "tr.txt").write_text("\r".join(tiny_lines["tr"]), encoding="utf-8")
    texts = [f"--text={language}={tmp_path}/{language}.txt" for language in ("en", "tr")]
    result = CliRunner().invoke(app, ["vocab", str(tiny_teacher), *texts, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "none held out" in rows["en"]
    assert "%" not in rows["en"]
    assert "%" in rows["tr"]
    languages = json.loads((tmp_path / "out" / "vocabulary.json").read_text())["languages"]
    assert (languages["en"]["lines"], languages["en"]["coverage"], languages["tr"]["lines"]) == (0, None, 2)
