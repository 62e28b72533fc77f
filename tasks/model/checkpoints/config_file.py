"""Fields of a saved model's config.json beyond those that its class writes. transformers keeps them, and writes them
again with whatever is made of the model."""

import json
from pathlib import Path
from typing import Any

from hone.tasks.disk import write_text


def add_to_config(folder: Path, chosen: dict[str, Any]) -> None:
    """Sets fields of `config.json`; of none, the file stays as it is."""
    if not chosen:
        return
    path = folder / "config.json"
    content = json.loads(path.read_text(encoding="utf-8")) | chosen
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")
