import subprocess
import sys
from pathlib import Path

import pytest

from normscape.cli.options import print_table

HEAVY = ("torch", "timm", "pandas", "numpy", "prefect", "great_expectations", "matplotlib", "ot")


def normscape(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "normscape.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, normscape.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_verb_has_help(tmp_path: Path) -> None:
    from typer.main import get_command

    from normscape.cli import app

    def leaves(command: object, words: tuple[str, ...]) -> list[tuple[str, ...]]:
        children = getattr(command, "commands", None)
        if not children:
            assert getattr(command, "help", None), words
            return [words]
        return [leaf for name, sub in children.items() for leaf in leaves(sub, (*words, name))]

    verbs = leaves(get_command(app), ())
    assert ("manifest",) in verbs
    assert ("models", "promote") in verbs
    assert ("review", "approve") in verbs


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (None, ("manifest",), "params.yaml is missing"),
        ("detector: {stepz: 1}", ("manifest",), "unknown parameter 'detector.stepz'"),
        ("{}", ("manifest",), "data"),
        ("{}", ("validate",), "manifest.parquet"),
    ],
)
def test_a_users_mistake_is_one_line_and_an_exit_code(
    tmp_path: Path, text: str | None, arguments: tuple[str, ...], message: str
) -> None:
    if text is not None:
        (tmp_path / "params.yaml").write_text(text)
    done = normscape(tmp_path, *arguments)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_tables_show_what_others_wrote_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("why",), [("moved [production] back, see [/b]",), ("\x1b[2Jred",)])
    shown = capsys.readouterr().out
    assert "moved [production] back, see [/b]" in shown
    assert "\\x1b[2Jred" in shown
    assert "\x1b" not in shown
