from statistics import fmean

from markdown_it import MarkdownIt

from bistil.report.markdown import markdown


def parse(text):
    """Tables as lists of rows of text, and the kinds of all tokens, by an independent parser."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    tables, kinds = [], []
    for index, token in enumerate(tokens):
        kinds += [token.type, *(child.type for child in token.children or [])]
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type in {"th_open", "td_open"}:
            tables[-1][-1].append("".join(child.content for child in tokens[index + 1].children))
    return tables, kinds


def test_tables_parse_and_hold_the_numbers(sample):
    report = sample()
    tables, _ = parse(markdown(report))
    titles = [
        "Model",
        "Model",
        "Text",
        "Label",
        "Label",
        "General distillation",
        "Language",
        "Stage",
        "Environment",
    ]
    assert [rows[0][0] for rows in tables] == titles
    for rows in tables:
        assert len({len(row) for row in rows}) == 1
    scores = report["tasks"][0]["scores"]
    for row, model in zip(tables[0][1:], report["models"], strict=True):
        assert row[1].startswith(f"{fmean(scores[model['role']]['tr']):.1f} ± ")
    assert [row[0] for row in tables[2][1:]] == [example["text"] for example in report["tasks"][0]["examples"]]


def test_hostile_text_is_neither_markup_nor_a_new_cell(sample):
    hostile = "a | b <script>x</script> **bold** `tick` [link](http://x) \\ &amp; _i_ ~~s~~"
    report = sample()
    report["name"] = report["models"][1]["title"] = hostile
    report["tasks"][0]["examples"][0]["text"] = f"{hostile}\nsecond line"
    report["recipe"]["name"] = "```\n# title"
    tables, kinds = parse(markdown(report))
    assert tables[0][2][0] == hostile
    assert tables[2][1][0] == f"{hostile} second line"
    assert not {"html_inline", "html_block", "link_open", "code_inline", "em_open", "s_open"} & set(kinds)
    assert kinds.count("fence") == 1
    assert kinds.count("strong_open") == 1  # the sentence
