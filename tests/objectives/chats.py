"""Tiny conversations, and chat templates of several kinds for the tokenizer of `documents.py`."""

import json
import random
from pathlib import Path
from typing import Any

from hone.tasks.message import COMPLETION, PROMPT, Message
from hone.tasks.model.text import Rows
from tests.objectives.documents import ANIMALS, PLACES

TEMPLATE = (
    "{% for message in messages %}{{ '<|turn|>' + message['role'] + '\n' + message['content'] + '<|done|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|turn|>assistant\n' }}{% endif %}"
)
"""As ChatML is written."""
MARKED = """
{%- for message in messages %}
    {{- '<|turn|>' + message['role'] + '\n' }}
    {%- if message['role'] == 'assistant' %}
        {%- generation %}{{ message['content'] }}<|done|>{% endgeneration %}
    {%- else %}
        {{- message['content'] + '<|done|>' }}
    {%- endif %}
    {{- '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|turn|>assistant\n' }}{% endif %}
"""
"""Writes the same, and says where answers stand."""
FORGETFUL = (
    "{% for message in messages %}{{ '<|turn|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'user' or loop.last %}{{ message['content'] }}{% endif %}{{ '<|done|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|turn|>assistant\n' }}{% endif %}"
)
"""Leaves out earlier answers, as some leave out what a model has thought."""
ENDLESS = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
"""Has no token that ends a message."""
ODD = """
{%- if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] | trim %}{% set rest = messages[1:] %}
{%- else %}{% set first = 'Today is ' + strftime_now('%d %b %Y') %}{% set rest = messages %}{% endif %}
{{- bos_token if bos_token is defined }}{{ eos_token }}{{ {'system': first, 'ä<': 1} | tojson }}
{%- set ns = namespace(count=0) %}
{%- for message in rest %}
    {%- if message.role == 'user' and ns.count % 2 %}{{ raise_exception('two questions in a row') }}{% endif %}
    {%- if message.role == 'user' %}{% set ns.count = ns.count + 1 %}{% else %}{% set ns.count = 0 %}{% endif %}
    {%- if not message.content %}{% continue %}{% endif %}
    {{- '<|turn|>' ~ message.role ~ '\n' ~ message.content.strip() ~ '<|done|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|turn|>assistant\n' }}{% endif %}
"""
"""Uses what transformers gives to templates: tojson, strftime_now, raise_exception, namespace, special tokens."""


def conversations(count: int, seed: int = 0) -> list[list[dict[str, str]]]:
    """Distinct ones of one or two questions, whose answers follow a pattern that a small model learns."""
    draw = random.Random(seed)
    found: dict[str, list[dict[str, str]]] = {}
    while len(found) < count:
        told = [{"role": "system", "content": "be brief."}] if draw.random() < 0.3 else []
        for _turn in range(draw.randint(1, 2)):
            animal, place, friends = draw.choice(ANIMALS), draw.choice(PLACES), draw.randint(2, 99)
            told += [
                {"role": "user", "content": f"the {animal} has {friends} friends in the {place}. where?"},
                {"role": "assistant", "content": f"in the {place}."},
            ]
        found.setdefault(json.dumps(told), told)
    return list(found.values())


def write_conversations(path: Path, count: int, seed: int = 0) -> Path:
    """As JSONL."""
    lines = [json.dumps({"messages": told, "turns": len(told)}) for told in conversations(count, seed)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def messages(*told: tuple[str, str]) -> list[Message]:
    """Out of roles and contents."""
    return [Message(role, content, role in ("assistant", COMPLETION)) for role, content in told]


def pair(prompt: str, completion: str) -> list[Message]:
    """A prompt and its completion."""
    return messages((PROMPT, prompt), (COMPLETION, completion))


def rows_of(several: list[list[Message]]) -> Rows:
    """As the data stage would write them."""
    import numpy as np

    from hone.tasks.data.conversations import said

    return Rows([said(one) for one in several], None, np.zeros(len(several), np.int64), messages=several)


def learned(told: list[dict[str, Any]]) -> list[Message]:
    """A conversation of `conversations`."""
    return messages(*((one["role"], one["content"]) for one in told))
