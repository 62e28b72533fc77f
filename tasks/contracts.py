"""The nouns that travel between stages: frozen, small, JSON-able. URIs, digests and measured numbers, never a tensor.

One type per state of the model, so that an illegal order of stages is a type error. A stage that is switched off still
returns its type, with the artifact and the numbers passed on, so the chain never forks.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

VerdictName = Literal["ACCEPTED", "REJECTED", "INCONCLUSIVE"]
"""INCONCLUSIVE: what was measured neither shows that the threshold is met nor that it is missed."""


VERSION = 1
"""Of the contracts' meaning; raise it when a field comes to mean something else. What was written under another one, or
does not validate, is a result that is not there."""


class Contract(BaseModel):
    """Frozen and closed, as it is the interface between stages and the format of `report.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Contract):
    """A folder of files, by place and by content."""

    uri: str
    """Where it lies: `file:///...`."""
    digest: str
    """sha256 over the names and contents of its files: `sha256:<hex>`."""
    made_from: list[str] = []
    """Digests of what it was made from."""
    size_bytes: int
    """Sum of the sizes of its files."""


class StageRecord(Contract):
    """What became of one stage in one run."""

    name: str
    status: Literal["ran", "cached", "skipped", "failed"]
    reason: str
    """Why it ran or did not, down to the setting that changed."""
    seconds: float
    mlflow_run_id: str = ""
    """The nested run; of the run that computed it, where it is cached."""
    digest: str = ""
    """Digest of what the stage produced."""


class StageResult(Contract):
    """What every stage returns: its record, and what it made."""

    record: StageRecord

    def headline(self) -> str:
        """The number a person would ask for first."""
        return ""


class BadRows(Contract):
    """Unusable rows of one kind."""

    kind: str
    """empty_text, missing_label, unknown_label, undecodable, wrong_field_count, split_overlap or another of those that
    `tasks/data/rows.py` explains."""
    count: int
    lines: list[str]
    """The first ten, as `split:line`, counted from 1."""
    detail: str = ""
    """What else helps to mend them: the label values that training lacks, or the encoding that a file seems to have."""


class PreparedData(StageResult):
    """Three clean splits, Parquet files `train`, `validation`, `test`: text, pair (null where none), label (int32), and
    the values of data.slice_columns."""

    artifact: Artifact
    content_digest: str
    """Digest of the rows themselves: same rows, same digest, wherever and in whatever format they lie."""
    labels: list[str]
    """Label names by id."""
    rows: dict[str, int]
    """Rows by split."""
    bad_rows: list[BadRows] = []
    has_pairs: bool = False

    def headline(self) -> str:
        left_out = ", ".join(f"{bad.count:,} {bad.kind.replace('_', ' ')}" for bad in self.bad_rows)
        splits = ", ".join(f"{count:,} {split}" for split, count in self.rows.items())
        return f"{splits}; {len(self.labels)} labels; left out: {left_out or 'nothing'}"


class Curve(Contract):
    """One number over training, for the report's learning curves."""

    name: str
    """train_loss, validation_loss, validation_accuracy, learning_rate or a part of the loss."""
    steps: list[int]
    """Optimiser steps."""
    values: list[float]


class Checkpoint(Contract):
    """A PyTorch model in a folder: safetensors, config and tokenizer, with what was counted in it."""

    artifact: Artifact
    parameters: int
    """Weights that are there after what was removed is removed."""
    nonzero_parameters: int
    """Those of them that are not exactly zero."""
    validation_accuracy: float
    validation_loss: float
    curves: list[Curve] = []
    notes: dict[str, Any] = {}
    """What the stage measured on the way, such as heads per layer or the sensitivity of each layer."""
    warnings: list[str] = []
    """What a person should know before they trust it, each in one sentence without its full stop: that it gives every
    row the same answer."""

    def headline(self) -> str:
        """Accuracy and size in a few words, and what to be warned of."""
        size = f"{self.parameters / 1e6:.2f} M parameters"
        return "; ".join([f"{self.validation_accuracy:.4f} on validation, {size}", *self.warnings])


class TrainedModel(StageResult):
    """The teacher, fine-tuned."""

    checkpoint: Checkpoint

    def headline(self) -> str:
        return self.checkpoint.headline()


class DistilledModel(StageResult):
    """The student, taught."""

    checkpoint: Checkpoint

    def headline(self) -> str:
        return self.checkpoint.headline()


