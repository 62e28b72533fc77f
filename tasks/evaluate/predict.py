"""What a model answers on the test split."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from tasks.evaluate.subject import Subject
from tasks.model.checkpoint import load_model, load_tokenizer
from tasks.model.sessions import create_session
from tasks.model.text import Batch, Rows, make_batch, sequential_batches, tokenize

Answer = Callable[[Batch], np.ndarray]


def predict(
    subject: Subject, rows: Rows, *, max_length: int, batch_size: int, providers: Sequence[str], threads: int
) -> np.ndarray:
    """Logits [rows, labels] float32, in the order of the rows, of a model with its own tokenizer.

    Rows are batched by length: padding is masked but not free, and what a dynamically quantised model answers depends a
    little on its batch, as one activation scale serves all of it.

    Args:
        threads: 0 takes one for each core.
    """
    tokenizer = load_tokenizer(subject.folder)
    text = tokenize(tokenizer, rows, max_length)
    open_model = {"pytorch": _open_pytorch, "onnxruntime": _open_onnx}[subject.runtime]
    answer = open_model(subject, list(providers), threads)
    batches = sequential_batches(text.lengths, batch_size)
    answered = np.concatenate([answer(make_batch(text, places, tokenizer.pad_token_id, "cpu")) for places in batches])
    logits = np.empty_like(answered, dtype=np.float32)
    logits[np.concatenate(batches)] = answered
    return logits


def _open_onnx(subject: Subject, providers: list[str], threads: int) -> Answer:
    session = create_session(subject.folder / "model.onnx", providers, threads)
    wanted = [entry.name for entry in session.get_inputs()]

    def answer(batch: Batch) -> np.ndarray:
        given = {"token_type_ids": torch.zeros_like(batch["input_ids"]), **batch}
        logits: np.ndarray = session.run(None, {name: given[name].numpy() for name in wanted})[0]
        return logits

    return answer


def _open_pytorch(subject: Subject, providers: list[str], threads: int) -> Answer:
    device = torch.device("cuda" if providers[0] != "cpu" and torch.cuda.is_available() else "cpu")
    model = torch.nn.Module.to(load_model(subject.folder), device)

    def answer(batch: Batch) -> np.ndarray:
        inputs = {name: batch[name].to(device) for name in batch if name not in ("labels", "rows")}
        with torch.inference_mode():
            logits: np.ndarray = model(**inputs).logits.float().cpu().numpy()
            return logits

    return answer
