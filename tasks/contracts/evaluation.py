"""What evaluation measured: quality, speed and size of every candidate, and whether its forms agree."""

from typing import Any, Literal

from hone.tasks.contracts.base import Artifact, Contract, StageResult


class Latency(Contract):
    """Time of one call, by shape."""

    batch: int
    length: int
    decoded: int = 0
    """1 where it is one more token behind texts of that length that the model has read, 0 where it reads them."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    samples: int
    round_p50_ms: list[float] = []
    """Median of each round: the spread between processes."""
    configuration: str = ""
    """What ran it: `fp32, 2 threads`."""
    from_text_ms: float = 0.0
    """Median time from the text on: p50_ms, and what the tokenizer takes for as many texts of this length."""


class ConfigurationTiming(Contract):
    """One way of running a model, as it was timed."""

    configuration: str
    """`fp32, 2 threads`."""
    threads: int
    p50_ms: dict[str, float]
    """Median by cell, `1x32`, over all rounds, or of the trial before them where another way was faster there."""


class Placement(Contract):
    """Which provider ran which node, read from the profile of a session and not from what was asked for."""

    asked: list[str]
    """Providers as the recipe lists them: tensorrt, cuda, cpu."""
    got: list[str]
    """Those the session has, in its order."""
    nodes: dict[str, int]
    """Nodes that ran, by provider."""
    operators: dict[str, dict[str, int]]
    """How many of each operator, by provider."""
    names: dict[str, list[str]] = {}
    """Names of those nodes, by provider."""
    fallback: list[str]
    """Names of the nodes that ran elsewhere than on the first provider asked for."""


class ConversionCheck(Contract):
    """One step of a model from one form to the next, held against each other on the rows of the test split."""

    model: str
    """Name among the candidates."""
    source: str
    """pytorch, fake-quantised, or onnx on a provider."""
    target: str
    kind: Literal["exact", "rounded", "integer"]
    """exact: both compute the same in fp32; rounded: the target rounds what the source does not; integer: both round
    alike, and one of them with integers."""
    rows: int
    max_abs_difference: float
    """Of a logit."""
    rms_share: float
    """Root mean square difference of the logits, as a share of their spread (standard deviation)."""
    agreement: float
    """Share of rows with the same predicted label, of words with the same predicted tag, of labels with the same yes or
    no, or of rows with the same number, within a quarter of the true ones' standard deviation."""
    accuracy_difference: float
    """Target less source, in the primary metric."""
    mismatch: str = ""
    """What differs before any number is computed: token ids or label names; empty where nothing does."""
    first_divergence: str = ""
    """First layer whose output differs by more than the kind of hand-off explains; empty where none does."""


class Serving(Contract):
    """What a fresh process with nothing of Hone's code made of the model and of the golden requests."""

    requests: int
    answered: int
    """Those answered as expected."""
    max_abs_difference: float
    """Of a probability."""
    load_seconds: float
    """From the files to a model that is ready."""
    peak_memory_bytes: int
    error: str = ""
    """Why it did not load or answer; empty where it did."""


class SessionSettings(Contract):
    """How a session of ONNX Runtime is made: what a model was judged with, and is to be served with."""

    providers: list[str]
    """tensorrt, cuda, cpu: the preferred one first."""
    threads: int
    """Threads that compute one call; at least 1, never "the runtime's own choice"."""
    memory_arena: bool
    """Whether the CPU provider keeps the memory of one call for the next: faster, and held until the session ends."""


class Candidate(Contract):
    """One model as measured: how good, how large, how fast."""

    name: str
    stage: str
    runtime: str
    """pytorch, onnxruntime, or of the baseline sklearn, lookup or overlap."""
    provider: str
    """What the session reports, not what was asked for."""
    precision: str
    digest: str = ""
    metrics: dict[str, float]
    """By name, on the test split: accuracy, precision, recall, macro_f1, calibration_error of a classifier; micro_f1
    and the like where texts have several labels; mse and spearman of numbers."""
    confusion: list[list[int]]
    """Rows are true labels, columns predicted ones; empty where a row has no label of its own."""
    parts: dict[int, dict[str, float]] = {}
    """Metrics of parts of the answers, by the id of a part's first label: of sentences, f1, precision and recall of
    each type of entity, and how many `entities` of it there are; of texts with several labels the same of each label,
    and how many `texts` have it."""
    size_bytes: int
    """Of the model file."""
    parameters: int
    latency: list[Latency] = []
    throughput: float = 0.0
    """Rows a second at the cell that gives most."""
    load_seconds: float = 0.0
    peak_memory_bytes: int = 0
    """Largest resident set of the process that measured it."""
    speedup: float = 0.0
    """Over the best dense configuration of the teacher: geometric mean over the cells of the ratio of medians. Both
    have, in each cell, the number of threads that suits them."""
    speedup_per_core: float = 0.0
    """The same with one thread each; 0 where it was not measured."""
    one_thread: list[Latency] = []
    """With one thread, by shape."""
    configurations: list[ConfigurationTiming] = []
    """Every way of running it that was tried."""
    timing_note: str = ""
    """What has to be known of how it was run: why torch.compile had no part, say."""
    placement: Placement | None = None
    """None where no ONNX Runtime session ran it."""


class MeasuredMetric(Contract):
    """What one has to know of a metric to read its values."""

    name: str
    """As in a candidate's `metrics`."""
    title: str
    """As people call it."""
    better: Literal["higher", "lower"] = "higher"
    unit: str = "share"
    """share: 0..1; anything else is the unit itself, and empty a plain number."""


ACCURACY = MeasuredMetric(name="accuracy", title="accuracy")


class EvaluationReport(StageResult):
    """All candidates, measured on the same rows and the same machine."""

    artifact: Artifact
    """True labels, every candidate's logits and every single timing: `tasks/evidence.py` says how they lie."""
    candidates: list[Candidate]
    selected: str
    """Name of the candidate that is to ship."""
    baseline: str
    """Name of the candidate that speed and size are compared with."""
    reference: str
    """Name of the candidate that quality is compared with."""
    metrics: list[MeasuredMetric] = [ACCURACY]
    """Those in which models are compared, the primary one first."""
    machine: dict[str, Any]
    """CPU, cores, versions: what the latencies hold for."""
    handoffs: list[ConversionCheck] = []
    """Every step from one form of a model to the next."""
    session: SessionSettings | None = None
    """The setting that suits the selected model best over all cells."""
    serving: Serving | None = None
    """Of the selected model."""

    def candidate(self, name: str) -> Candidate:
        """The candidate of that name; KeyError where there is none."""
        return {candidate.name: candidate for candidate in self.candidates}[name]

    @property
    def primary(self) -> MeasuredMetric:
        """The metric that stands for all of them."""
        return self.metrics[0]

    def headline(self) -> str:
        chosen, metric = self.candidate(self.selected), self.primary
        value = f"{chosen.metrics[metric.name]:.4f}" if metric.name in chosen.metrics else "not measurable"
        return f"{chosen.name}: {metric.title} {value}, {chosen.speedup:.2f}×"
