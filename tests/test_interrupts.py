"""Ctrl-C at every bad moment: one line, status 130, never a traceback, never 0.

The moments are those at which Python or a library may lose the exception or change it; `benchmarks/faults.py` interrupts commands
at random ones.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

LINE = "interrupted: run the same command again to go on from what it kept\n"

MOMENTS = {
    "in the middle of the work": "strike()",
    "in a finaliser": """
        class Held:
            def __del__(self):
                strike()
        held = Held()
        del held
        time.sleep(1000)
    """,
    "in a callback of a weak reference": """
        class Held:
            pass
        held = Held()
        reference = weakref.ref(held, lambda _: strike())
        del held
        time.sleep(1000)
    """,
    "in a finaliser, and the command is done before it is raised again": """
        class Held:
            def __del__(self):
                strike()
        held = Held()
        del held
    """,
    "where a library catches everything": """
        try:
            strike()
        except BaseException:
            pass
    """,
    "where a library makes another error of it": """
        try:
            strike()
        except BaseException as error:
            raise RuntimeError("cannot be imported") from error
    """,
    "where a library makes an error of babelmix of it": """
        try:
            strike()
        except BaseException as error:
            raise BabelmixError("cannot be read") from error
    """,
    "where a library makes an error of the system of it": """
        try:
            strike()
        except BaseException as error:
            raise OSError(5, "cannot be read") from error
    """,
    "while a usage error is worded": """
        class Usage(typer.TyperException):
            def format_message(self):
                strike()
        raise Usage("no")
    """,
    "inside exec, as in a dataclass": """
        exec("strike()", {"strike": strike})
    """,
    "while an error is handled": """
        class Late(BabelmixError):
            def __str__(self):
                strike()
        raise Late
    """,
    "twice at once": """
        try:
            strike()
        finally:
            strike()
    """,
    "a second time, while the first is waited for": """
        try:
            strike()
        finally:
            time.sleep(0.7)
            strike()
            time.sleep(1000)
    """,
    "when the work is done, before the status is given": """
        sys.settrace(lambda frame, event, _: strike() if frame.f_code.co_name == "end" and event == "call" else None)
    """,
    "while threads are waited for at the end": """
        def late():
            while threading.main_thread().is_alive():
                time.sleep(0.01)
            strike()
            time.sleep(1000)
        threading.Thread(target=late).start()
    """,
    "in what is done at the end": "atexit.register(strike)",
}


def run(body: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    """A command that does this, in a process of its own."""
    code = f"""
import atexit, os, signal, sys, threading, time, types, typer, weakref
import babelmix.cli
from babelmix.errors import BabelmixError

def strike():
    os.kill(os.getpid(), signal.SIGINT)
    # The handler runs before the next line does, in the main thread.
    for _ in range(1000):
        pass

def command(**_):
{textwrap.indent(textwrap.dedent(body), "    ")}
    return 0

sys.modules["babelmix.cli.app"] = types.SimpleNamespace(app=command)
{before}
babelmix.cli.main()
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupt_is_one_line_and_130(moment: str) -> None:
    done = run(MOMENTS[moment])
    assert (done.returncode, done.stderr, done.stdout) == (130, LINE, ""), moment


def test_without_an_interrupt_nothing_is_changed() -> None:
    right = run("pass")
    assert (right.returncode, right.stderr) == (0, "")
    wrong = run("raise BabelmixError('no')")
    assert (wrong.returncode, wrong.stderr) == (1, "error: no\n")
    broken = run("raise ValueError('a fault of ours')")
    assert broken.returncode == 1
    assert broken.stderr.rstrip().endswith("ValueError: a fault of ours")
    dropped = run("class Held:\n    def __del__(self):\n        raise ValueError('lost')\nHeld()")
    assert dropped.returncode == 0
    assert "ValueError: lost" in dropped.stderr


def test_who_wants_ctrl_c_ignored_has_it_ignored() -> None:
    """`nohup`, and what a shell runs in the background."""
    done = run("strike()", before="signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_slow_is_imported_before_ctrl_c_is_taken_over() -> None:
    """Until then Python shows a traceback."""
    code = "import sys; before = set(sys.modules); import babelmix.cli; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.split() == ["__future__", "babelmix", "babelmix.cli"]
