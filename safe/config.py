"""The one description of every setting; `workflow/schemas` is generated from it.

Relative paths are relative to the folder the run is started in.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from safe.errors import ConfigError

Layout = Literal["audiocaps", "vqav2", "gqa", "music_avqa", "digits"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class Strict(BaseModel):
    """No unknown key, no later change."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class WorldConfig(Strict):
    """The miniature world (`safe world`), written to `root` in the public layouts."""

    root: Path
    seed: int = Field(ge=0)
    clips: Positive = 1200  # sounds in the AudioCaps part
    images: Positive = 3000  # pictures in the VQA v2 part; the GQA part has a third as many
    videos: Positive = 1200  # clips in the MUSIC-AVQA part
    faults: list[str] = []


class DatasetConfig(Strict):
    """A dataset on disk in the layout its authors publish."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    layout: Layout
    root: Path
    splits: dict[Literal["train", "val", "test"], str] = Field(min_length=1)
    annotations: dict[str, Path] = {}  # overrides of the layout's own file names, by split
    media: bool = True  # False: annotation files alone; what needs media is then `unavailable`
    limit: Positive | None = None  # first N questions of each split
    split_unit: Literal["media", "question"] = "media"
    split_unit_reason: str | None = None
    label_fields: list[str] = ["answer"]
    intended_imbalance: dict[str, str] = {}  # label field -> the reason
    names_carry_labels: str | None = None  # why file names that give answers away do no harm
    options: dict[str, Any] = {}  # keys of the layout, checked by its reader

    @model_validator(mode="after")
    def _question_split_needs_a_reason(self) -> DatasetConfig:
        if self.split_unit == "question" and len(self.split_unit_reason or "") < 20:
            raise ValueError("split_unit: question needs split_unit_reason (20 characters or more)")
        if self.names_carry_labels is not None and len(self.names_carry_labels) < 20:
            raise ValueError("names_carry_labels needs a reason of 20 characters")
        for field, reason in self.intended_imbalance.items():
            if len(reason) < 20:
                raise ValueError(f"intended_imbalance.{field} needs a reason of 20 characters")
        return self


class BaseConfig(Strict):
    """The frozen vision-language model and the frozen ear.

    `train` names the miniature to train from scratch and cache; otherwise `vlm` and `ear` are
    folders or hub ids opened by `from_pretrained` at the given revision.
    """

    train: Literal["world", "digits"] | None = None
    vlm: str | None = None
    vlm_revision: str | None = None
    ear: str | None = None
    ear_revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _either_trained_or_named(self) -> BaseConfig:
        if (self.train is None) == (self.vlm is None or self.ear is None):
            raise ValueError("give either `train`, or both `vlm` and `ear`")
        return self


class LoraConfig(Strict):
    rank: Positive = 8
    alpha: Positive = 16
    dropout: Fraction = 0.0
    targets: list[str] = Field(default=["q_proj", "v_proj"], min_length=1)


class AdapterConfig(Strict):
    """The trainable part."""

    projector: Literal["mlp", "resampler"] = "mlp"
    audio_tokens: int = Field(default=4, ge=1, le=64)
    hidden: Positive = 640  # width between the projector's two linear layers
    lora: LoraConfig = LoraConfig()


class TinyOverfitConfig(Strict):
    """Experiment 03."""

    rows: int = Field(default=512, ge=8)
    audio_fraction: Fraction = 0.5
    steps: Positive = 480
    batch_size: Positive = 32
    projector_lr: float = Field(default=4e-3, gt=0)
    lora_lr: float = Field(default=4e-3, gt=0)
    warmup: Fraction = 0.05
    clip_norm: float = Field(default=1.0, gt=0)


class StageAConfig(Strict):
    """How the adapter is trained: experiment 04, and those that train as it does."""

    rows: Positive = 50_000  # training rows at most, audio and VL together
    audio_fraction: float = Field(default=0.5, gt=0, le=1)  # of every batch: rows that need sound
    tasks: list[Literal["audio", "av", "caption"]] = Field(default=["audio", "av"], min_length=1)
    steps: Positive = 800
    batch_size: Positive = 64  # rows of an optimizer step, over all processes
    accumulate: Positive = 1  # micro-batches that a step is dealt out to
    projector_lr: float = Field(default=4e-3, gt=0)
    lora_lr: float = Field(default=4e-3, gt=0)
    warmup: Fraction = 0.05
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    distillation: float = Field(default=1.0, ge=0)  # weight of KL(base || SAFE) on VL rows
    null_space: int = Field(default=0, ge=0)  # directions kept out of every update; 0: none
    fisher: float = Field(default=0.0, ge=0)  # weight of the Fisher penalty
    retention_rows: Positive = 256  # VL rows whose gradients those two are made from
    renew_every: Positive = 500  # steps after which the null space is made anew
    null_space_gb: float = Field(default=4.0, gt=0)  # what its making may take
    faint_noise: Fraction = 0.1  # of VL rows: hear near-silence, not another row's clip
    checkpoint_every: Positive = 200


class PilotConfig(Strict):
    """Experiment 04: what is held out, and what the ablation tries."""

    vl_items: Positive = 1500  # held-out VL questions of each dataset, base against SAFE
    audio_items: Positive = 3000  # held-out questions about sound of each split
    latency_pairs: int = Field(default=60, ge=20)
    spike_mads: float = Field(
        default=12.0, gt=0
    )  # a step further off the running median is a spike
    audio_tokens: list[Annotated[int, Field(ge=1, le=64)]] = Field(default=[4, 8, 12], min_length=1)
    ranks: list[Positive] = Field(default=[4, 8, 16], min_length=1)
    ablation_steps: Positive = 300
    margin: Fraction = 0.03  # of audio accuracy: how far below the best still counts as its equal


class GatingConfig(Strict):
    """Experiment 05."""

    # What a threshold may cost on validation, by its bound: far less than on test, as one that is
    # chosen at the limit fails there half of the time.
    max_audio_drop: Fraction = 0.002
    points: int = Field(default=25, ge=5)  # thresholds on the curve of each policy
    items: Positive | None = None  # questions of each task and split; None: all of them
    timed_items: Positive = 80
    timing_repeats: Positive = 5  # of five ways in turn: each takes each place once


class EvaluationConfig(Strict):
    """Experiment 07."""

    references: Path = Path("config/references.yaml")
    max_new_tokens: Positive = 8
    audio_items: Positive = 1000  # questions that need their sound
    vl_items: Positive = 2500  # questions about a picture alone; half a point is told by many
    min_drop: float = Field(default=0.1, gt=0)  # nats of the right answer lost: a drop when muted
    repeated_items: Positive = 192  # asked again, in another order and in other batches
    sweep_items: Positive = 500  # asked in every condition of sound
    snr_db: list[float] = Field(default=[20.0, 10.0, 0.0, -10.0], min_length=2)
    clipping: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.3, 0.03], min_length=1)
    sampling_rates: list[Positive] = Field(default=[8000, 4000, 2000], min_length=1)
    caption_reference: Path | None = None  # CSV whose official scores are known, if at hand


class ProfileConfig(Strict):
    """Experiment 06: what the machine must carry."""

    batch_sizes: list[Positive] = Field(default=[16, 32, 64, 128, 256], min_length=4)
    target_batch: Positive = 64
    memory_budget_gb: float | None = Field(default=None, gt=0)  # None: all that the device has
    audio_latency_ms: float = Field(default=50.0, gt=0)  # SLO: added per question, median
    audio_latency_p95_ms: float = Field(default=100.0, gt=0)
    planned_samples: Positive = 500_000
    planned_hours: float = Field(default=24.0, gt=0)
    repeats: int = Field(default=20, ge=5)
    audio_tokens: list[Annotated[int, Field(ge=1, le=64)]] = Field(default=[4, 8, 12], min_length=1)


class TrackingConfig(Strict):
    """Where training is logged, through Accelerate."""

    trackers: list[Literal["wandb", "tensorboard", "mlflow"]] = []
    project: str = Field(default="safe", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    online: bool = False  # wandb: False keeps the record in results/, `wandb sync` sends it later


class ParityConfig(Strict):
    """Experiment 02."""

    samples: Positive = 1000
    batch_size: Positive = 50
    max_new_tokens: Positive = 8
    timing_repeats: Positive = 20


class PreflightConfig(Strict):
    """Experiment 01."""

    alignment_pairs: Positive = 1000
    near_image_distance: int = Field(default=4, ge=0, le=64)
    near_audio_similarity: Fraction = 0.9  # of fingerprints: what is compared further
    near_audio_correlation: Fraction = 0.88  # of waveforms: what is then a copy
    near_text_similarity: Fraction = 0.9
    recall_copies: Positive = 60  # re-encoded copies made to measure each detector's recall
    verdict_file: Path | None = None  # a person's signed spot-check verdicts
    batches: int = Field(default=200, ge=1)


class StageLossConfig(Strict):
    """What a curriculum stage minimises."""

    cross_entropy: float = Field(default=1.0, gt=0)  # on rows that need their sound
    distillation: float | None = Field(default=None, ge=0)  # None: that of stage_a


class AugmentationConfig(Strict):
    """What a curriculum stage does to sounds."""

    noise: Fraction = 0.0  # share of rows that need their sound and hear it in noise
    noise_snr_db: tuple[float, float] = (5.0, 20.0)  # lowest and highest
    irrelevant: Fraction = 0.9  # share of VL rows beside another clip; the others: near-silence

    @model_validator(mode="after")
    def _lowest_first(self) -> AugmentationConfig:
        low, high = self.noise_snr_db
        if not -40 <= low <= high <= 60:
            raise ValueError("noise_snr_db gives the lowest, then the highest, within -40 and 60")
        return self


class StageConfig(Strict):
    """One curriculum stage."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    epochs: Positive
    audio_ratio: Fraction  # share of audio-bearing rows in every batch
    difficulties: list[Literal["easy", "medium", "hard"]] = Field(min_length=1)
    loss: StageLossConfig = StageLossConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    lr_factor: float = Field(default=1.0, gt=0)
    batch_factor: float = Field(default=1.0, gt=0)
    min_audio_accuracy: Fraction
    max_vl_drop: Fraction  # with the gate ON, beside sounds that have nothing to do with the row
    min_samples: int = Field(default=0, ge=0)
    min_skip_rate: Fraction = 0.0  # of the gate that experiment 05 chose


