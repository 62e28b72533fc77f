"""Whatever a tokenizer's class knows that `tokenizer.json` does not say, both read every text alike once exported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import BertTokenizer, PreTrainedTokenizerFast

from hone.tasks.errors import ExportError
from hone.tasks.export.tokenization import write_tokenization
from hone.tasks.model.checkpoints.checkpoint import load_tokenizer
from hone.tasks.model.runtime.predict import read
from hone.tasks.model.runtime.runtime import TextReader, TextSettings
from hone.tasks.model.text import Rows
from tests.tiny import sentences, write_encoder

SHORT = [text for text, _label in sentences(20, seed=3)]
LONG = [" ".join([*one.split(), *other.split()]) for one, other in zip(SHORT, reversed(SHORT), strict=True)]
TEXTS = [*SHORT, *LONG, "", "SUPERB Film", "a [SEP] b [PAD] [MASK] c", "caf\u00e9 <user> film"]
PAIRS = [*LONG, *SHORT, "a film", "", "[CLS] dull", "of"]


def tokenizer_with(folder: Path, **told: Any) -> PreTrainedTokenizerFast:
    """The tiny encoder's tokenizer, with settings that only its class acts on."""
    write_encoder(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    return load_tokenizer(folder)


CLASSES: dict[str, dict[str, Any]] = {
    "plain": {},
    "cut at the left": {"truncation_side": "left"},
    "padded at the left": {"padding_side": "left"},
    "no token types": {"model_input_names": ["input_ids", "attention_mask"]},
    "special tokens spelled out": {"split_special_tokens": True},
    "another padding": {"pad_token": "[MASK]"},
    "a class of its own": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    "accents kept": {"tokenizer_class": "BertTokenizer", "strip_accents": False, "tokenize_chinese_chars": False},
    "further tokens": {"additional_special_tokens": ["<user>"]},
}


@pytest.mark.parametrize("pairs", [False, True], ids=["one text", "pairs"])
@pytest.mark.parametrize("told", CLASSES.values(), ids=CLASSES.keys())
def test_the_served_files_read_texts_as_the_class_does(tmp_path: Path, told: dict[str, Any], pairs: bool) -> None:
    tokenizer = tokenizer_with(tmp_path / "encoder", **told)
    folder = tmp_path / "exported"
    folder.mkdir()
    write_tokenization(tokenizer, folder, TextSettings(max_length=12, pairs=pairs))
    rows = Rows(TEXTS, PAIRS if pairs else None, np.zeros(len(TEXTS), np.int64))
    judged, served = read(tmp_path / "encoder", rows, 12), read(folder, rows, 128)
    assert np.array_equal(served.text.ids, judged.text.ids)
    assert np.array_equal(served.text.offsets, judged.text.offsets)
    assert judged.text.lengths.max() == 12
    assert served.pad_id == judged.pad_id == tokenizer.pad_token_id
    assert (served.text.type_ids is None) == (judged.text.type_ids is None)
    if judged.text.type_ids is not None:
        assert np.array_equal(served.text.type_ids, judged.text.type_ids)
    if "model_input_names" in told and pairs:
        assert not any(any(row.type_ids) for row in TextReader(folder).read(TEXTS, PAIRS))


def test_tokenizers_alone_pads_a_batch_and_cuts_as_the_model_learned(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = tokenizer_with(tmp_path / "encoder", truncation_side="left", pad_token="[MASK]")
    write_tokenization(tokenizer, tmp_path, TextSettings(max_length=12))
    rows = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode_batch([SHORT[0], LONG[0]])
    assert [len(row.ids) for row in rows] == [12, 12]
    assert rows[1].ids == tokenizer(LONG[0], truncation=True, max_length=12)["input_ids"]
    assert rows[0].ids[-1] in (tokenizer.pad_token_id, tokenizer.sep_token_id)


class Clever(BertTokenizer):
    """Does in Python what its file cannot say."""

    def __call__(self, text: Any, *rest: Any, **named: Any) -> Any:
        changed = [part.replace("the", "a") for part in text] if isinstance(text, list) else text
        return super().__call__(changed, *rest, **named)


def test_a_class_that_does_more_than_its_file_can_say_is_refused_by_name(tmp_path: Path) -> None:
    write_encoder(tmp_path / "encoder")
    tokenizer = Clever.from_pretrained(tmp_path / "encoder")
    with pytest.raises(
        ExportError, match=r"reads '.*' as \[.*\], and the tokenizer .* \(Clever\) as \[.*served as it was"
    ):
        write_tokenization(tokenizer, tmp_path, TextSettings(max_length=12))


@pytest.mark.parametrize("told", CLASSES.values(), ids=CLASSES.keys())
def test_the_served_files_cut_questions_into_windows_as_the_class_does(tmp_path: Path, told: dict[str, Any]) -> None:
    tokenizer = tokenizer_with(tmp_path / "encoder", **told)
    side = tokenizer.truncation_side
    folder = tmp_path / "exported"
    folder.mkdir()
    write_tokenization(tokenizer, folder, TextSettings(max_length=12, pairs=True, task="question-answering"))
    assert tokenizer.truncation_side == side
    contexts = [text or "of" for text in PAIRS]
    rows = Rows(TEXTS, contexts, np.zeros(len(TEXTS), np.int64), spans=[[] for _ in TEXTS])
    judged, served = read(tmp_path / "encoder", rows, 12), read(folder, rows, 128)
    assert np.array_equal(served.text.ids, judged.text.ids)
    assert np.array_equal(served.text.sources, judged.text.sources)
    assert judged.text.lengths.max() == 12
    assert len(judged.text) > len(rows)
    assert judged.row_lengths.sum() == len(judged.text.ids)
