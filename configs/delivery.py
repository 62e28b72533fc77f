"""What leaves Hone and what has to be true of it: export, evaluate, gate, register; and what it is computed on."""

import re
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, StringConstraints, field_validator

from hone.configs.section import Section

Provider = Literal["tensorrt", "cuda", "cpu"]
QualityMetric = Literal[
    "accuracy",
    "agreement",
    "bits_per_byte",
    "exact_match",
    "f1",
    "macro_f1",
    "micro_f1",
    "mse",
    "perplexity",
    "precision",
    "recall",
    "spearman",
]
Perturbation = Literal["typos", "case", "punctuation"]
STORAGE_PATTERN = r"^(s3://[a-z0-9][a-z0-9.-]+(/[^/?#]+)*/?|file:///.+|[^:]+(:[^/:][^:]*)*)$"
"""A bucket and a prefix in it, or a folder; no other scheme."""
MODEL_NAME_PATTERN = r"^([^/:@?\x00-\x1f']*|[^/:@?\x00-\x1f\"]*)$"
"""MLflow refuses / and : in a name, registers one with @, ? or a tab that it cannot load, and cannot search for one
that holds both kinds of quotes."""
Texts = Literal["shown", "hashed", "none"]
Cell = Annotated[str, StringConstraints(pattern=r"^[1-9]\d*x[1-9]\d*(\+1)?$")]


class ExportSettings(Section):
    """The ONNX file and the providers meant to run it."""

    providers: list[Provider] = Field(["cpu"], min_length=1)
    """Execution providers, the preferred one first; the rest are what it falls back to."""
    opset: int = Field(18, ge=18, le=23)
    """ONNX operator set; torch's exporter writes 18 and newer."""


class EvaluateSettings(Section):
    """What is measured, and how long for."""

    batch_size: int = Field(32, ge=1)
    """Rows a batch when predicting the test split."""
    cells: list[Cell] = Field(["1x16", "1x32", "1x64", "1x128", "32x32", "32x128"], min_length=1)
    """Batch x length at which latency is measured; 1x128+1 is one more token behind a text of 128 (text-generation)."""
    rounds: int = Field(6, ge=1, le=100)
    """Times each model takes its turn, in a new process. Many short rounds bear a disturbance better than few long."""
    samples: int = Field(300, ge=3, le=100_000)
    """Timed calls of each cell, over all rounds, of the selected model and of the dense teacher it is compared with."""
    cell_seconds: float = Field(2.0, gt=0, le=3600)
    """Models that decide nothing stop sampling a cell after this long in each round, over all the ways in which they
    are run, with at least 3 samples taken."""
    torch_compile_seconds: float = Field(180.0, ge=0, le=3600)
    """Longest that torch.compile may take for PyTorch's row of the table: some minutes for a small encoder on two
    cores. Where it takes longer, or finds no compiler, the row is without it. 0 does not try."""
    threads: int = Field(0, ge=0, le=1024)
    """Most threads of a session; 0 takes one for each core that the container may use. Timed are 1, this many, and
    powers of two between; what suits each shape counts."""
    quiet_seconds: float = Field(120.0, ge=0, le=86_400)
    """Before each round of timing, wait until others take no more than gate.max_background_load of the machine, for no
    longer than this over all rounds; then go on, and record the load."""
    calibration_bins: int = Field(15, ge=2, le=1000)
    """Equal-width confidence bins of the expected calibration error."""
    robustness: list[Perturbation] = []
    """Ways in which the test split's texts are spoilt, to see whether the model bears it as the teacher does."""
    golden_requests: int = Field(32, ge=1, le=1000)
    """Texts of the test split that the model answers again in a fresh process, and before each promotion."""


