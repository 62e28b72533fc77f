"""A decoder's session that goes on where it was: keys and values of the tokens it has read stay in one buffer, which
the graph reads and writes in place, so that the next token costs one token.

This file is served with a model, so it imports nothing of Hone: `runtime.py` is handed over as a module.
"""

from typing import Any

import numpy as np
import onnxruntime

STEP_ROOM = 256
"""Tokens by which the buffer grows: a kernel that reads and writes in place wants room for what comes."""


class Decoder:
    """Reads tokens of one text (or of several alike in length) and says what may come next.

    Args:
        session: of a graph with a cache (`runtime.empty_cache`), or without: then each call reads all tokens again.
        runtime: `runtime.py`.
        batch: texts that are read at once.
    """

    def __init__(self, session: onnxruntime.InferenceSession, *, runtime: Any, batch: int = 1) -> None:
        self._session, self._runtime, self._batch = session, runtime, batch
        self._read = np.zeros((batch, 0), np.int64)
        self._room = 0
        self._buffers: dict[str, onnxruntime.OrtValue] = {}
        self.cached = bool(runtime.empty_cache(session, batch))
        """Whether there is a cache."""

    @property
    def length(self) -> int:
        """Tokens read."""
        return self._read.shape[1]

    def read(self, tokens: Any) -> Any:
        """Logits [batch, vocabulary] float32 of what follows these tokens [batch, tokens] int64 and all before them. Of
        several texts the kernel reads many tokens at first, and then one at a time."""
        new = np.asarray(tokens, np.int64)
        self._read = np.concatenate([self._read, new], axis=1)
        if not self.cached:
            every = {"input_ids": self._read, "attention_mask": np.ones_like(self._read)}
            return self._runtime.ask(self._session, every | {"token_type_ids": np.zeros_like(self._read)})[:, -1]
        self._make_room()
        binding = self._session.io_binding()
        binding.bind_cpu_input("input_ids", new)
        binding.bind_cpu_input("attention_mask", np.ones_like(self._read))
        for name, buffer in self._buffers.items():
            binding.bind_ortvalue_input(name, buffer)
            binding.bind_ortvalue_output(name.replace(self._runtime.PAST, self._runtime.PRESENT), buffer)
        binding.bind_output(self._runtime.LOGITS, "cpu")
        self._session.run_with_iobinding(binding)
        return binding.get_outputs()[-1].numpy()[:, -1]

    def forget(self, length: int) -> None:
        """Back to the first tokens: what was read after them is as if it had not been."""
        self._read = self._read[:, :length]

    def _make_room(self) -> None:
        """A buffer that holds all tokens read, with what was in the one before."""
        if self.length <= self._room:
            return
        before, self._room = self._room, -(-self.length // STEP_ROOM) * STEP_ROOM
        larger = self._runtime.empty_cache(self._session, self._batch, self._room)
        for name, values in larger.items():
            if before:
                values[:, :, :before] = self._buffers[name].numpy()
            self._buffers[name] = onnxruntime.OrtValue.ortvalue_from_numpy(values)
