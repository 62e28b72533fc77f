"""Conversations as the text that a tokenizer's chat template makes of them, and the tokens of it that are answers.

A template is rendered as transformers does it, in jinja2's sandbox. Where answers stand in the text, its
`{% generation %}` blocks say; where it has none, what is rendered of the messages before an answer, and of those up to
it, has to begin the whole. The token that ends an answer is a part of it. A prompt and its completion that are texts
need no template: they stand one after the other, with a boundary token on either side, as documents do.

This file is served with a model, so it imports nothing of Hone.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TEMPLATE = "chat_template.jinja"
PROMPT = "prompt"
"""Role of a text that its completion follows as it is."""
ANSWERING = "assistant"
BEGIN, END = "\ufdd0", "\ufdd1"
"""Around what a template marks as an answer, until it is rendered: noncharacters, which no text has a use for."""
PROBE = "answer"
NO_TEMPLATE = (
    "the tokenizer has no chat template, which says how messages are written: take a model whose tokenizer has one, as "
    f"instruct versions do, put {TEMPLATE} beside its tokenizer.json, or give the data as texts in data.prompt_column "
    "and data.completion_column"
)
Message = tuple[str, str, bool]
"""Role, content, and whether it is an answer that is learned."""
Span = tuple[int, int]
Encoded = tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]
"""Token ids of a conversation up to the end of its last answer [tokens], and which of them are learned [tokens]."""
Tokenize = Callable[[list[str]], Iterable[tuple[Sequence[int], Sequence[Span]]]]
"""Token ids of texts without special tokens, and where in the text each token stands."""


@dataclass(frozen=True)
class Written:
    """A conversation as text."""

    text: str
    answers: list[Span]
    """First character and end of each answer that is learned, with the token that ends it."""
    bounded: bool
    """Whether a boundary token stands before it; a template writes by itself what a conversation begins with."""
    ended: bool
    """Whether the text has the token that ends the last answer; else a boundary token does, and is learned."""


class ChatTemplate:
    """How a tokenizer writes conversations.

    Args:
        source: the template.
        names: special tokens by their role, `bos_token` and the like.
        added: all tokens that are more than a piece of a text.
    """

    def __init__(self, source: str, names: Mapping[str, Any], added: Sequence[str]) -> None:
        self._names = dict(names)
        try:
            self._template = compiled(source)
        except _template_errors() as error:
            raise ValueError(f"the chat template is none that jinja2 can read: {error}") from error
        self.end = self._end(sorted(added, key=len, reverse=True))
        """The token that ends an answer; empty where the template writes none."""

    def render(self, messages: Sequence[Mapping[str, str]], *, answer: bool = False) -> str:
        """The messages as text.

        Args:
            answer: whether an answer of the model is to follow.

        Raises:
            ValueError: when the template refuses them.
        """
        return _unmarked(self._rendered(messages, answer))[0]

    def write(self, conversation: Sequence[Message]) -> Written:
        """A conversation as text, with the places of the answers that are learned.

        Raises:
            ValueError: when the template refuses it, or does not tell where its answers stand.
        """
        messages = [{"role": role, "content": content} for role, content, _learned in conversation]
        text, marked = _unmarked(self._rendered(messages, False))
        places = [place for place, message in enumerate(messages) if message["role"] == ANSWERING]
        if marked and len(marked) != len(places):
            raise ValueError(
                f"the chat template marks {len(marked)} answers by {{% generation %}} in a conversation that has "
                f"{len(places)}: enclose each of the assistant's messages, and nothing else"
            )
        spans = []
        for index, place in enumerate(places):
            if conversation[place][2]:
                start, end = marked[index] if marked else self._between(text, messages, place)
                spans.append((start, self._with_its_end(text, start, end)))
        ended = bool(spans and self.end) and text[: spans[-1][1]].endswith(self.end)
        return Written(text, spans, bounded=False, ended=ended)

    def _rendered(self, messages: Sequence[Mapping[str, str]], answer: bool) -> str:
        plain = [{name: _without_marks(value) for name, value in message.items()} for message in messages]
        try:
            return str(
                self._template.render(
                    messages=plain, tools=None, documents=None, add_generation_prompt=answer, **self._names
                )
            )
        except _template_errors() as error:
            raise ValueError(f"the chat template refuses a conversation: {error}") from error

    def _between(self, text: str, messages: Sequence[Mapping[str, str]], place: int) -> Span:
        """Where an answer stands, by what is written before it and up to it."""
        before, until = self.render(messages[:place], answer=True), self.render(messages[: place + 1])
        if not (text.startswith(until) and until.startswith(before)):
            raise ValueError(
                f"the chat template writes message {place + 1} of a conversation of {len(messages)} otherwise where "
                "others follow it, so that nobody can tell where an answer stands: enclose the assistant's messages "
                "by {% generation %} and {% endgeneration %} in the template, or give each answer as the last of a "
                "conversation of its own"
            )
        return len(before), len(until)

    def _with_its_end(self, text: str, start: int, end: int) -> int:
        """The end of an answer with the token that ends it, and without the blanks behind that."""
        if self.end and text.startswith(self.end, end):
            return end + len(self.end)
        bare = text[start:end].rstrip()
        return start + len(bare) if self.end and bare.endswith(self.end) else end

    def _end(self, added: Sequence[str]) -> str:
        asked = [{"role": "user", "content": "question"}, {"role": ANSWERING, "content": PROBE}]
        try:
            text = self.render(asked)
        except ValueError:  # what it takes, the data show
            return ""
        behind = text[text.rfind(PROBE) + len(PROBE) :].lstrip() if PROBE in text else ""
        return next((token for token in added if behind.startswith(token)), "")


def read_template(folder: Path, tokenizer: Any) -> ChatTemplate | None:
    """The chat template of the tokenizer in a folder; None where it has none.

    Args:
        tokenizer: of the library tokenizers.
    """
    told = _told(folder)
    source = _source(folder, told)
    if source is None:
        return None
    named = {role: value for role, value in told.items() if role.endswith("_token") and value is not None}
    names = {role: value["content"] if isinstance(value, dict) else value for role, value in named.items()}
    strings = {role: value for role, value in names.items() if isinstance(value, str)}
    return ChatTemplate(source, strings, added_tokens(tokenizer))


def has_template(folder: Path) -> bool:
    """Whether the tokenizer in a folder has a chat template."""
    return _source(folder, _told(folder)) is not None


def added_tokens(tokenizer: Any) -> list[str]:
    """What a tokenizer of the library tokenizers knows beside the pieces of texts."""
    return [token.content for token in tokenizer.get_added_tokens_decoder().values()]


def write(conversation: Sequence[Message], template: ChatTemplate | None) -> Written:
    """A conversation, or a prompt with its completion, as text.

    Raises:
        ValueError: as `ChatTemplate.write`, and where a template is needed and there is none.
    """
    if conversation[0][0] == PROMPT:
        (_, prompt, _), (_, completion, _) = conversation
        return Written(prompt + completion, [(len(prompt), len(prompt + completion))], bounded=True, ended=False)
    if template is None:
        raise ValueError(NO_TEMPLATE)
    return template.write(conversation)


def encode(
    conversations: Sequence[Sequence[Message]], template: ChatTemplate | None, tokenize: Tokenize, boundary: int
) -> list[Encoded]:
    """Conversations as tokens. One that stands in an answer with a part of it alone counts to the answer.

    Raises:
        ValueError: as `write`, naming the conversation by how it begins.
    """
    written = []
    for conversation in conversations:
        try:
            written.append(write(conversation, template))
        except ValueError as error:
            asked = next((content for role, content, _ in conversation if role != "system"), "")
            raise ValueError(f"the conversation that begins {asked[:60]!r}: {error}") from error
    tokens = tokenize([one.text for one in written])
    return [_encoded(one, ids, offsets, boundary) for one, (ids, offsets) in zip(written, tokens, strict=True)]


def compiled(source: str) -> Any:
    """A template as transformers compiles it."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """`{% generation %}`, which encloses what the model is to write."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

        def _marked(self, caller: Callable[[], str]) -> str:
            return f"{BEGIN}{caller()}{END}"

    class Names(Namespace):
        """A namespace whose attributes do not reach into Python."""

        def __init__(*given: Any, **attributes: Any) -> None:  # as jinja2's own: an attribute may be called self
            for name in dict(*given[1:], **attributes):
                Names._check(name)
            Namespace.__init__(*given, **attributes)

        def __setitem__(self, name: str, value: Any) -> None:
            Names._check(name)
            super().__setitem__(name, value)

        @staticmethod
        def _check(name: str) -> None:
            if name.startswith("_"):
                raise TemplateError(f"a namespace of a chat template has no attribute {name}: call it otherwise")

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **how: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **how)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson  # jinja2's own escapes what HTML has a meaning for
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.globals["namespace"] = Names
    return environment.from_string(source)


