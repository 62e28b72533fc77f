"""Of conversations the answers alone are learned, wherever a chat template puts them, and each token of them once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from hone.tasks.errors import DataError
from hone.tasks.model.teacher.inference import write_rows
from hone.tasks.model.text import NO_TARGET, TokenizedText, make_batch, model_inputs
from hone.tasks.model.tokenized import Split, TokenizedSplits, open_split, tokenizer_digest
from hone.tasks.objectives.learning import learning
from hone.tasks.objectives.text_generation.chat import ChatTemplate, added_tokens, read_template
from hone.tasks.objectives.text_generation.conversations import encoded, template_of
from tests.objectives.chats import (
    ENDLESS,
    FORGETFUL,
    MARKED,
    ODD,
    TEMPLATE,
    conversations,
    learned,
    messages,
    pair,
    rows_of,
)
from tests.objectives.documents import write_decoder, write_tokenizer

LEARNING = learning("text-generation")
TWO = messages(
    ("system", "be brief"), ("user", "a cat?"), ("assistant", "yes."), ("user", "sure?"), ("assistant", "no")
)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreTrainedTokenizerFast]:
    """One for each template, alike in all else; "" has none."""
    place = tmp_path_factory.mktemp("chats")
    found = {template: write_tokenizer(place / "all", template=template) for template in (TEMPLATE, "")}
    for template in (MARKED, FORGETFUL, ENDLESS, ODD):
        found[template] = PreTrainedTokenizerFast.from_pretrained(place / "all", chat_template=template)
    chatty = write_tokenizer(place / "chatty", template=TEMPLATE)
    for template in (MARKED, FORGETFUL, ENDLESS, ODD, TEMPLATE):
        found[template] = PreTrainedTokenizerFast.from_pretrained(place / "chatty", chat_template=template)
    assert chatty.chat_template == TEMPLATE
    return found


def targets(tokenizer: PreTrainedTokenizerFast, text: TokenizedText, row: int = 0) -> list[str]:
    """The runs of labels of a row, as text."""
    part = text.labels[text.offsets[row] : text.offsets[row + 1]]
    runs: list[list[int]] = [[]]
    for label in part.tolist():
        if label == NO_TARGET:
            runs.append([])
        else:
            runs[-1].append(label)
    return [tokenizer.decode(run) for run in runs if run]


def test_the_labels_of_a_conversation_are_its_answers_with_the_tokens_that_end_them(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    tokenizer = tokenizers[TEMPLATE]
    text = LEARNING.encode(tokenizer, rows_of([TWO]), 512)
    assert targets(tokenizer, text) == ["yes.<|done|>", "no<|done|>"]
    assert tokenizer.decode(text.ids) == (
        "<|turn|>system\nbe brief<|done|>\n<|turn|>user\na cat?<|done|>\n<|turn|>assistant\nyes.<|done|>\n"
        "<|turn|>user\nsure?<|done|>\n<|turn|>assistant\nno"
    )
    assert text.labels[:-1][text.labels[:-1] >= 0].tolist() == text.ids[1:][text.labels[:-1] >= 0].tolist()
    assert text.weights is not None
    assert text.weights.tolist() == [int((text.labels >= 0).sum())]


def test_a_prompt_and_its_completion_need_no_template_and_end_with_the_boundary(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    tokenizer = tokenizers[""]
    text = LEARNING.encode(tokenizer, rows_of([pair("the cat in the", " barn.\n"), pair("", "owl")]), 64)
    assert targets(tokenizer, text, 0) == [" barn.\n<|endoftext|>"]
    assert targets(tokenizer, text, 1) == ["owl<|endoftext|>"]
    assert tokenizer.decode(text.ids[: text.offsets[1]]) == "<|endoftext|>the cat in the barn.\n"
    assert text.sources is not None
    assert text.sources.tolist() == [0, 1]


def test_only_what_is_to_be_learned_of_the_assistants_messages_is(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    some = [*TWO[:2], TWO[2]._replace(learned=False), *TWO[3:]]
    for template in (TEMPLATE, MARKED):
        tokenizer = tokenizers[template]
        assert targets(tokenizer, LEARNING.encode(tokenizer, rows_of([some]), 512)) == ["no<|done|>"]


def test_rendered_prefixes_and_the_generation_mask_of_transformers_agree(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    several = conversations(30)
    found = [encoded(tokenizers[one], [learned(told) for told in several], 0) for one in (TEMPLATE, MARKED)]
    for place, told in enumerate(several):
        (ids, mask), (marked, own) = found[0][place], found[1][place]
        assert ids.tolist() == marked.tolist()
        assert mask.tolist() == own.tolist()
        theirs = tokenizers[MARKED].apply_chat_template(told, return_assistant_tokens_mask=True, return_dict=True)
        assert theirs["input_ids"][: len(ids)] == ids.tolist()
        assert theirs["assistant_masks"][: len(ids)] == mask.astype(int).tolist()
        assert sum(theirs["assistant_masks"]) == mask.sum()


def test_a_template_whose_marks_leave_the_ending_token_out_has_it_learned_all_the_same(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    less = MARKED.replace("<|done|>{% endgeneration %}", "{% endgeneration %}<|done|>")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizers[MARKED].backend_tokenizer, eos_token="<|endoftext|>", chat_template=less
    )
    assert targets(tokenizer, LEARNING.encode(tokenizer, rows_of([TWO]), 512)) == ["yes.<|done|>", "no<|done|>"]


def test_where_no_token_ends_an_answer_the_boundary_ends_the_last_one(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    tokenizer = tokenizers[ENDLESS]
    assert targets(tokenizer, LEARNING.encode(tokenizer, rows_of([TWO]), 512)) == ["yes.\n", "no\n<|endoftext|>"]


@pytest.mark.parametrize("max_length", [8, 13, 40])
def test_no_token_of_an_answer_is_lost_or_learned_twice_in_a_long_conversation(
    tokenizers: dict[str, PreTrainedTokenizerFast], max_length: int
) -> None:
    tokenizer = tokenizers[TEMPLATE]
    long = messages(*((role, f"{role} {n} " * 9) for n in range(3) for role in ("user", "assistant")))
    whole = LEARNING.encode(tokenizer, rows_of([long]), 10_000)
    text = LEARNING.encode(tokenizer, rows_of([long, *[learned(told) for told in conversations(4)]]), max_length)
    assert text.lengths.max() <= max_length
    assert text.sources is not None
    first = text.labels[: text.offsets[int((text.sources == 0).sum())]]
    assert first[first >= 0].tolist() == whole.labels[whole.labels >= 0].tolist()
    assert text.weights is not None
    assert text.weights.min() >= 1  # no row that nothing is learned from
    assert len(np.unique(text.sources)) == 5
    parts = np.split(text.labels, text.offsets[1:-1])
    begins = [
        int((part >= 0).argmax()) for part, n in zip(parts, np.diff(text.sources, prepend=-1), strict=True) if not n
    ]
    assert min(begins) >= (max_length + 1) // 2 - 1


def test_the_loss_of_a_row_is_transformers_own_of_its_answers(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(write_decoder(tmp_path, layers=1, template=MARKED)).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    told = conversations(2)
    text = LEARNING.encode(tokenizer, rows_of([learned(one) for one in told]), 512)
    batch = make_batch(text, np.arange(2), 0, "cpu")
    with torch.no_grad():
        found = LEARNING.loss(model(**model_inputs(batch)), batch)
        for row, one in enumerate(told):
            whole = tokenizer.apply_chat_template(one, return_assistant_tokens_mask=True, return_dict=True)
            ids, mask = torch.tensor([whole["input_ids"]]), torch.tensor([whole["assistant_masks"]])
            loss = model(input_ids=ids, labels=torch.where(mask > 0, ids, NO_TARGET)).loss * mask.sum()
            assert found[row].item() == pytest.approx(loss.item(), rel=1e-5)


def test_a_split_of_conversations_that_is_kept_is_the_one_that_is_tokenized(
    tokenizers: dict[str, PreTrainedTokenizerFast], tmp_path: Path
) -> None:
    rows = rows_of([*(learned(told) for told in conversations(6)), pair("a", "b")])
    split = Split(write_rows(rows, tmp_path / "train.parquet"), tokenizers[TEMPLATE], 24, "text-generation")
    direct, kept = split.tokenize(), open_split(TokenizedSplits(tmp_path / "storage", "demo", "train").folder(split))
    assert direct.labelled == kept.labelled == 7
    for name in ("ids", "offsets", "labels", "weights", "sources"):
        assert np.array_equal(getattr(direct.text, name), getattr(kept.text, name))
    assert tokenizer_digest(tokenizers[TEMPLATE]) != tokenizer_digest(tokenizers[MARKED])


CHATS = [
    [{"role": "user", "content": " a <b> & 'c'\n"}],
    [{"role": "system", "content": "be brief \n"}, {"role": "user", "content": "ä"}],
    [*conversations(1)[0], {"role": "user", "content": ""}, {"role": "assistant", "content": "\U0001f600"}],
]


@pytest.mark.parametrize("template", [TEMPLATE, MARKED, FORGETFUL, ENDLESS, ODD])
def test_a_template_without_transformers_writes_what_transformers_does(
    tokenizers: dict[str, PreTrainedTokenizerFast], tmp_path: Path, template: str
) -> None:
    tokenizer = tokenizers[template]
    tokenizer.save_pretrained(tmp_path)
    served = read_template(tmp_path, tokenizer.backend_tokenizer)
    own = template_of(tokenizer)
    assert served is not None
    assert own is not None
    assert served.end == own.end == ("" if template == ENDLESS else "<|done|>")
    for chat in CHATS:
        for asked in (False, True):
            expected = tokenizer.apply_chat_template(chat, add_generation_prompt=asked, tokenize=False)
            assert served.render(chat, answer=asked) == own.render(chat, answer=asked) == expected


def test_a_template_in_the_configuration_is_read_too(
    tokenizers: dict[str, PreTrainedTokenizerFast], tmp_path: Path
) -> None:
    tokenizer = tokenizers[TEMPLATE]
    for told in (f'"{"x"}"', '[{"name": "tool_use", "template": "y"}, {"name": "default", "template": "x"}]'):
        (tmp_path / "tokenizer_config.json").write_text(f'{{"chat_template": {told}}}')
        found = read_template(tmp_path, tokenizer.backend_tokenizer)
        assert found is not None
        assert found.render([]) == "x"
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert read_template(tmp_path, tokenizer.backend_tokenizer) is None


def test_a_template_cannot_reach_into_python(tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    added = added_tokens(tokenizers[TEMPLATE].backend_tokenizer)
    for source in (
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ namespace(_a=1) }}",
    ):
        with pytest.raises(ValueError, match="the chat template refuses a conversation"):
            ChatTemplate(source, {}, added).render(CHATS[0])


def test_messages_without_a_chat_template_are_refused_with_the_ways_out(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    said = "begins 'a cat.'.*no chat template, which says how messages are written: take a model .* chat_template.jinja"
    with pytest.raises(DataError, match=f"{said}.*data.prompt_column and data.completion_column"):
        LEARNING.encode(tokenizers[""], rows_of([TWO]), 64)


@pytest.mark.parametrize(
    ("template", "told", "said"),
    [
        (FORGETFUL, TWO, "writes message 3 of a conversation of 5 otherwise where others follow it.*{% generation %}"),
        (ODD, messages(("user", "a"), ("user", "b"), ("assistant", "c")), "begins 'a'.*two questions in a row"),
        (TEMPLATE + "{% generation %}x{% endgeneration %}", TWO, "marks 1 answers by .* that has 2: enclose each"),
        ("{% if %}", TWO, "the chat template is none that jinja2 can read"),
    ],
)
def test_what_a_template_refuses_or_does_not_tell_is_said(
    tokenizers: dict[str, PreTrainedTokenizerFast], template: str, told: list, said: str
) -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizers[MARKED].backend_tokenizer, eos_token="<|endoftext|>", chat_template=template
    )
    with pytest.raises(DataError, match=said):
        LEARNING.encode(tokenizer, rows_of([told]), 64)


def test_a_template_that_forgets_earlier_answers_tells_where_a_single_one_stands(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    tokenizer = tokenizers[FORGETFUL]
    text = LEARNING.encode(tokenizer, rows_of([messages(("user", "a cat?"), ("assistant", "yes."))]), 64)
    assert targets(tokenizer, text) == ["yes.<|done|>"]


def test_no_conversations_make_no_rows(tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    assert len(LEARNING.encode(tokenizers[TEMPLATE], rows_of([]), 8)) == 0
