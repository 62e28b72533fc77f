"""Arguments and options that several commands of `hone` share."""

from pathlib import Path
from typing import Annotated

import typer

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML recipe, such as configs/quickstart.yaml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one setting, as --set train.epochs=2; may be given several times. The value is YAML.",
    ),
]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="Registered model, such as the recipe's name.")]
Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's folder, as runs/NAME/latest, its report.json, or its id in MLflow."),
]
Output = Annotated[
    str,
    typer.Option(
        metavar="DIR",
        help="Folder of the report and the model; default one for each run, which runs/NAME/latest leads to.",
    ),
]
Folder = Annotated[str, typer.Option(metavar="DIR", help="Folder of the servers' records and logs.")]
Results = Annotated[str, typer.Option(metavar="DIR", help="Folder or bucket of finished stages, as compute.storage.")]
Storage = Annotated[
    str, typer.Option(metavar="DIR", help="Folder of MLflow's records, unless MLFLOW_TRACKING_URI is set.")
]
Local = Annotated[
    bool,
    typer.Option(
        "--local", metavar="", help="Use no server that `hone up` runs from this folder, but what commands use alone."
    ),
]