class RehearsalConfig(Strict):
    """Experiment 08: the curriculum in small."""

    rows: int = Field(default=1600, ge=8)  # training rows, audio and VL together
    held_out: int = Field(default=400, ge=8)  # of each kind, asked after every epoch
    dropout: Fraction = 0.1  # of LoRA: what a resumed run must draw as the uninterrupted one did
    kills: Positive = 2
    checkpoint_every: Positive = 5


class CurriculumConfig(Strict):
    """Stages in order; what ends, extends or shortens them."""

    batch_size: Positive = 50
    stages: list[StageConfig] = Field(min_length=1)
    max_extensions: int = Field(default=2, ge=0)
    early_factor: float = Field(default=1.05, ge=1)
    early_epochs: Positive = 2
    ratio_step: Fraction = 0.0  # by which an extension moves the audio ratio to what was missed
    rehearsal: RehearsalConfig = RehearsalConfig()

    @model_validator(mode="after")
    def _stages_can_be_told_apart(self) -> CurriculumConfig:
        names = [stage.name for stage in self.stages]
        if len(names) != len(set(names)):
            raise ValueError(f"two stages share a name: {names}")
        return self


class RetentionConfig(Strict):
    """Experiment 09: what holds on to pictures, and how strongly."""

    # Of Stage A, on fewer rows: the adapter that all variants go on from.
    start_steps: Positive = 400
    steps: Positive = 200
    rows: int = Field(default=4000, ge=8)
    batch_size: Positive = 64
    lr_factor: float = Field(default=0.5, gt=0)  # of stage_a's learning rates
    seeds: int = Field(default=3, ge=2)
    null_space: Positive = 256  # directions, in the variants that have it
    fisher: float = Field(default=1000.0, gt=0)  # weight, in the variants that have it
    weights: list[Annotated[float, Field(gt=0)]] = Field(default=[0.5, 1.0, 2.0], min_length=3)
    margin: Fraction = 0.03  # of audio accuracy: what a weight may cost against the best
    max_vl_drop: Fraction = 0.01  # what a weight must hold, by its bound
    drift_every: Positive = 40  # steps between two measurements of drift
    drift_items: int = Field(default=400, ge=8)  # VL questions that drift is measured on
    vl_items: int = Field(default=800, ge=8)  # asked at the end
    audio_items: int = Field(default=500, ge=8)


