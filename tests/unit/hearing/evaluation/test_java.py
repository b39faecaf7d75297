"""Failures of Java, simulated with shell scripts."""

import os
from pathlib import Path

import pytest

from safe.hearing.evaluation import java


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Make `java` a script; each run appends its process id to `pids`."""

    def make(script: str) -> Path:
        program, pids = tmp_path / "java", tmp_path / "pids"
        program.write_text(f"#!/bin/sh\necho $$ >> {pids}\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return pids

    return make


def gone(pids: Path) -> bool:
    """Return whether every started process has ended and was waited for."""
    return not any(Path("/proc", pid).exists() for pid in pids.read_text().split())


def test_memory_and_locale_are_fixed_and_text_is_sanitised(fake):
    fake('echo "$@"; cat')
    output = java.run(["-jar", "x.jar"], "é \ud800", memory_mb=64, seconds=10)
    assert output.split("\n")[0] == (
        "-Xmx64m -Dfile.encoding=UTF-8 -Duser.language=en -Duser.region=US -jar x.jar"
    )
    assert output.split("\n")[1] == "é ?"


def test_failure_includes_javas_message(fake):
    fake("echo out of memory >&2; exit 3")
    with pytest.raises(java.Unavailable, match="failed with status 3: out of memory"):
        java.run([], memory_mb=64, seconds=10)
    with (
        pytest.raises(java.Unavailable, match="failed with status 3: out of memory"),
        java.session([], memory_mb=64, seconds=10) as (_, receive),
    ):
        receive()


def test_timeout_ends_the_process(fake):
    pids = fake("exec sleep 60")
    with pytest.raises(java.Unavailable, match=r"longer than 1 s"):
        java.run([], memory_mb=64, seconds=1)
    with java.session([], memory_mb=64, seconds=1) as (send, receive):
        send("a line")
        with pytest.raises(java.Unavailable, match=r"longer than 1 s"):
            receive()
    assert gone(pids)


@pytest.mark.parametrize("fault", [None, RuntimeError, KeyboardInterrupt])
def test_session_ends_its_program_on_any_exit(fake, fault):
    pids = fake("exec cat")

    def use() -> None:
        with java.session([], memory_mb=64, seconds=30) as (send, receive):
            send("hello")
            assert receive() == "hello"
            if fault:
                raise fault

    if fault:
        with pytest.raises(fault):
            use()
    else:
        use()
    assert gone(pids)


def test_program_that_exits_while_being_written_to_is_noticed(fake):
    pids = fake("echo no such jar >&2; exit 1")

    def talk() -> None:
        with java.session([], memory_mb=64, seconds=30) as (send, _):
            for _ in range(1000):
                send("x" * 100_000)

    with pytest.raises(java.Unavailable, match="status 1: no such jar"):
        talk()
    assert gone(pids)


def test_much_output_on_stderr_does_not_block(fake):
    fake("yes noise | head -c 1000000 >&2; exec cat")
    with java.session([], memory_mb=64, seconds=30) as (send, receive):
        send("hello")
        assert receive() == "hello"


def test_missing_or_broken_java_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(java.Unavailable, match="no Java on PATH: install a Java runtime"):
        java.run([], memory_mb=64, seconds=1)
    (tmp_path / "java").write_bytes(b"\x7fELF broken")
    (tmp_path / "java").chmod(0o755)
    with pytest.raises(java.Unavailable, match="Java does not start"):
        java.run([], memory_mb=64, seconds=1)
    with (
        pytest.raises(java.Unavailable, match="Java does not start"),
        java.session([], memory_mb=64, seconds=1),
    ):
        pass
