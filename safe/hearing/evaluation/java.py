"""Java programs that score captions: found, started with bounds, and ended whatever happens."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

HINT = "install a Java runtime (Debian: default-jre-headless)"
_TAIL = 300  # characters of what a program said before it failed


class Unavailable(Exception):
    """A metric or tokenizer that cannot run here; its text says why, and what would fix it."""


def command(arguments: Sequence[str | Path], memory_mb: int) -> list[str]:
    """Java with a heap of at most `memory_mb`, the same text and case rules on every machine.

    Raises:
        Unavailable: there is no Java.
    """
    program = shutil.which("java")
    if program is None:
        raise Unavailable(f"there is no Java on PATH: {HINT}")
    fixed = [f"-Xmx{memory_mb}m", "-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.region=US"]
    return [program, *fixed, *map(str, arguments)]


def run(arguments: Sequence[str | Path], text: str = "", *, memory_mb: int, seconds: float) -> str:
    """Its output for `text` on its input.

    Raises:
        Unavailable: it does not start, fails, or takes longer than `seconds`.
    """
    given = text.encode("utf-8", "replace")  # JSON may hold half a surrogate pair
    try:
        done = subprocess.run(
            command(arguments, memory_mb), input=given, capture_output=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(_late(seconds)) from None
    except OSError as error:
        raise Unavailable(f"Java does not start: {error.strerror}; {HINT}") from None
    if done.returncode != 0:
        raise Unavailable(_failed(done.returncode, done.stderr))
    return done.stdout.decode("utf-8", "replace")


@contextlib.contextmanager
def session(
    arguments: Sequence[str | Path], *, memory_mb: int, seconds: float
) -> Iterator[tuple[Callable[[str], None], Callable[[], str]]]:
    """Two functions, to say a line to a running program and to hear its next one.

    The program is ended when the block is left, and after `seconds`; saying or hearing then raises.

    Raises:
        Unavailable: it does not start, has ended, or takes longer than `seconds`.
    """
    with tempfile.TemporaryFile() as errors:  # a pipe that nobody reads would fill and block
        try:
            process = subprocess.Popen(
                command(arguments, memory_mb),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        except OSError as error:
            raise Unavailable(f"Java does not start: {error.strerror}; {HINT}") from None
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def say(line: str) -> None:
            try:
                stdin.write(line.encode("utf-8", "replace") + b"\n")
                stdin.flush()
            except BrokenPipeError:
                raise _gone() from None

        def hear() -> str:
            line = stdout.readline()
            if not line.endswith(b"\n"):
                raise _gone()
            return line.decode("utf-8", "replace").strip()

        def _gone() -> Unavailable:
            process.kill()
            status = process.wait()
            return Unavailable(_late(seconds) if late.is_set() else _failed(status, _read(errors)))

        try:
            yield say, hear
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            with contextlib.suppress(BrokenPipeError):  # what it had not read is of no use now
                stdin.close()
            stdout.close()


def _late(seconds: float) -> str:
    return f"Java took longer than {seconds:.0f} s and was ended: score fewer or shorter captions"


def _failed(status: int, said: bytes) -> str:
    text = " ".join(said.decode("utf-8", "replace").split())[-_TAIL:]
    return f"Java failed with status {status}: {text or 'it said nothing'}"


def _read(errors: IO[bytes]) -> bytes:
    errors.seek(0)
    return errors.read()
