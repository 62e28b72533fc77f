"""Measures every model of the chain on the test split and on this machine, and a floor beside them."""

from typing import Any

from prefect import task

from tasks import cluster, store
from tasks.contracts import EvaluationReport, ExportedModels, PreparedData, TrainedModel
from tasks.evaluate import candidates, evidence, floor, machine
from tasks.evaluate.latency import check_cells, time_models
from tasks.evaluate.predict import predict
from tasks.evaluate.subject import subjects_of
from tasks.model.text import read_split
from tasks.stage import RunContext, Workshop, run_stage

LIBRARIES = (*machine.LIBRARIES, "scipy")


class Steps:
    """Counts what is behind the stage, for its progress bar."""

    def __init__(self, workshop: Workshop, total: int) -> None:
        self._workshop, self._total, self._done = workshop, total, 0

    def behind(self, note: str) -> None:
        """One more step is done."""
        self._done += 1
        self._workshop.advanced(self._done, self._total, note)


@task(name="evaluate", retries=0)
def evaluate_models(
    context: RunContext, data: PreparedData, teacher: TrainedModel, exported: ExportedModels
) -> EvaluationReport:
    """Quality, size and speed of the teacher in PyTorch, of each exported model, and of TF-IDF beside them.

    Speed-ups are over the teacher in ONNX Runtime fp32, never over PyTorch.
    """
    recipe, settings = context.recipe, context.recipe.evaluate
    providers = [str(provider) for provider in recipe.export.providers]
    baseline, selected = exported.models[0].name, exported.models[-1].name
    hardware = machine.hardware()

    def body(workshop: Workshop) -> dict[str, Any]:
        cluster.shutdown()  # idle training workers would share the cores with what is timed
        subjects = subjects_of(teacher, exported)
        check_cells(subjects, settings.cells)
        steps = Steps(workshop, len(subjects) * (1 + settings.rounds) + 1)
        data_folder = store.open_artifact(data.artifact)
        test, train = read_split(data_folder, "test"), read_split(data_folder, "train")
        logits = {}
        for subject in subjects:
            logits[subject.name] = predict(
                subject,
                test,
                max_length=recipe.model.max_length,
                batch_size=settings.batch_size,
                providers=providers,
                threads=settings.threads,
            )
            steps.behind(f"{subject.name} on the test split")
        tfidf = floor.fit(floor.one_text(train), train.labels, len(data.labels))
        logits["floor"] = tfidf.logits(floor.one_text(test))
        steps.behind("floor on the test split")
        load = machine.BackgroundLoad()
        timings = time_models(subjects, settings, providers, recipe.seed, steps.behind)
        background = load.share()
        timings["floor"] = [tfidf.time(settings, recipe.seed)]
        evidence.save(workshop.folder / "evidence", test.labels, logits, timings)
        return {
            "artifact": workshop.artifact("evidence", [data.artifact.digest, *(s.digest for s in subjects)]),
            "candidates": candidates.describe_all(
                subjects,
                tfidf,
                labels=test.labels,
                logits=logits,
                timings=timings,
                baseline=baseline,
                settings=settings,
            ),
            "selected": selected,
            "baseline": baseline,
            "reference": baseline,
            "machine": {**hardware, "versions": machine.versions(), "background_load": background},
        }

    return run_stage(
        context,
        "evaluate",
        EvaluationReport,
        body,
        settings={
            "evaluate": settings,
            "model.max_length": recipe.model.max_length,
            "export.providers": providers,
            "machine": hardware,
        },
        inputs={
            "data": data.artifact.digest,
            "teacher": teacher.checkpoint.artifact.digest,
            **{model.name: model.artifact.digest for model in exported.models},
        },
        code=("model",),
        libraries=LIBRARIES,
    )
