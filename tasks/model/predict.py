"""What a model answers on the test split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tasks.cores import usable_cores
from tasks.model.checkpoint import load_model, load_tokenizer
from tasks.model.fake_quantization import attach, read_plan
from tasks.model.sessions import create_session
from tasks.model.subject import Subject
from tasks.model.text import Batch, Rows, TokenizedText, make_batch, model_inputs, sequential_batches, tokenize

Answer = Callable[[Batch], np.ndarray]
Form = Literal["pytorch", "fake-quantised", "onnxruntime"]
"""fake-quantised: in PyTorch, with the roundings of the integer graph."""


@dataclass(frozen=True)
class Reading:
    """Rows as a model's own tokenizer reads them."""

    tokenizer: PreTrainedTokenizerFast
    text: TokenizedText

    def batch(self, places: np.ndarray) -> Batch:
        """These rows, padded to the longest of them."""
        return make_batch(self.text, places, int(self.tokenizer.pad_token_id), "cpu")


def predict(
    subject: Subject, rows: Rows, *, max_length: int, batch_size: int, providers: Sequence[str], threads: int
) -> np.ndarray:
    """Logits [rows, labels] float32, in the order of the rows, of a model with its own tokenizer.

    Args:
        threads: 0 takes one for each core.
    """
    reading = read(subject.folder, rows, max_length)
    return answer(subject.folder, subject.runtime, reading, batch_size=batch_size, providers=providers, threads=threads)


def read(folder: Path, rows: Rows, max_length: int) -> Reading:
    """The rows through the tokenizer that lies in a model's folder."""
    tokenizer = load_tokenizer(folder)
    return Reading(tokenizer, tokenize(tokenizer, rows, max_length))


def answer(
    folder: Path, form: Form, reading: Reading, *, batch_size: int, providers: Sequence[str], threads: int
) -> np.ndarray:
    """Logits [rows, labels] float32, in the order of the rows, of the model in a folder.

    Rows are batched by length: padding is masked but not free, and what a dynamically quantised model answers depends a
    little on its batch, as one activation scale serves all of it. The same reading gives the same batches.
    """
    one_batch = (
        _open_onnx(folder, list(providers), threads)
        if form == "onnxruntime"
        else _open_pytorch(load_as(folder, form), list(providers))
    )
    batches = sequential_batches(reading.text.lengths, batch_size)
    answered = np.concatenate([one_batch(reading.batch(places)) for places in batches])
    logits = np.empty_like(answered, dtype=np.float32)
    logits[np.concatenate(batches)] = answered
    return logits


def load_as(folder: Path, form: Form) -> PreTrainedModel:
    """The checkpoint in a folder as it is, or with the roundings that `quantization.json` beside it describes."""
    model = load_model(folder)
    return attach(model, read_plan(folder)) if form == "fake-quantised" else model


def session_inputs(names: Sequence[str], batch: Batch) -> dict[str, np.ndarray]:
    """A batch as the inputs of an ONNX graph; token types are 0 where it wants them and the tokenizer gives none."""
    given = {"token_type_ids": torch.zeros_like(batch["input_ids"]), **batch}
    return {name: given[name].numpy() for name in names}


def _open_onnx(folder: Path, providers: list[str], threads: int) -> Answer:
    session = create_session(folder / "model.onnx", providers, threads or usable_cores())
    wanted = [entry.name for entry in session.get_inputs()]

    def one_batch(batch: Batch) -> np.ndarray:
        logits: np.ndarray = session.run(None, session_inputs(wanted, batch))[0]
        return logits

    return one_batch


def _open_pytorch(model: PreTrainedModel, providers: list[str]) -> Answer:
    device = torch.device("cuda" if providers[0] != "cpu" and torch.cuda.is_available() else "cpu")
    torch.nn.Module.to(model, device)

    def one_batch(batch: Batch) -> np.ndarray:
        inputs = {name: values.to(device) for name, values in model_inputs(batch).items()}
        with torch.inference_mode():
            logits: np.ndarray = model(**inputs).logits.float().cpu().numpy()
            return logits

    return one_batch
