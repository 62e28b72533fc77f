"""The data stage: from what the recipe names to three clean splits."""

from dataclasses import asdict
from typing import Any

from prefect import task

from hone.tasks.contracts import PreparedData
from hone.tasks.data.prepare import prepare
from hone.tasks.data.rows import SPLITS
from hone.tasks.data.source import deciding_settings, open_source
from hone.tasks.errors import DataError
from hone.tasks.stage import RunContext, StageWorkspace, run_stage


@task(name="data", retries=0)
def prepare_data(context: RunContext) -> PreparedData:
    """Reads the recipe's text, leaves out unusable rows, splits it, and writes it as Parquet.

    Raises:
        DataError: when a file, dataset, library or column is absent, or too many rows are unusable.
        UnsafeFileError: when reading the source would run code.
    """
    settings = context.recipe.data
    source = open_source(settings)
    digests = source.digests()

    def body(workspace: StageWorkspace) -> dict[str, Any]:
        prepared = prepare(source, settings, workspace.seed, workspace.folder / "splits", workspace.advanced)
        check_unchanged(digests, source.read_digests())
        return {"artifact": workspace.artifact("splits", made_from=sorted(digests.values())), **asdict(prepared)}

    return run_stage(
        context,
        "data",
        PreparedData,
        body,
        settings={"data": deciding_settings(settings, source)},
        inputs=digests,
        libraries=("pyarrow", "datasets"),
        draws=bool(settings.max_rows_per_label) or len(source.splits) < len(SPLITS),
    )


def check_unchanged(looked_at: dict[str, str], read: dict[str, str]) -> None:
    """Refuses files that changed while they were read.

    Raises:
        DataError: when what was read is not what was looked at first, so that it would be filed as something else.
    """
    changed = [name for name, digest in read.items() if digest != looked_at[name]]
    if changed:
        raise DataError(
            f"{', '.join(changed)}: changed while it was read: nothing was kept. Run again once whatever writes it is "
            "done, or have it write another file and rename that"
        )
