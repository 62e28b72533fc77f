"""Numbers for every token, on disk."""

import numpy as np

from hone.tasks.model.teacher.token_file import TokenFile


def test_what_is_written_is_read_and_is_a_plain_numpy_file(tmp_path):
    values = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float16)
    file = TokenFile.create(tmp_path / "tokens.npy", 10, 3)
    for first, end in ((4, 10), (0, 1), (1, 4)):
        file.write(first, values[first:end])
    file.close()
    assert np.array_equal(np.load(tmp_path / "tokens.npy"), values)
    again = TokenFile(tmp_path / "tokens.npy")
    assert (again.tokens, again.width) == (10, 3)
    assert np.array_equal(again.read(2, 5), values[2:7])
    assert again.read(9, 0).shape == (0, 3)


def test_what_is_not_written_is_zero(tmp_path):
    TokenFile.create(tmp_path / "tokens.npy", 4, 2).close()
    assert np.array_equal(np.load(tmp_path / "tokens.npy"), np.zeros((4, 2), np.float16))


def test_a_part_of_a_wider_array_is_written_row_by_row(tmp_path):
    wide = np.arange(12, dtype=np.float16).reshape(3, 4)
    file = TokenFile.create(tmp_path / "tokens.npy", 3, 2)
    file.write(0, wide[:, 1:3])
    assert np.array_equal(file.read(0, 3), wide[:, 1:3])
