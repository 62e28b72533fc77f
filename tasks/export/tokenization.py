"""What a tokenizer's class does to a text and `tokenizer.json` alone would not, written down so that both read alike.

The class decides at which side a text is cut, whether `[SEP]` in a text is a special token, whether token types are
used; all of them are settings of a call, and a file read by the library `tokenizers` has none of them unless they are
put there. Both then read the same texts, before anything is delivered.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from hone.tasks.errors import ExportError
from hone.tasks.model.runtime import runtime
from hone.tasks.model.runtime.runtime import SERVING, TextReader, TextSettings
from hone.tasks.objectives.question_answering import answering
from hone.tasks.objectives.question_answering.answering import QuestionReader
from hone.tasks.objectives.text_generation import chat
from hone.tasks.objectives.text_generation.generating import DocumentReader
from hone.tasks.objectives.token_classification import windows
from hone.tasks.objectives.token_classification.spans import SentenceReader

ODD = (
    "",
    "a",
    "Ärger, A\u0308RGER \u00abC++\u00bb 5 $",
    "\u4e2d\u6587 \u0e44\u0e17\u0e22 \U0001f600",
    "x\u00a0\u200by",
)
"""Signs on which tokenizers differ."""
WORDS_TAKEN = 64


def write_tokenization(tokenizer: PreTrainedTokenizerFast, folder: Path, texts: TextSettings) -> None:
    """Writes `tokenizer.json`, with truncation and padding as the tokenizer's class has them, and `serving.json`.

    Args:
        texts: as the recipe has them; what the tokenizer says is added.

    Raises:
        ExportError: when the files do not read a text as the tokenizer does, naming it.
    """
    told = replace(
        texts,
        token_types="token_type_ids" in tokenizer.model_input_names,
        split_special_tokens=bool(tokenizer.split_special_tokens),
    )
    tokenizer("a", truncation=True, max_length=texts.max_length)  # it now cuts as it does for every text
    backend = tokenizer.backend_tokenizer
    backend.enable_padding(
        direction="right", pad_id=tokenizer.pad_token_id, pad_type_id=0, pad_token=tokenizer.pad_token
    )
    backend.save(str(folder / "tokenizer.json"))
    backend.no_padding()
    (folder / SERVING).write_text(json.dumps(asdict(told), indent=1) + "\n", encoding="utf-8")
    _check(tokenizer, folder, told)


def telling_texts(tokenizer: PreTrainedTokenizerFast, max_length: int) -> list[str]:
    """Texts on which a difference would show: odd signs, special tokens spelled out, and words of its own vocabulary in
    rows that are longer than the model takes."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    step = max(1, len(vocabulary) // WORDS_TAKEN)
    words = [tokenizer.convert_tokens_to_string([token]).strip() for token, _id in vocabulary[::step]]
    words = [word for word in words if word] or ["a"]
    long = [words[index % len(words)] for index in range(2 * max_length)]
    specials = " ".join(["a", *tokenizer.all_special_tokens, "b"])
    return [*ODD, specials, " ".join(words).upper(), " ".join(long), " ".join(reversed(long))]


def _check_sentences(tokenizer: PreTrainedTokenizerFast, folder: Path, told: TextSettings) -> None:
    """The same of sentences, whose words come one by one and which become windows."""
    reader = SentenceReader(folder, runtime=runtime, windows=windows)
    texts = [reader.clean(text) for text in telling_texts(tokenizer, told.max_length)]
    sentences = [text.split() for text in texts if text.split()]
    expected = windows.make_windows(tokenizer, sentences, told.max_length, windows.overlap_of(told.max_length))
    found = reader.read(sentences)
    if found.same_as(expected):
        return
    for words in sentences:
        one = windows.make_windows(tokenizer, [words], told.max_length, windows.overlap_of(told.max_length))
        other = reader.read([words])
        if not other.same_as(one):
            raise ExportError(_differs(tokenizer, folder, " ".join(words), other.ids.tolist(), one.ids.tolist()))


