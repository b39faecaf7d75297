"""`safe doctor`: check that this machine can run a config. Failed checks have a hint."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from safe.digest import PACKAGE
from safe.errors import SafeError
from safe.gates.criteria_check import check_criteria
from safe.gates.waivers import check_waivers, load_waivers
from safe.hearing.config import RunConfig, load_run_config
from safe.hearing.training.trackers import missing_packages, names

State = Literal["ok", "warn", "fail"]
DISK_GB = {"miniature": 2, "full": 60}  # models, features and results of one run
MEMORY_GB = {"miniature": 4, "full": 24}
TESTED = ("3.11", "3.12")
TIMEOUT_S = 3  # for the hub
DEVICES = (
    "import json, torch; n = torch.cuda.device_count(); "
    "print(json.dumps([torch.__version__, [[torch.cuda.get_device_name(i), "
    "torch.cuda.get_device_properties(i).total_memory] for i in range(n)]]))"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report."""

    name: str
    state: State
    found: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the values for `--json`."""
        return asdict(self)

    def line(self) -> str:
        """Return the text for the terminal."""
        text = f"{self.state:<4}  {self.name:<20} {self.found}"
        return f"{text}\n      hint: {self.hint}" if self.hint else text


def examine(config_path: Path, *, devices: bool = True) -> list[Check]:
    """Run all checks, in order. A config that cannot be read is a failed check, not an error."""
    checks = [_python(), *_packages(PACKAGE.parent / "requirements.lock"), _git(), _java()]
    checks.append(_spice())
    try:
        config = load_run_config(config_path)
    except SafeError as error:
        return [*checks, Check("config", "fail", error.what.strip(), error.hint or "correct it")]
    checks.append(Check("config", "ok", f"{config_path}, run {config.run!r}, {config.scale}"))
    steps: list[Callable[[RunConfig], Iterator[Check]]] = [
        _criteria,
        _space,
        _memory,
        _datasets,
        _base,
    ]
    for step in steps:
        checks += step(config)
    checks.append(_tracking(config))
    if devices:
        checks.append(_devices(config))
    return checks


def _python() -> Check:
    version = platform.python_version()
    if version.rpartition(".")[0] not in TESTED:
        return Check("python", "warn", version, f"tested on {' and '.join(TESTED)}")
    return Check("python", "ok", version)


def read_lock(path: Path) -> dict[str, str]:
    """Return name -> version of every `name==version` line."""
    pattern = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)")
    found = (pattern.match(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {m[1]: m[2] for m in found if m}


def _packages(lock: Path) -> Iterator[Check]:
    if not lock.is_file():
        yield Check("packages", "warn", f"no {lock.name}", "run from a clone to compare versions")
        return
    wanted = read_lock(lock)
    missing, other = [], []
    for name, version in wanted.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if installed.partition("+")[0] != version.partition("+")[0]:
            other.append(f"{name} {installed} (locked {version})")
    if missing:
        hint = "make run, or pip install -r requirements.lock"
        yield Check("packages", "fail", f"missing: {', '.join(missing)}", hint)
    if other:
        hint = "pip install -r requirements.lock, to reproduce results"
        yield Check("packages", "warn", f"other versions: {', '.join(other)}", hint)
    if not missing and not other:
        yield Check("packages", "ok", f"all {len(wanted)} as locked")


def _git() -> Check:
    if shutil.which("git") is None:
        return Check("git", "warn", "not found", "install git: measurements record the commit")
    return Check("git", "ok", "found")


def _java() -> Check:
    hint = (
        "install a Java runtime (Debian: default-jre-headless); without it, METEOR and SPICE are "
        "unavailable and a regular expression tokenizes captions"
    )
    program = shutil.which("java")
    if program is None:
        return Check("java", "warn", "not found", hint)
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("java", "warn", f"does not start: {error}", hint)
    output = (done.stderr or done.stdout).strip().splitlines()
    if done.returncode != 0:
        return Check("java", "warn", f"does not start: {output[:1]}", hint)
    return Check("java", "ok", output[0] if output else program)


def _spice() -> Check:
    try:
        from safe.hearing.evaluation.caption_java import FETCH_SPICE, missing_spice_jars

        missing = missing_spice_jars()
    except ImportError as error:
        return Check("spice", "warn", str(error), "pip install -r requirements.lock")
    if missing:
        hint = f"needed only for SPICE and SPIDEr: {FETCH_SPICE}"
        return Check("spice", "warn", f"missing: {', '.join(missing)}", hint)
    return Check("spice", "ok", "parser found")


def _criteria(config: RunConfig) -> Iterator[Check]:
    try:
        files = check_criteria(config.criteria)
        waivers = load_waivers(config.waivers)
        check_waivers(waivers, files, config.waivers)
    except SafeError as error:
        yield Check("criteria", "fail", str(error).splitlines()[0], error.hint or "correct it")
        return
    count = sum(len(f.criteria) for f in files)
    yield Check("criteria", "ok", f"{count} in {len(files)} experiments, {len(waivers)} waived")


def _existing(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path


def _space(config: RunConfig) -> Iterator[Check]:
    for name, folder in (("results", config.results), ("cache", config.cache)):
        place = _existing(folder)
        free, needed = shutil.disk_usage(place).free / 1e9, DISK_GB[config.scale]
        hint = f"choose another folder for `{name}` in the config"
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            yield Check(
                name, "fail", f"{place} cannot be written to", f"change its owner, or {hint}"
            )
        elif free < needed:
            found = f"{free:.1f} GB free at {folder}, {needed} GB needed"
            yield Check(name, "fail", found, f"free some space, or {hint}")
        else:
            yield Check(name, "ok", f"{free:.1f} GB free at {folder}")


def _memory(config: RunConfig) -> Iterator[Check]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    wanted = MEMORY_GB[config.scale]
    if total < wanted:
        hint = f"use a machine with {wanted} GB, or smaller batches"
        yield Check("memory", "warn", f"{total:.1f} GB, {wanted} GB needed", hint)
    else:
        yield Check("memory", "ok", f"{total:.1f} GB")


def _datasets(config: RunConfig) -> Iterator[Check]:
    made = config.world.root.resolve() if config.world else None
    for dataset in config.datasets:
        name, root = f"data {dataset.name}", dataset.root
        if made is not None and root.resolve().is_relative_to(made):
            yield Check(name, "ok", "generated by the run")
        elif root.is_dir() and any(root.iterdir()):
            yield Check(name, "ok", str(root))
        else:
            hint = f"put the {dataset.layout} files there, or correct `root` in the config"
            yield Check(name, "fail", f"no files at {root}", hint)


def _base(config: RunConfig) -> Iterator[Check]:
    if config.base.miniature is not None:
        yield Check("base", "ok", f"the {config.base.miniature} miniature; no hub needed")
        return
    remote = [m for m in (config.base.vlm, config.base.audio_encoder) if m and not Path(m).is_dir()]
    if not remote:
        yield Check("base", "ok", f"{config.base.vlm}, {config.base.audio_encoder}")
        return
    yield _hub(remote)


def _hub(models: list[str]) -> Check:
    import urllib.error
    import urllib.request

    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    hint = f"connect to {address}, or give folders for {' and '.join(models)}"
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return Check("hub", "warn", "HF_HUB_OFFLINE is set: only cached models can be loaded", hint)
    if not address.startswith(("https://", "http://")):
        return Check("hub", "fail", f"HF_ENDPOINT is not a URL: {address}", hint)
    try:
        request = urllib.request.Request(address, method="HEAD")  # noqa: S310  # checked above
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
            return Check("hub", "ok", f"{address} is reachable")
    except urllib.error.HTTPError as error:
        return Check("hub", "ok", f"{address} is reachable ({error.code})")
    except (OSError, ValueError) as error:
        return Check("hub", "fail", f"{address} is not reachable: {error}", hint)


def _tracking(config: RunConfig) -> Check:
    wanted = config.tracking.trackers
    missing = missing_packages(wanted)
    if missing:
        hint = "pip install safe[tracking], or remove it from `tracking.trackers`"
        return Check("tracking", "fail", f"not installed: {', '.join(missing)}", hint)
    if not wanted:
        found = [name for name in names() if not missing_packages([name])]
        return Check("tracking", "ok", f"none configured; installed: {', '.join(found) or 'none'}")
    where = "online" if config.tracking.online else "written to results"
    return Check("tracking", "ok", f"{', '.join(wanted)}; {where}")


def _devices(config: RunConfig) -> Check:
    """Query torch in a subprocess: its import takes seconds and may crash the process."""
    wants = config.device.startswith("cuda")
    hint = "pip install -r requirements.lock"
    try:
        done = subprocess.run(
            [sys.executable, "-c", DEVICES], capture_output=True, text=True, timeout=120
        )
        answer: Any = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return Check("devices", "fail", f"torch does not start: {error!r}", hint)
    version, gpus = answer
    if gpus:
        names = ", ".join(f"{name} ({memory / 1e9:.0f} GB)" for name, memory in gpus)
        return Check("devices", "ok", f"torch {version}, {names}")
    found = f"torch {version}, no GPU, {os.cpu_count()} CPU cores"
    if wants or config.scale == "full":
        state: State = "fail" if wants else "warn"
        return Check("devices", state, found, "use a machine with a GPU, or set device: cpu")
    return Check("devices", "ok", found)
