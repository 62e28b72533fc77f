"""One file of rows as it lies on the disk: unpacked, in UTF-8, and digested as it is read."""

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hone.tasks.data.rows import BadRowLog
from hone.tasks.errors import DataError

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, with which it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
REFUSED = {
    b"PK\x03\x04": "a zip archive, as Excel's workbooks are: export or unpack it as CSV",
    b"\x28\xb5\x2f\xfd": "packed by zstd: pack it with gzip, or unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: export it as CSV",
    b"PAR1": "Parquet: set data.format=parquet",
}
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
HEAD = 4096
LINES_LOOKED_AT = 100  # of those that are not UTF-8, to guess what they are
NOT_A_CHARACTER = "\udcff"  # cannot be encoded, so the line that holds it is told as undecodable


class DataFile:
    """A file, and the digest of the bytes that were read from it."""

    def __init__(self, path: Path, encoding: str) -> None:
        self.path = path
        self.digest = ""
        """`sha256:<hex>` of the file, once its rows were read to the last."""
        self._encoding = encoding
        self._undecodable: list[bytes] = []

    @contextmanager
    def lines(self) -> Iterator[Iterator[bytes]]:
        """Lines in UTF-8, with their ends. Parts that the file's own encoding cannot explain become invalid UTF-8.

        Raises:
            DataError: when the file is damaged, or is no text.
        """
        total = hashlib.sha256()
        with self.path.open("rb", buffering=0) as file, io.BufferedReader(_Digesting(file, total)) as whole:
            try:
                stream = self._unpacked(whole)
                yield self._in_utf8(stream)
                while whole.read(2**20):  # what an archive may have behind its end
                    pass
            except DAMAGE as error:
                raise DataError(f"{self.path}: a packed file that is damaged or cut off: {error}") from error
        self.digest = f"sha256:{total.hexdigest()}"

    @contextmanager
    def whole(self) -> Iterator[BinaryIO]:
        """The file itself, to read from anywhere in it; the same one to the end, whatever its name stands for then."""
        with self.path.open("rb") as file:
            yield file
            file.seek(0)
            self.digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    def undecodable(self, raw: bytes) -> None:
        """Remembers a line that is not UTF-8."""
        if len(self._undecodable) < LINES_LOOKED_AT:
            self._undecodable.append(raw)

    def explain(self, bad: BadRowLog) -> None:
        """Says what the lines that are not UTF-8 look like."""
        if self._undecodable:
            seen = guess_encoding(b"\n".join(self._undecodable))
            bad.explain(
                "undecodable", f"{self.path} looks like {seen}: set data.encoding={seen}, or convert it to UTF-8"
            )

    def _unpacked(self, whole: "io.BufferedReader[Any]") -> "io.BufferedReader[Any]":
        head = whole.peek(HEAD)
        for mark, advice in REFUSED.items():
            if head.startswith(mark):
                raise DataError(f"{self.path}: {advice}")
        opener: Any = next((found for mark, found in PACKED.items() if head.startswith(mark)), None)
        return io.BufferedReader(opener(whole)) if opener else whole

    def _in_utf8(self, stream: "io.BufferedReader[Any]") -> Iterator[bytes]:
        head: bytes = stream.peek(HEAD)[:HEAD]
        encoding = self._encoding
        if encoding == "auto":
            encoding = next((found for mark, found in MARKS.items() if head.startswith(mark)), "")
            if not encoding and head.count(0) > len(head) / 5:
                little = head[1::2].count(0) > head[::2].count(0)
                raise DataError(
                    f"{self.path}: looks like UTF-16 without a byte order mark: set "
                    f"data.encoding={'utf-16-le' if little else 'utf-16-be'}, or convert it to UTF-8"
                )
        if not encoding or codecs.lookup(encoding).name == "utf-8":
            return iter(stream)
        codecs.register_error("hone.undecodable", lambda error: (NOT_A_CHARACTER, error.end))  # type: ignore[attr-defined]
        return _encoded_again(stream, encoding)


def _encoded_again(stream: "io.BufferedReader[Any]", encoding: str) -> Iterator[bytes]:
    text = io.TextIOWrapper(stream, encoding, errors="hone.undecodable", newline="\n")
    try:
        for line in text:
            yield line.encode("utf-8", "surrogatepass")
    finally:
        text.detach()  # or else it would close the file, of which more may have to be read


def known_encoding(name: str) -> bool:
    """Whether Python can read text in the encoding of that name."""
    try:
        b"".decode(name)
        io.TextIOWrapper(io.BytesIO(), name)
    except LookupError:  # of a codec that is not for text, such as base64, too
        return False
    return True


def guess_encoding(raw: bytes) -> str:
    """Python's name of the encoding that bytes which are not UTF-8 probably have: Windows' Western one where most of
    them are ASCII, else what charset-normalizer finds."""
    beyond = sum(byte > 127 for byte in raw)
    if beyond * 4 < len(raw):
        return "cp1252"
    from charset_normalizer import from_bytes

    found = from_bytes(raw).best()
    return found.encoding if found and found.encoding not in ("ascii", "utf_8") else "cp1252"


class _Digesting(io.RawIOBase):
    """A file whose bytes go into a digest as they are read."""

    def __init__(self, file: io.FileIO, total: "hashlib._Hash") -> None:
        self._file = file
        self._total = total

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        count = self._file.readinto(buffer)
        self._total.update(memoryview(buffer)[:count])
        return count