class PrunedModel(StageResult):
    """The student with what mattered least removed, recovered."""

    checkpoint: Checkpoint

    def headline(self) -> str:
        return self.checkpoint.headline()


class QuantizedModel(StageResult):
    """The student whose weights lie on the integer grid that the exported graph will store."""

    checkpoint: Checkpoint
    scheme: Literal["none", "dynamic", "static"]
    layers_kept: list[str] = []
    """Layers left in higher precision because quantising them costs too much."""

    def headline(self) -> str:
        kept = f", {', '.join(self.layers_kept)} in higher precision" if self.layers_kept else ""
        return f"{self.checkpoint.headline()}{kept}"


class OnnxModel(Contract):
    """One ONNX model in a folder with its tokenizer and config."""

    name: str
    """Name among the candidates: teacher, distilled, pruned or quantized."""
    stage: str
    """Stage whose model it is."""
    artifact: Artifact
    precision: str
    """fp32 or int8."""
    parameters: int
    graph_bytes: int
    """Size of model.onnx."""
    source: Artifact
    """The PyTorch checkpoint it was exported from."""


class ExportedModels(StageResult):
    """Every model of the chain as ONNX, the teacher first and the one meant to ship last."""

    models: list[OnnxModel]

    def headline(self) -> str:
        return ", ".join(f"{model.name} {model.graph_bytes / 1e6:.1f} MB" for model in self.models)


class Latency(Contract):
    """Time of one call, by shape."""

    batch: int
    length: int
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


class Handoff(Contract):
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
    """Share of rows with the same predicted label."""
    accuracy_difference: float
    """Target less source."""
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
    """pytorch, onnxruntime or sklearn."""
    provider: str
    """What the session reports, not what was asked for."""
    precision: str
    digest: str = ""
    metrics: dict[str, float]
    """accuracy, precision, recall, macro_f1, calibration_error, on the test split."""
    confusion: list[list[int]]
    """Rows are true labels, columns predicted ones."""
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


class EvaluationReport(StageResult):
    """All candidates, measured on the same rows and the same machine."""

    artifact: Artifact
    """True labels, every candidate's logits and every single timing: `tasks/evaluate/evidence.py` says how they lie."""
    candidates: list[Candidate]
    selected: str
    """Name of the candidate that is to ship."""
    baseline: str
    """Name of the candidate that speed and size are compared with."""
    reference: str
    """Name of the candidate that quality is compared with."""
    machine: dict[str, Any]
    """CPU, cores, versions: what the latencies hold for."""
    handoffs: list[Handoff] = []
    """Every step from one form of a model to the next."""
    session: SessionSettings | None = None
    """The setting that suits the selected model best over all cells."""
    serving: Serving | None = None
    """Of the selected model."""

    def candidate(self, name: str) -> Candidate:
        """The candidate of that name; KeyError where there is none."""
        return {candidate.name: candidate for candidate in self.candidates}[name]

    def headline(self) -> str:
        chosen = self.candidate(self.selected)
        accuracy = f"{chosen.metrics['accuracy']:.4f}" if "accuracy" in chosen.metrics else "not measurable"
        return f"{chosen.name}: accuracy {accuracy}, {chosen.speedup:.2f}×"


class ChampionAnswers(StageResult):
    """What the model that is served now answers on this run's test split; empty where there is none to compare with."""

    name: str = ""
    version: str = ""
    digest: str = ""
    """Of its files."""
    artifact: Artifact | None = None
    """`logits/champion.npy`, and `rows.npy`: their places in the test split. None where no row is fair to it."""
    note: str = ""
    """How many rows were left out, as it was trained or selected on them."""
    old_artifact: Artifact | None = None
    """Where it learned from other data: what it and this run's model answer on its own test split, less the rows that
    this run's model has learned from, as `labels.npy`, `logits/champion.npy` and `logits/candidate.npy`."""
    old_note: str = ""
    """How many rows that left out, or why there are none."""
    missing: str = ""
    """Why it could not be asked, although the recipe wants the comparison; empty where it was, or there is none."""

    def headline(self) -> str:
        if self.missing:
            return f"not compared: {self.missing}"
        if not self.version:
            return ""
        missing = f"; not on its own test rows: {self.old_note}" if self.old_note and not self.old_artifact else ""
        return f"{self.name} version {self.version}{missing}"


