"""Tables as csv and LaTeX, and by group: the numbers against plain loops, and names that would be markup elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import leaderboard
from benchmark.core import cli
from benchmark.core.errors import UserError
from leaderboard import tables as command
from leaderboard.records import outcomes, record
from leaderboard.records.record import Record
from leaderboard.scores import groups, table_files, tables

RESULTS = Path(leaderboard.__file__).parent / "results" / "mini-1"
FT = record.read(RESULTS / "ft" / "record.json")
HOSTILE = (
    r"[red]\input{/etc/passwd}",
    "50%_of $x$ & #1 ~^", "*two\nlines\x1b[2J", "编辑器|<b>", "=1+1", "", "{", '--sweep "é"',
)  # fmt: skip


def of(spec: str) -> Record:
    """The record of ft under another editor's name."""
    return FT.model_copy(update={"key": spec, "editor": FT.editor.model_copy(update={"spec": spec})})


def typed(*words: object) -> None:
    cli.run(command.main, [str(word) for word in words])


def test_csv_has_each_run_in_a_row_as_shares(tmp_path: Path) -> None:
    typed(RESULTS / "ft", RESULTS / "kn-sparsity=0.95", "--out", tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv").set_index("editor")
    assert list(table.index) == ["ft", "kn:sparsity=0.95"]
    for path in ("ft", "kn-sparsity=0.95"):
        result = record.read(RESULTS / path / "record.json")
        row = table.loc[result.editor.spec]
        for name, score in result.scores.items():
            ends = [np.nan if end is None else end for end in (score.value, score.low, score.high)]
            assert [row[name], row[f"{name}_low"], row[f"{name}_high"]] == pytest.approx(ends, abs=1e-6, nan_ok=True)
        assert (row["edits"], row["groups"], row["key"]) == (418, "all", result.key) and np.isnan(row["limit"])


def test_csv_of_names_from_outside_holds_no_formula(tmp_path: Path) -> None:
    table_files.write(tmp_path / "a.csv", [of(name) for name in HOSTILE])
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert "\x1b" not in text and "\n'=1+1," in text


def cells_of(line: str) -> list[str]:
    """The cells of a line of a LaTeX table."""
    return re.split(r"(?<!\\)&", line.removesuffix(r"\\"))


def check_latex(text: str) -> None:
    """Check what a TeX would stop at: environments, braces, special characters, and the cells of each row."""
    plain = re.sub(r"\\[&%$#_{}]", "", "\n".join(re.sub(r"(?<!\\)%.*", "", line) for line in text.splitlines()))
    depth = 0
    for character in plain:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", plain):
        assert kind == "begin" or opened.pop() == name
        opened += [name] if kind == "begin" else []
    assert not opened
    commands = {"begin", "end", "caption", "toprule", "midrule", "bottomrule", "endfirsthead", "endhead", "endfoot"}
    commands |= {"endlastfoot", "multicolumn", "tablename", "textbackslash", "textasciitilde", "textasciicircum"}
    commands |= {"textless", "textgreater", "textbar", "textquotedbl"}
    assert set(re.findall(r"\\([a-zA-Z]+)", plain)) <= commands
    assert not re.search(r"[$#_^~]", plain) and text.isprintable() is False and "\x1b" not in text
    assert not re.search(r"\\\\\s*[\[*]", text), "an option of the line's end"
    for table in re.findall(r"\\begin\{longtable\}\{(\w+)\}(.*?)\\end\{longtable\}", text, flags=re.S):
        rows = [line for line in table[1].splitlines() if line.endswith(r"\\") and "caption" not in line]
        body = [row for row in rows if "multicolumn" not in row]
        assert body and {len(cells_of(row)) for row in body} == {len(table[0])}


@pytest.mark.parametrize("intervals", [False, True])
def test_latex_holds_the_table_and_no_name_is_markup(intervals: bool, tmp_path: Path) -> None:
    records = [of(name) for name in HOSTILE]
    table_files.write(tmp_path / "a.tex", records, intervals)
    text = (tmp_path / "a.tex").read_text(encoding="utf-8")
    check_latex(text)
    _, *rows = tables.rows(records, intervals)
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "100.0" in line]
    for line, expected in zip(body, rows, strict=True):
        numbers = [re.sub(r"[{}]", "", cell).strip().replace("--", "–") for cell in cells_of(line)[1:]]
        assert numbers == expected[1:]
    for name in HOSTILE[:2]:
        shown = "".join(cells_of(body[HOSTILE.index(name)])[0])
        plain = re.sub(r"\\([&%$#_{}])", r"\1", shown.replace(r"\textbackslash{}", "\\\\"))
        assert plain.strip().startswith(name[:3].replace("[", "{[}").replace("]", "{]}"))
    if shutil.which("pdflatex"):
        document = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,longtable}\n"
        (tmp_path / "b.tex").write_text(document + "\\begin{document}\\input{a}\\end{document}", encoding="utf-8")
        words = ["pdflatex", "-no-shell-escape", "-halt-on-error", "-interaction=nonstopmode", "b.tex"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]


