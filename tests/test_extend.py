"""Plugins: files and modules that register parts of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from babelmix.errors import BabelmixError
from babelmix.extend import load_plugin


def test_a_file_and_a_module_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "made"
    (tmp_path / "my_first_plugin.py").write_text(
        f"import pathlib; pathlib.Path({str(made)!r}).write_text('x')\n", encoding="utf-8"
    )
    load_plugin(tmp_path / "my_first_plugin.py")
    assert made.read_text(encoding="utf-8") == "x"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_second_plugin.py").write_text(
        f"import pathlib; pathlib.Path({str(made)!r}).write_text('y')\n", encoding="utf-8"
    )
    load_plugin("my_second_plugin")
    assert made.read_text(encoding="utf-8") == "y"


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("absent.py", None, "absent.py: there is no such file"),
        ("no_such_module", None, "fails: ModuleNotFoundError: No module named 'no_such_module'"),
        ("broken.py", "def f(:\n", "broken.py fails: SyntaxError"),
        ("wrong.py", "1 / 0\n", "wrong.py fails: ZeroDivisionError: division by zero"),
    ],
)
def test_a_plugin_that_does_not_run_is_named(tmp_path: Path, name: str, code: str | None, message: str) -> None:
    plugin = tmp_path / name if name.endswith(".py") else Path(name)
    if code is not None:
        plugin.write_text(code, encoding="utf-8")
    with pytest.raises(BabelmixError) as caught:
        load_plugin(plugin)
    assert message in str(caught.value)
