"""Run Java programs that score captions, with limits on memory and time."""

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
_TAIL = 300  # characters of a failed program's stderr in the message


class Unavailable(Exception):
    """A metric or tokenizer cannot run; the message gives the reason and the fix."""


def command(arguments: Sequence[str | Path], memory_mb: int) -> list[str]:
    """Return the command to run Java with a heap of `memory_mb` and a fixed encoding and locale.

    Raises:
        Unavailable: Java is not installed.
    """
    program = shutil.which("java")
    if program is None:
        raise Unavailable(f"there is no Java on PATH: {HINT}")
    fixed = [f"-Xmx{memory_mb}m", "-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.region=US"]
    return [program, *fixed, *map(str, arguments)]


def run(arguments: Sequence[str | Path], text: str = "", *, memory_mb: int, seconds: float) -> str:
    """Run a program with `text` on stdin and return its stdout.

    Raises:
        Unavailable: it does not start, fails, or takes longer than `seconds`.
    """
    data = text.encode("utf-8", "replace")  # JSON may contain unpaired surrogates
    try:
        done = subprocess.run(
            command(arguments, memory_mb), input=data, capture_output=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(_timeout(seconds)) from None
    except OSError as error:
        raise Unavailable(f"Java does not start: {error.strerror}; {HINT}") from None
    if done.returncode != 0:
        raise Unavailable(_failure(done.returncode, done.stderr))
    return done.stdout.decode("utf-8", "replace")


@contextlib.contextmanager
def session(
    arguments: Sequence[str | Path], *, memory_mb: int, seconds: float
) -> Iterator[tuple[Callable[[str], None], Callable[[], str]]]:
    """Start a program; yield a function that writes a line to it and one that reads its next line.

    The program is killed at the end of the block, and after `seconds`; both functions then raise.

    Raises:
        Unavailable: it does not start, has ended, or takes longer than `seconds`.
    """
    with tempfile.TemporaryFile() as errors:  # an unread pipe would fill and block
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

        def write(line: str) -> None:
            try:
                stdin.write(line.encode("utf-8", "replace") + b"\n")
                stdin.flush()
            except BrokenPipeError:
                raise end_reason() from None

        def read() -> str:
            line = stdout.readline()
            if not line.endswith(b"\n"):
                raise end_reason()
            return line.decode("utf-8", "replace").strip()

        def end_reason() -> Unavailable:
            process.kill()
            status = process.wait()
            return Unavailable(
                _timeout(seconds) if late.is_set() else _failure(status, _read(errors))
            )

        try:
            yield write, read
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            with contextlib.suppress(BrokenPipeError):  # unread input may remain
                stdin.close()
            stdout.close()


def _timeout(seconds: float) -> str:
    return f"Java took longer than {seconds:.0f} s and was killed: score fewer or shorter captions"


def _failure(status: int, stderr: bytes) -> str:
    text = " ".join(stderr.decode("utf-8", "replace").split())[-_TAIL:]
    return f"Java failed with status {status}: {text or 'no message on stderr'}"


def _read(errors: IO[bytes]) -> bytes:
    errors.seek(0)
    return errors.read()