class DriftPart(Contract):
    """One side of the data, before and now."""

    name: str
    """labels, length, vocabulary, unseen_words, embeddings or answers."""
    before: str
    """What the champion learned from, in a few words."""
    now: str
    index: float
    """Population stability index: 0 is no difference; above 0.2 is usually called a large one."""
    test: str
    """Two-sample test."""
    p_value: float
    """After Holm's correction over the parts: how often chance alone makes a difference as large."""
    drifted: bool


class DriftReport(StageResult):
    """How the new data differ from what the champion learned from; no parts where there was nothing to compare."""

    name: str = ""
    version: str = ""
    """The champion's."""
    rows: dict[str, int] = {}
    """Training rows looked at: before, now."""
    parts: list[DriftPart] = []

    def headline(self) -> str:
        found = [part.name.replace("_", " ") for part in self.parts if part.drifted]
        if not self.parts:
            return ""
        return f"{', '.join(found) or 'nothing'} drifted since version {self.version}"


class Check(Contract):
    """One threshold, the value held against it, and how sure the value is."""

    name: str
    verdict: VerdictName
    value: float | None
    threshold: float
    unit: str = ""
    """share, points (a difference of shares), x, ms, s, bytes, nodes or requests."""
    direction: Literal["at_least", "at_most", "above"]
    subject: str = ""
    """What the check is about where several have its name: `teacher`, `champion`, `label = negative`."""
    low: float | None = None
    """Lower one-sided confidence bound; None where the value is exact."""
    high: float | None = None
    """Upper one-sided confidence bound."""
    level: float | None = None
    """Error rate of the bound that accepts."""
    refusal_level: float | None = None
    """Error rate of the bound that refuses: after Holm's correction over all checks that could."""
    decides: bool = True
    """False: reported only, as a slice with too few rows is."""
    detail: str = ""
    """What a person needs to know beside the numbers: what would settle it, which nodes, which layer."""
    rows: int | None = None
    """Examples behind the value."""


class Verdict(StageResult):
    """The decision: REJECTED when any check is, else INCONCLUSIVE when any check is."""

    verdict: VerdictName
    selected: str
    look: int = 0
    """Which verdict on the same test rows it is, from 1; 0 where nobody counted."""
    level: float = 0.0
    """Error rate of accepting that this look may spend, of `gate.level` over all looks."""
    checks: list[Check]
    slices: list[Check] = []
    """The selected model against the teacher on parts of the test split."""

    def headline(self) -> str:
        open_ = [check for check in [*self.checks, *self.slices] if check.decides and check.verdict != "ACCEPTED"]
        names = [f"{check.name} ({check.subject})" if check.subject else check.name for check in open_]
        return f"{self.verdict}{': ' + ', '.join(names) if names else ''}"


class RegisteredVersion(StageResult):
    """What became of the accepted model in the registry."""

    name: str = ""
    version: str = ""
    aliases: list[str] = []

    def headline(self) -> str:
        if not self.version:
            return ""
        return f"{self.name} version {self.version} ({', '.join(self.aliases) or 'without an alias'})"


class PromotionRecord(Contract):
    """One line of a model's history: who made which version the champion, when, and on what evidence."""

    number: int
    """Place in the history, from 1."""
    name: str
    action: Literal["promote", "rollback", "outside", "refuse"]
    """outside: somebody moved the alias without Hone; refuse: it was asked for, and a person said no or nothing."""
    from_version: str
    """Champion before; empty where there was none."""
    to_version: str
    """Champion after; empty where the alias was removed. Of what was refused, the version that was up for it."""
    when: str
    """ISO 8601, UTC."""
    who: str
    vouched_by: str = ""
    """Server that knows whoever asked for it by that name; empty: the name is claimed."""
    run_id: str = ""
    """MLflow run of the pipeline whose evidence it rests on."""
    verdict: str = ""
    evidence: str = ""
    """Digest of the evidence."""
    reason: str = ""
    """Given by a person; always there where a verdict was overridden."""
    outcome: Literal["took effect", "lost", "under way", "interrupted", "refused"] = "took effect"
    """lost: another change came between looking and writing; interrupted: its writer died before the alias moved;
    refused: the champion is who it was."""


class Promotion(StageResult):
    """Whether this run changed what is served."""

    change: PromotionRecord | None = None
    waits: bool = False
    """Whether a person is to decide."""

    def headline(self) -> str:
        if self.change is None:
            return ""
        return f"{self.change.name}: champion {self.change.from_version or 'none'} -> {self.change.to_version}"