class RunConfig(Strict):
    """A whole run: `results/RUN` comes from this and the code alone."""

    run: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    scale: Literal["miniature", "full"]
    seed: int = Field(ge=0)
    results: Path = Path("results")
    cache: Path = Path("cache")
    criteria: Path = Path("config/criteria")
    waivers: Path = Path("config/waivers.yaml")
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threads: Positive = 2
    world: WorldConfig | None = None
    datasets: list[DatasetConfig] = Field(min_length=1)
    base: BaseConfig
    adapter: AdapterConfig = AdapterConfig()
    preflight: PreflightConfig = PreflightConfig()
    parity: ParityConfig = ParityConfig()
    tiny_overfit: TinyOverfitConfig = TinyOverfitConfig()
    stage_a: StageAConfig = StageAConfig()
    pilot: PilotConfig = PilotConfig()
    gating: GatingConfig = GatingConfig()
    profile: ProfileConfig = ProfileConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tracking: TrackingConfig = TrackingConfig()
    curriculum: CurriculumConfig
    retention: RetentionConfig = RetentionConfig()

    @model_validator(mode="after")
    def _names_are_unique(self) -> RunConfig:
        names = [d.name for d in self.datasets]
        if len(names) != len(set(names)):
            raise ValueError(f"two datasets share a name: {sorted(names)}")
        return self

    @property
    def folder(self) -> Path:
        return self.results / self.run


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys allowed where `location` (pydantic's path to the fault) points."""
    current: Any = model
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        fields = getattr(current, "model_fields", {})
        if part not in fields:
            return []
        stack, current = [fields[part].annotation], None
        while stack:
            kind = stack.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                current = kind
            stack.extend(getattr(kind, "__args__", ()))
    return list(getattr(current, "model_fields", {}))


def explain_validation(error: ValidationError, model: type[BaseModel], where: Path | str) -> str:
    """One line a fault: key, what is wrong, and the nearest known key for a misspelt one."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(p) for p in fault["loc"]) or "(top level)"
        message = fault["msg"]
        if fault["type"] == "extra_forbidden":
            known = _known_keys(model, fault["loc"])
            near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
            message = "unknown key" + (f"; did you mean `{near[0]}`?" if near else "")
            if not near and known:
                message += f"; known keys: {', '.join(sorted(known))}"
        elif "input" in fault and not isinstance(fault["input"], dict | list):
            message += f" (given: {fault['input']!r})"
        lines.append(f"  {key}: {message}")
    return f"{where}: {len(lines)} fault(s)\n" + "\n".join(lines)


def parse_run_config(values: dict[str, Any], where: Path | str) -> RunConfig:
    """Validate a mapping that came from `where`.

    Raises:
        ConfigError: naming every faulty key, with the nearest known key for a misspelt one.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            explain_validation(error, RunConfig, where),
            mend="correct the keys named above; config/README.md describes each one",
        ) from None


class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader (libyaml's where it is built in), refusing a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key.value}` stands twice", key.start_mark
                )
            seen |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """`yaml.safe_load`, with the file and line of a syntax error or a repeated key.

    Raises:
        ConfigError: where the file is missing, unreadable or no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506  # a SafeLoader
    except FileNotFoundError:
        raise ConfigError("no such file", where=path, mend="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=path, mend="save as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(
            f"not YAML: {getattr(error, 'problem', error)}",
            where=path,
            line=None if mark is None else mark.line + 1,
            mend="correct the syntax at that line",
        ) from None


def load_run_config(path: Path) -> RunConfig:
    """Read a run's YAML, or the resolved `config.json` of a run.

    Raises:
        ConfigError: naming file, line or key, and the mend.
    """
    if path.suffix == ".json":
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot be read: {error}", where=path) from None
    else:
        values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError("not a mapping at the top level", where=path, mend="see config/README.md")
    return parse_run_config(values, path)