class GateSettings(Section):
    """What has to be shown of the selected model; a switched-off demand is null."""

    metrics: list[QualityMetric] = []
    """Metrics in which it is compared with the teacher, and with the champion, on the same examples; empty: the one
    that the task is judged by, accuracy of texts, micro_f1 where they have several labels, mse of numbers, f1 (of
    whole entities) of words, f1 (of the answers' words) of questions and perplexity of documents."""
    margin: float = Field(0.02, gt=0, lt=1)
    """How far below the teacher (and the champion) it may be: 0.02 is 2 points; of mse and perplexity, 2% above the
    teacher's."""
    level: float = Field(0.05, gt=0, lt=0.5)
    """Error rate of the verdict: at most this often is any model accepted on the same test rows that is worse by a
    margin, and at most this often one refused that keeps them all."""
    looks: int | None = Field(None, ge=1, le=1000, title="Planned looks")
    """How many models these test rows are planned to judge: the level is shared out among them, and then it is spent.
    null plans none: the first is accepted at half of the level, the next at a sixth, a twelfth and so on."""
    resamples: int = Field(10_000, ge=200, le=1_000_000)
    """Draws of each bootstrap."""
    compare_champion: bool = Field(True, title="Compare with the champion")
    """Hold it against the registered champion too, where there is one."""
    old_data: Literal["ignore", "compare", "require"] = "compare"
    """Where the champion learned from other data: hold the model against it on the champion's own test split too.
    require refuses the model where those rows are not there any more."""
    slice_margin: float | None = Field(0.05, gt=0, lt=1, title="Slice margin")
    """How far below the teacher it may be on any slice; null makes no slices."""
    slice_labels: bool = True
    """Each label, or type of entity, is a slice."""
    slice_lengths: int = Field(3, ge=0, le=20)
    """Slices by length in words, of about equal size; 0 makes none. data.slice_columns adds others."""
    min_slice_rows: int = Field(100, ge=1)
    """A smaller slice is reported and does not decide."""
    beat_baseline: bool = Field(
        True, title="Beat the baseline", validation_alias=AliasChoices("beat_baseline", "beat_floor")
    )
    """It, and the teacher, have to be better than what costs next to nothing, of texts TF-IDF with logistic regression
    (ridge of numbers), of words the tag that each has most often, of documents an n-gram model of their bytes: being as
    good as a teacher that is no better shows nothing. (Recipes of before say beat_floor.)"""
    min_accuracy: float | None = Field(None, ge=0, le=1, title="Least accuracy")
    """Least test accuracy, or whatever the task is judged by, such as f1; of mse, the largest. A perplexity is above 1
    and cannot be held to one yet."""
    min_accuracy_kept: float | None = Field(None, ge=0, le=2, title="Least accuracy kept")
    """Least share of the teacher's test accuracy, as measured; of mse and perplexity, of the teacher's as a share of
    the model's."""
    max_calibration_error: float | None = Field(None, ge=0, le=1, title="Largest calibration error")
    """Largest expected calibration error; of texts alone."""
    min_speedup: float | None = Field(1.5, gt=0, title="Least speed-up")
    """Least speed-up over the best dense configuration of the teacher (geometric mean over the cells of the ratio of
    medians), by the lower end of its interval; null asks only that it is not slower."""
    min_speedup_per_core: float | None = Field(None, gt=0, title="Least speed-up per core")
    """Least speed-up with one thread each, which is what a server with many requests at a time pays for, by the lower
    end of its interval; null asks for none, and it is still measured and told."""
    max_background_load: float = Field(0.2, ge=0, le=1)
    """Largest share of the usable processor time that others may take while the models are timed: above it, the timing
    is no evidence for or against a speed. 1 takes any timing."""
    max_size_fraction: float | None = Field(0.5, gt=0, title="Largest size fraction")
    """Largest size, as a share of the teacher's ONNX fp32 file."""
    max_size_bytes: int | None = Field(None, ge=1, title="Largest size in bytes")
    """Largest model file."""
    max_p95_ms: float | None = Field(None, gt=0, title="Largest p95 in milliseconds")
    """Largest 95th percentile of the latency at p95_cell."""
    p95_cell: Cell = "1x32"
    """Batch x length that max_p95_ms is asked of; one of evaluate.cells."""
    max_peak_memory_bytes: int | None = Field(None, ge=1, title="Largest peak memory in bytes")
    """Largest resident set of a fresh process that serves the model."""
    max_load_seconds: float | None = Field(None, gt=0, title="Longest load time in seconds")
    """Longest time from the files to a model that is ready, in a fresh process."""
    require_provider: Provider | None = Field(None, title="Required provider")
    """Provider that has to be the first of the selected model's session."""
    max_fallback_nodes: int | None = Field(None, ge=0, title="Most fallback nodes")
    """Most nodes that may run elsewhere than on the first of export.providers."""
    parity_exact: float = Field(1e-3, gt=0)
    """Largest difference of a logit where both sides of a hand-off compute in fp32."""
    parity_rounded: float = Field(0.9, ge=0, le=1)
    """Least share of rows with the same label (of several, of labels with the same yes or no; of numbers, of rows
    within a quarter of the true ones' standard deviation) where rounding comes in: PyTorch and fake-quantised."""
    parity_integer: float = Field(0.02, gt=0)
    """Largest root mean square difference of the logits, as a share of their spread, where both sides round:
    fake-quantised and integer kernels. Rounding that falls on the other side explains about 0.003."""


