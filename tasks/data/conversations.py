"""Conversations, and prompts with their completions, whose answers a language model learns to write.

A message stays as it is written but for the ends of its lines, which are `\\n`: how it is put into a text is said by
the tokenizer's chat template, and by nothing where a prompt and its completion are texts. What comes after the last
answer is nothing to learn from, and left out. `text` is what people said, without what a system message tells the
model: by it conversations are the same, are split, and stand in training already.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from hone.configs.data import DataSettings
from hone.tasks.data.clean import SCHEMA, Collected, Gathered, Unusable, as_text, normalize_label
from hone.tasks.data.rows import BadRowLog, RawRow
from hone.tasks.message import COMPLETION, PROMPT, Message

KINDS = ["conversation"]
"""Name of `label`, which is 0 of every conversation."""
ROLES = ("system", "user", "assistant")
MESSAGES = pa.list_(
    pa.struct([("role", pa.string()), ("content", pa.large_string()), ("learned", pa.bool_())])  # as `Message`
)
CONVERSATIONS = pa.schema([*SCHEMA, ("messages", MESSAGES)])
"""Rows inside this stage."""


def collect_conversations(
    rows: Iterable[RawRow],
    split: str,
    settings: DataSettings,
    bad: BadRowLog,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Collected:
    """Gathers the conversations that have an answer; the others are recorded.

    Args:
        rows: with the messages, or the prompt, as `text`, and the prompt's completion as `label`.
        on_rows: told now and then how many conversations are gathered.
    """
    gathered = Gathered(CONVERSATIONS, on_rows)
    for row in rows:
        try:
            whole = with_completion(row.text, row.label) if settings.prompt_column else messages_of(row.text)
            messages = up_to_last_answer(whole)
            parts = [normalize_label(as_text(value)) for value in row.slices]
        except Unusable as reason:
            bad.add(str(reason), split, row.line)
            continue
        if len(messages) < len(whole):
            bad.add("unanswered_end", split, row.line)
        gathered.add(said(messages), None, 0, row.line, parts, [message._asdict() for message in messages])
    return Collected(gathered.table(), KINDS)


def messages_of(value: object) -> list[Message]:
    """The messages of a conversation, each answer of which is learned.

    Raises:
        Unusable: `not_messages`, `unknown_role`, `undecodable` or `wrong_type`.
    """
    if not isinstance(value, list):
        raise Unusable("not_messages" if value is not None else "empty_text")
    messages = []
    for told in value:
        if not isinstance(told, Mapping) or not {"role", "content"} <= set(told):
            raise Unusable("not_messages")
        role = as_text(told["role"]).strip().lower()
        if role not in ROLES or told.get("tool_calls"):
            raise Unusable("unknown_role")
        messages.append(Message(role, with_line_ends(as_text(told["content"])), role == "assistant"))
    return messages


def with_completion(prompt: object, completion: object) -> list[Message]:
    """A prompt and its completion as one conversation, of which the completion alone is learned: both texts, or both
    lists of messages.

    Raises:
        Unusable: as `messages_of`; `not_messages` where one of the two is a list and the other is none.
    """
    if isinstance(prompt, list) and isinstance(completion, list):
        before = [message._replace(learned=False) for message in messages_of(prompt)]
        return [*before, *messages_of(completion)]
    if isinstance(prompt, list) or isinstance(completion, list):
        raise Unusable("not_messages")
    texts: list[tuple[str, Any]] = [(PROMPT, prompt), (COMPLETION, completion)]
    return [Message(role, with_line_ends(as_text(value)), role == COMPLETION) for role, value in texts]


def up_to_last_answer(messages: list[Message]) -> list[Message]:
    """The messages without those that nobody answers.

    Raises:
        Unusable: `no_answer`, where none is learned or one of those is empty.
    """
    learned = [place for place, message in enumerate(messages) if message.learned]
    if not learned or not all(messages[place].content.strip() for place in learned):
        raise Unusable("no_answer")
    return messages[: learned[-1] + 1]


def said(messages: Iterable[Message]) -> str:
    """What stands for a conversation where a text is asked for."""
    return "\n".join(message.content.strip() for message in messages if message.role != "system").strip()


def with_line_ends(text: str) -> str:
    """The text with `\\n` at the ends of its lines."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