def test_markdown_is_what_a_pipe_gets(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    typed(RESULTS / "ft", "--out", tmp_path / "a.md")
    assert capsys.readouterr().out.strip() == str(tmp_path / "a.md")
    typed(RESULTS / "ft")
    assert capsys.readouterr().out.strip() == (tmp_path / "a.md").read_text(encoding="utf-8").strip()


def test_another_ending_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--out must end in .csv, .tex or .md, not .xlsx"):
        command.main((tmp_path / "nowhere",), out=tmp_path / "a.xlsx")
    assert not list(tmp_path.iterdir())


def test_scores_by_group_against_plain_loops() -> None:
    run = outcomes.read(RESULTS / "ft")
    edit = run.samples[run.samples["split"] == "edit"].reset_index(drop=True)
    kept = run.samples[run.samples["split"] == "locality"]
    drawn = FT.model_copy(update={"protocol": FT.protocol.model_copy(update={"limit": len(run.edits)})})
    of_groups = groups.by_group(drawn, run)
    assert len(of_groups) == 18
    for result in of_groups:
        (shown,) = result.protocol.edited_groups
        group = shown.split()[0]
        members = np.flatnonzero(edit["group_id"] == group)
        edits = run.edits[run.edits["group_id"] == group]
        gr, lr, sr = [], [], []
        for each in edits.itertuples():
            right = each.group_predictions == edit["label"].to_numpy()[members]
            gr.append(right[members != each.sample].mean())
            sr.append(right[members == each.sample].mean())
            lr.append((each.locality_predictions == kept["label"].to_numpy()).mean())
        for name, values in (("gr", gr), ("lr", lr), ("sr", sr)):
            assert result.scores[name].value == pytest.approx(np.mean(values)), (group, name)
        assert (result.outcomes.edits, result.protocol.limit) == (len(edits), len(edits))
        assert not {name for name in result.scores if name in ("gr_pairs", "gr_three_d", "gr_line_drawing")}
        gr = result.scores["gr"]
        assert gr.low is None or gr.low - 1e-9 <= gr.value <= gr.high + 1e-9
    mean = np.mean([result.scores["gr"].value for result in of_groups])
    assert mean == pytest.approx(FT.scores["gr"].value)


def test_by_group_is_a_table_for_each_group(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    typed(RESULTS / "ft", RESULTS / "head-only", "--by-group")
    text = capsys.readouterr().out
    assert text.count("| ft |") == text.count("| head-only |") == text.count("| editor |") == 18
    assert r"all 12 editing samples from 1 of 18 groups (341-890 hog-volleyball)" in text.replace("\\", "")
    typed(RESULTS / "ft", RESULTS / "head-only", "--by-group", "--out", tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert len(table) == 36 and table["groups"].nunique() == 18
