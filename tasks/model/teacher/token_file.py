"""Numbers for every token, or row, of a split, on disk: a plain .npy file [tokens, width], read a batch at a time.

Reads and writes go to the file itself. A memory map would do the same, and count every page it ever touched as memory.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float16] | npt.NDArray[np.float32]


class TokenFile:
    """An open file of fp16 or fp32 numbers [tokens, width]; `tokens` may as well be rows."""

    def __init__(self, path: Path, mode: str = "rb") -> None:
        """Opens a file that is there, for reading (`rb`) or for both (`r+b`)."""
        self._stream = path.open(mode)
        np.lib.format.read_magic(self._stream)
        (self.tokens, self.width), _fortran, self.dtype = np.lib.format.read_array_header_1_0(self._stream)
        self._start = self._stream.tell()
        self._size = self.width * self.dtype.itemsize

    @classmethod
    def create(cls, path: Path, tokens: int, width: int, dtype: npt.DTypeLike = np.float16) -> "TokenFile":
        """A new file of its full size, all zeros."""
        with path.open("wb") as stream:
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
            np.lib.format.write_array_header_1_0(stream, {**header, "shape": (tokens, width)})
            stream.truncate(stream.tell() + tokens * width * np.dtype(dtype).itemsize)
        return cls(path, "r+b")

    def write(self, first: int, values: Values) -> None:
        """Puts values [count, width] at tokens `first` and following."""
        self._stream.seek(self._start + first * self._size)
        self._stream.write(np.ascontiguousarray(values).tobytes())

    def read(self, first: int, count: int) -> Values:
        """The values [count, width] of tokens `first` and following."""
        self._stream.seek(self._start + first * self._size)
        found = np.fromfile(self._stream, dtype=self.dtype, count=count * self.width)
        return found.reshape(count, self.width)

    def close(self) -> None:
        """Everything written is in the file."""
        self._stream.close()