class RegisterSettings(Section):
    """What becomes of an accepted model."""

    enabled: bool = True
    """Make an accepted model a version in MLflow's registry."""
    model_name: str = Field("", max_length=256, json_schema_extra={"pattern": MODEL_NAME_PATTERN})
    """Name in the registry, without / : @ ? and without both kinds of quotes; empty: the recipe's name."""
    promote: Literal["never", "approval", "auto"] = "never"
    """auto makes an accepted version the champion at once; approval asks a person in the deployment's run, and where
    there is no server leaves it to `hone promote`."""
    approval_hours: float = Field(24.0, gt=0, le=8760)
    """Hours within which a person has to approve; afterwards nothing changes, as if refused."""
    keep_rejected: bool = False
    """Make a rejected model a version too, without an alias: a person can promote it with a reason. One that is
    inconclusive always becomes such a version; one that does not serve never does."""

    @field_validator("model_name")
    @classmethod
    def _name_that_mlflow_takes(cls, value: str) -> str:
        wrong = [f"'{letter}'" for letter in "/:@?" if letter in value]
        if any(letter < " " for letter in value):
            wrong.append("a tab or a line break")
        if "'" in value and '"' in value:
            wrong.append("both kinds of quotes")
        if value and not value.strip(" ."):
            wrong.append("nothing but dots and blanks")
        if wrong:
            raise ValueError(
                f"register.model_name = {value!r}: it holds {' and '.join(wrong)}, which MLflow's registry does not "
                "take; leave that out, or leave the name empty for the recipe's own"
            )
        return value


class ReportSettings(Section):
    """What the report and the artifacts of a run tell."""

    texts: Texts = "shown"
    """Texts of the data in the report, in MLflow and in Prefect: as they are, as a digest by which whoever has the data
    finds the row, or not at all. Golden requests are then texts that anybody may read. The prepared data in
    compute.storage stay as they are, as the stages read them."""


class ComputeSettings(Section):
    """Where the training runs and where its results lie."""

    workers: int = Field(1, ge=1, le=1024)
    """Ray workers that train together."""
    cpus_per_worker: int = Field(0, ge=0, le=1024)
    """Cores of each worker; 0 shares out the cores there are."""
    gpus_per_worker: float = Field(0, ge=0, le=16)
    """GPUs of each worker."""
    memory_per_worker: float = Field(0, ge=0, le=65_536)
    """GiB of memory that each worker needs, so that Ray places it where they are free; 0 asks for none."""
    max_failures: int = Field(2, ge=0, le=100)
    """Deaths of a worker after which training gives up; it resumes from the last checkpoint until then."""
    storage: str = Field(".hone", min_length=1, json_schema_extra={"pattern": STORAGE_PATTERN})
    """Folder of finished stages and, unless MLFLOW_TRACKING_URI says otherwise, of MLflow's records; all workers have
    to see it. Or s3://BUCKET/PREFIX, which they reach instead, with MLflow on a server."""

    @field_validator("storage")
    @classmethod
    def _known_storage(cls, value: str) -> str:
        if not re.search(STORAGE_PATTERN, value):
            raise ValueError(f"compute.storage = '{value}': give a folder, or a bucket as s3://BUCKET/PREFIX")
        return value


def parse_cell(cell: str) -> tuple[int, int]:
    """`"32x128"`, or `"32x128+1"`, as (batch, length)."""
    match = re.fullmatch(r"(\d+)x(\d+)(?:\+1)?", cell)
    if match is None:
        raise ValueError(f"'{cell}' is not BATCHxLENGTH, like 32x128, or BATCHxLENGTH+1")
    return int(match[1]), int(match[2])


def decodes(cell: str) -> bool:
    """Whether it is one more token behind texts of that length (`"1x128+1"`)."""
    return cell.endswith("+1")
