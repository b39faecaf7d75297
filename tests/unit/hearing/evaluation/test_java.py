"""Java's place is taken by shell scripts that fail as Java may."""

import os
from pathlib import Path

import pytest

from safe.hearing.evaluation import java


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Make `java` a script; each run leaves its process id in `pids`."""

    def make(script: str) -> Path:
        program, pids = tmp_path / "java", tmp_path / "pids"
        program.write_text(f"#!/bin/sh\necho $$ >> {pids}\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return pids

    return make


def gone(pids: Path) -> bool:
    """Every process that was started has ended and was waited for."""
    return not any(Path("/proc", pid).exists() for pid in pids.read_text().split())


def test_memory_and_text_are_bounded_and_fixed(fake):
    fake('echo "$@"; cat')
    said = java.run(["-jar", "x.jar"], "é \ud800", memory_mb=64, seconds=10)
    assert said.split("\n")[0] == (
        "-Xmx64m -Dfile.encoding=UTF-8 -Duser.language=en -Duser.region=US -jar x.jar"
    )
    assert said.split("\n")[1] == "é ?"


def test_a_failure_says_what_java_said(fake):
    fake("echo out of memory >&2; exit 3")
    with pytest.raises(java.Unavailable, match="failed with status 3: out of memory"):
        java.run([], memory_mb=64, seconds=10)
    with (
        pytest.raises(java.Unavailable, match="failed with status 3: out of memory"),
        java.session([], memory_mb=64, seconds=10) as (_, hear),
    ):
        hear()


def test_what_takes_too_long_is_ended(fake):
    pids = fake("exec sleep 60")
    with pytest.raises(java.Unavailable, match=r"longer than 1 s"):
        java.run([], memory_mb=64, seconds=1)
    with java.session([], memory_mb=64, seconds=1) as (say, hear):
        say("a line")
        with pytest.raises(java.Unavailable, match=r"longer than 1 s"):
            hear()
    assert gone(pids)


@pytest.mark.parametrize("fault", [None, RuntimeError, KeyboardInterrupt])
def test_a_session_ends_its_program_whatever_happens(fake, fault):
    pids = fake("exec cat")

    def use() -> None:
        with java.session([], memory_mb=64, seconds=30) as (say, hear):
            say("hello")
            assert hear() == "hello"
            if fault:
                raise fault

    if fault:
        with pytest.raises(fault):
            use()
    else:
        use()
    assert gone(pids)


def test_a_program_that_left_is_noticed_while_it_is_spoken_to(fake):
    pids = fake("echo no such jar >&2; exit 1")

    def talk() -> None:
        with java.session([], memory_mb=64, seconds=30) as (say, _):
            for _ in range(1000):
                say("x" * 100_000)

    with pytest.raises(java.Unavailable, match="status 1: no such jar"):
        talk()
    assert gone(pids)


def test_much_noise_on_stderr_blocks_nothing(fake):
    fake("yes noise | head -c 1000000 >&2; exec cat")
    with java.session([], memory_mb=64, seconds=30) as (say, hear):
        say("hello")
        assert hear() == "hello"


def test_no_java_and_one_that_does_not_start(tmp_path, monkeypatch):
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