def _check_questions(tokenizer: PreTrainedTokenizerFast, folder: Path, told: TextSettings) -> None:
    """The same of questions, which become windows with their contexts, as the class of the tokenizer cuts them."""
    texts = telling_texts(tokenizer, told.max_length)
    length, stride = told.max_length, answering.overlap_of(told.max_length)
    half = (length - tokenizer.num_special_tokens_to_add(pair=True)) // 2  # longer questions are cut before
    short = [text for text in ODD if text and len(tokenizer(text, add_special_tokens=False)["input_ids"]) <= half]
    pairs = [("a", text) for text in texts if text] + [(text, "a") for text in short]
    found = QuestionReader(folder, runtime=runtime).read(*zip(*pairs, strict=True))
    cut = copy.deepcopy(tokenizer)
    cut.truncation_side = "right"  # windows go on to the context's end
    for row, (question, context) in enumerate(pairs):
        expected = cut(
            question,
            context,
            truncation="only_second",
            max_length=length,
            stride=stride,
            return_overflowing_tokens=True,
            return_token_type_ids=told.token_types,
        )
        windows_of = [found.row(window) for window in np.flatnonzero(found.questions == row).tolist()]
        types = expected["token_type_ids"] if told.token_types else [[0] * len(ids) for ids in expected["input_ids"]]
        if windows_of != list(zip(expected["input_ids"], types, strict=True)):
            expected_ids = expected["input_ids"][0]
            raise ExportError(_differs(tokenizer, folder, f"{question} {context}", windows_of[0][0], expected_ids))


def _check_documents(tokenizer: PreTrainedTokenizerFast, folder: Path, told: TextSettings) -> None:
    """The same of documents, which are cut nowhere, have no special tokens and are parted by the boundary token."""
    texts = telling_texts(tokenizer, told.max_length)
    reader = DocumentReader(folder, runtime=runtime, chat=chat)
    if reader.boundary != tokenizer.eos_token_id:
        raise ExportError(
            f"{folder}: its eos_token is token {reader.boundary}, and the model learned with {tokenizer.eos_token_id} "
            "between documents"
        )
    expected = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    for text, found, ids in zip(texts, reader.encode(texts), expected, strict=True):
        if list(found) != list(ids):
            raise ExportError(_differs(tokenizer, folder, text, found, ids))
    if tokenizer.chat_template is not None and reader.template is not None:
        _check_chats(tokenizer, folder, reader)


def _check_chats(tokenizer: PreTrainedTokenizerFast, folder: Path, reader: DocumentReader) -> None:
    """The same of a chat, which the template beside the tokenizer writes; one that it refuses tells nothing."""
    asked = [
        {"role": "user", "content": " a\n"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    try:
        expected = str(tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False))
    except Exception:  # noqa: BLE001 - templates raise what they like
        return
    try:
        found = reader.template.render(asked, answer=True) if reader.template is not None else expected
    except ValueError as refusal:
        raise ExportError(
            f"{folder}: its chat template is rendered by transformers and not where it is served: {refusal}; take a "
            "template that needs nothing of transformers"
        ) from refusal
    if found != expected:
        raise ExportError(
            f"{folder}: its chat template writes {found[:80]!r} of a chat, and transformers {expected[:80]!r}: it uses "
            "what only transformers has, so it cannot be served as it was learned; take a template without that"
        )


def _check(tokenizer: PreTrainedTokenizerFast, folder: Path, told: TextSettings) -> None:
    if told.task == "question-answering":
        _check_questions(tokenizer, folder, told)
        return
    if told.task == "text-generation":
        _check_documents(tokenizer, folder, told)
        return
    if told.task == "token-classification":
        _check_sentences(tokenizer, folder, told)
        return
    reader = TextReader(folder)
    texts = [reader.clean(text) for text in telling_texts(tokenizer, told.max_length)]
    pairs = texts[1:] + texts[:1] if told.pairs else None
    expected = tokenizer(
        texts, pairs, truncation=True, max_length=told.max_length, return_token_type_ids=told.token_types
    )
    types: Sequence[Sequence[int]] = expected["token_type_ids"] if told.token_types else []
    for index, row in enumerate(reader.read(texts, pairs)):
        expected_ids = list(expected["input_ids"][index])
        same_types = not told.token_types or list(row.type_ids) == list(types[index])
        if list(row.ids) != expected_ids or not same_types:
            raise ExportError(_differs(tokenizer, folder, texts[index], row.ids, expected_ids))


def _differs(
    tokenizer: PreTrainedTokenizerFast, folder: Path, text: str, found: Sequence[int], expected_ids: Sequence[int]
) -> str:
    return (
        f"{folder / 'tokenizer.json'} reads {text[:80]!r} as {list(found)[:8]}, and the tokenizer that the model "
        f"learned with ({type(tokenizer).__name__}) as {list(expected_ids)[:8]}: it does more than its file can say, "
        "so it cannot be served as it was judged; save it as a plain PreTrainedTokenizerFast and train with that"
    )