def _template_errors() -> tuple[type[Exception], ...]:
    """What a template may raise, by itself or as it takes messages for what they are not."""
    from jinja2 import TemplateError

    return (TemplateError, TypeError, ValueError, KeyError, AttributeError)


def _told(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _source(folder: Path, told: Mapping[str, Any]) -> str | None:
    """The template beside a tokenizer, or in its configuration."""
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    source = told.get("chat_template")
    if isinstance(source, list):  # several by name, as older files have them
        source = next((one["template"] for one in source if one["name"] == "default"), None)
    return source


def _encoded(written: Written, ids: Sequence[int], offsets: Sequence[Span], boundary: int) -> Encoded:
    tokens = np.asarray(ids, np.int32)
    starts, ends = np.asarray(offsets, np.int64).reshape(-1, 2).T
    learned = np.zeros(len(tokens), np.bool_)
    for start, end in written.answers:
        learned |= (starts < end) & (ends > start)
    last = int(np.flatnonzero(learned)[-1]) + 1 if learned.any() else len(tokens)  # nothing is learned behind it
    before = [boundary] if written.bounded else []
    after = [] if written.ended else [boundary]
    whole = np.concatenate([np.array(before, np.int32), tokens[:last], np.array(after, np.int32)])
    mask = np.concatenate([np.zeros(len(before), np.bool_), learned[:last], np.ones(len(after), np.bool_)])
    mask[:1] = False  # nothing stands before it that it could be told by
    return whole, mask


def _unmarked(text: str) -> tuple[str, list[Span]]:
    """The text without the marks, and what stood between them."""
    parts: list[str] = []
    spans: list[Span] = []
    length = 0
    for index, piece in enumerate(text.split(BEGIN)):
        inside, _, rest = piece.partition(END) if index else ("", "", piece)
        if index:
            spans.append((length, length + len(inside)))
        parts += [inside, rest]
        length += len(inside) + len(rest)
    return "".join(parts), spans


def _without_marks(content: Any) -> Any:
    return content.replace(BEGIN, "").replace(END, "") if isinstance(content, str) else content
