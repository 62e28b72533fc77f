"""Writes the recipe reference of the typed settings, configs/README.md: `make reference`.

A row is a setting; its values and bounds are those that the run form shows and that a wrong value is refused by.
"""

import re
from pathlib import Path
from typing import Any

from hone.configs.recipe import Recipe
from hone.configs.section import TrainingSection

COMMAND = "make reference"
SHARED_BY = "train"
LONGEST_PATTERN = 40
"""A longer pattern explains nothing to a reader, and the description says what it asks for."""
HEAD = f"""\
# Recipes

A recipe is a YAML file. It names an encoder and labelled text, and beyond that only what differs from the defaults
below. The settings are typed in this folder, load without any ML library, and are the run form in Prefect too.

```yaml
name: reviews                        # names the run and the model in the registry
data:
  source: hub                        # a Hugging Face dataset; files by default
  dataset: stanfordnlp/imdb
model:
  source: google-bert/bert-base-uncased
  max_length: 256
prune:
  head_fraction: 0.33
quantize:
  method: ptq                        # rounds, and does not train again
gate:
  metrics: [accuracy, macro_f1]
  max_p95_ms: 5
  beat_baseline: false               # false or null switches a demand off
```

[`quickstart.yaml`](quickstart.yaml) is for text that every installation has, [`sst2.yaml`](sst2.yaml) made the
measurements in the [main README](../README.md), [`ner.yaml`](ner.yaml) is for the named entities of WNUT 2017, and
[`qa.yaml`](qa.yaml) asks what installed libraries' docstrings say of parameters.

`--set` overrides one setting and can be repeated. The value is YAML; quote it where the shell would split it.

```
hone check configs/quickstart.yaml --set train.epochs=2
hone optimize configs/sst2.yaml --set data.train=train.tsv --set 'data.columns=[text, label]'
```

An unknown key, a value out of its bounds and settings that exclude each other are refused before anything starts, with
the value and what is allowed. Unknown keys and wrong values are all named at once. Unusable rows of the data are
counted by kind with their line numbers, and above `data.max_bad_fraction` the run stops with that list.

## One label, several, or a number

`data.labels` says what a text, or a pair of texts, has. The chain is the same for all three.

| `data.labels` | a model is judged by | what it has to beat | `hone predict` answers |
| --- | --- | --- | --- |
| `one` | accuracy | TF-IDF with logistic regression | `label`, `score`, `probabilities` |
| `several` | micro F1; macro F1 too | the same, a regression for each label | `labels`, `probabilities` |
| `number` | mean squared error; Spearman's correlation | TF-IDF with ridge, or the mean | `number` |

Several labels are a list in JSONL and Parquet, and stand with `data.label_separator` between them in CSV and TSV; a
text may have none. A label is given above one threshold, which the validation split chooses for each model and which
lies in its `config.json` before a test row is read. Texts count to their rarest label where rows are cut or split off.

A number has a decimal point, and is learned in the unit of the data: its standard deviation has to lie between 0.05
and 50, and data of another scale are refused with the factor to multiply by. Margins of the mean squared error are
parts of the teacher's. A decimal comma, `['a', 'b']` as text and an absent value are refused with their lines.

The similarity of pairs is `labels: number` with a `data.pair_column`.

Relative paths of data, models and storage are from the folder that `hone` is called in, or that a deployment's worker
runs in (`hone deploy --directory`), wherever the recipe lies.

## Named entities

```yaml
name: news
task: token-classification
data:
  train: train.conll                 # a word a line with its tag behind it, a blank line between sentences
  tokens_column: tokens              # of JSONL and Parquet, the column with the list of words
  tags_column: ner_tags              # and the one with the list of their tags
model:
  source: sentence-transformers/all-MiniLM-L6-v2
```

`hone init train.conll` writes such a recipe. Files that end in .conll, .iob, .iob2 or .bio are CoNLL, others with
`format: conll`; their first column is the word and the last its tag, unless `columns` names them. Tags are IOB1, IOB2,
IOBES or BILOU, told apart by the training split. A sentence that breaks its scheme is counted by kind like every bad
row. A sentence longer than `model.max_length` is read in overlapping windows, and none is cut.

Models are compared, sentence by sentence, in `f1`: the F1 of whole entities as seqeval counts it strictly in IOB2, over
all types. An entity is right if its type, its first word and its last one are. `gate.metrics` may name `macro_f1`,
`precision` and `recall` too. Each type is a slice, and so are entities that the training split has and those that it
has not. What a model has to beat is the tag that each word has most often.

The model answers a text, or a list of words, with its entities: `start`, `end`, `text`, `type` and `score` of each, as
transformers' pipeline with `aggregation_strategy="first"` does. Its folder loads in Optimum's
`ORTModelForTokenClassification`.

[`ner.yaml`](ner.yaml) on WNUT 2017 (3,394, 1,008, 1,287 sentences), all-MiniLM-L6-v2 as the teacher, seed 0:

```
model              entity F1     size  p50 ms 1x32  from text  speed-up  per core
teacher (PyTorch)     40.55%  90.3 MB         23.2       23.4     0.73×         –
teacher               40.55%  90.3 MB         12.6       12.8     1.00×     1.00×
distilled             37.84%  76.1 MB         7.26       7.41     1.93×     1.42×
pruned                33.83%  43.8 MB         3.31       3.46     3.98×     3.02×
quantized             33.82%  11.1 MB         2.30       2.45     5.63×     5.53×
baseline (lookup)      4.58%   284 kB            –      0.035   489.61×         –
INCONCLUSIVE  quantized
```

An eighth of the bytes and 5.63 times as fast (lower bound 4.31×), with 83% of the teacher's F1: 6.73 points below it,
at best 3.35, where 5.00 are asked. Most of that goes with the heads and neurons that are taken away. Two shared cores
with AVX2 alone (AMD EPYC).

## Questions about a text

```yaml
name: manual
task: question-answering
data:
  train: train-v2.0.json             # SQuAD's JSON; or CSV, JSONL or Parquet with a question a row
  context_column: context            # the text that a question is asked about, and its answer is a part of
model:
  source: sentence-transformers/all-MiniLM-L6-v2
  max_length: 384
```

`hone init train-v2.0.json` writes such a recipe. Files that end in .json are SQuAD's, of version 1.1 or 2.0. A table
has the columns that `question_column`, `context_column` and `answers_column` name: an answer or a list of them beside
`start_column`, or SQuAD's objects. An answer that does not stand in its context from its first character on is counted
by kind like every bad row. Questions without an answer may be among them. All that are asked about a
context are split off together. A context longer than `model.max_length` is read in overlapping windows, out of which
comes one answer, and none is cut.

Models are compared, question by question, in `f1`: the F1 of the answer's words as SQuAD's own script counts it, the
best over the true answers. `gate.metrics` may name `exact_match` too. From which margin on a model says that there is
no answer is chosen on the validation split, for each model, and lies in its `config.json` before a test row is read.
Questions with and without an answer are slices, and so is each word that asks. What a model has to beat is the sentence
that shares most with the question.

The model takes `question` and `context` and gives `answer`, `start`, `end` and `score`, as transformers' pipeline does;
no answer is the empty one. Its folder loads in Optimum's `ORTModelForQuestionAnswering`.

[`qa.yaml`](qa.yaml) on docstrings (1,080, 180, 540 questions), all-MiniLM-L6-v2 as the teacher, seed 0:

```
model                   F1     size  p50 ms 1x64  from text  speed-up  per core
teacher (PyTorch)   67.02%  90.3 MB         36.7       37.0     0.68×         –
teacher             67.02%  90.3 MB         19.5       19.7     1.00×     1.00×
distilled           66.27%  69.0 MB         10.4       10.7     1.89×     2.01×
pruned              66.57%  25.3 MB         5.42       5.81     3.75×     3.50×
quantized           68.10%  6.44 MB         4.42       4.81     4.62×     4.37×
baseline (overlap)  50.28%  30.1 kB            –       0.11   180.79×         –
ACCEPTED  quantized
```

As good: +1.07 points, lower bound −0.96 where −5.00 is asked; 4.62 times as fast, lower bound 3.69× where 2× is asked.
The same machine.

## Documents

```yaml
name: writer
task: text-generation
data:
  train: books                       # a folder of .txt files; or CSV, JSONL or Parquet with a document a row
  document_column: text              # of plain text, any name
  document_end: file                 # of plain text: each file is a document, or each part `blank line` ends
model:
  source: HuggingFaceTB/SmolLM2-135M
  max_length: 512
```

The model is a decoder, which learns to write documents. These stay as they are written but for the blanks at their
ends, and a document is in the split that its hash says. With `source: docstrings`, each docstring of the `libraries` is
one. Empty and undecodable documents, and those that are there twice, are counted by kind like every bad row, and so
is how much of the test split stands in training: runs of 13 words, in lower case and without punctuation.

Training packs documents into blocks of `model.max_length` tokens, with the tokenizer's end-of-sequence token between
them, and predicts every token once. A student learns from the 64 likeliest next tokens of its teacher and what is left
for all others, at each token; `distill.temperature` has no part in it. It needs the teacher's tokenizer.

Models are judged on whole documents, by `perplexity`: each token of a document is scored once, the first ones after an
end-of-sequence token alone. A document that is longer than `model.max_length` is read in windows of so many tokens, and
each later one begins with at least half a window of tokens that are scored already. A perplexity is of the teacher's
tokens, whatever tokenizer a model has, and margins are parts of the teacher's. `gate.metrics` may name `bits_per_byte`
and `agreement` too, the share of tokens on which the model would have chosen what the teacher would. Models are
compared document by document; those with a run of words of training, and those without one, are slices. What a model
has to beat is an n-gram model of bytes.

The model takes a prompt and gives what follows it: `text`, `tokens`, `scores` (the probability of each token) and
`finished`. It chooses the likeliest token each time, at most 32 of them.

On the CPU, decoders of the families llama, mistral (without a window), qwen2, qwen3 and gemma leave as
onnxruntime-genai (extra `generation`) makes and runs them: the folder has `genai_config.json` in it, and a cache of
keys and values makes a token cost a token. The same graph is judged, timed and served. Others leave as a graph without
a cache, where each token costs a pass over all before it; so do those whose heads are not of a multiple of 16.

`quantize.scheme: auto` means `blockwise` there: weights of 8 or, with `quantize.bits: 4`, of 4 bits, each
`quantize.block_size` inputs with a scale of their own; embedding and head have 8, and are held once where they are one
table. What a layer reads is rounded to 8 bits, in training as in the graph. `quantize.wide_fraction: 0.1` gives 8 bits
to the tenth of the weights whose rounding costs most. `evaluate.cells` may name `1x512+1`, the next token behind 512.

## Conversations

```yaml
name: helper
task: text-generation
data:
  train: chats.jsonl                 # JSONL, JSON or Parquet with a conversation a row, or a dataset of the hub
  messages_column: messages          # a list of messages, each with its `role` and `content`
model:
  source: HuggingFaceTB/SmolLM2-135M-Instruct
  max_length: 512
```

`hone init chats.jsonl` writes such a recipe. Roles are system, user and assistant; a conversation with another one,
with calls of tools or without an answer is counted by kind like every bad row, and messages after the last answer are
left out and told. In place of `messages_column`, `prompt_column` and `completion_column` name two columns: both texts
(in CSV too), or both lists of messages. Texts stand one after the other as they are, and the end-of-sequence token
behind them.

Messages are written by the chat template of the model's tokenizer, as transformers does it; a tokenizer without one is
refused. The answers alone are learned, each with the token that ends it: the assistant's messages, or those in the
completion. Where they stand is said by `{{% generation %}}` in the template, or else found by rendering the
conversation up to each of them; a template that writes an answer otherwise once others follow it is refused. A
conversation is a row of its own, and not packed with others. One that is longer than `model.max_length` is read in
windows as a document is, so that each token of an answer is learned once, and none is cut.

What is said of documents holds here of the answers: `perplexity` and `agreement` are of their tokens, `bits_per_byte`
of their bytes, and the n-gram model reads the same conversations. Those of the same words are duplicates, whatever
their system messages say, and how much of the test split stands in training is counted without these.

The model takes prompts, and chats: `{{"messages": [{{"role": "user", "content": "..."}}]}}`. `hone predict` answers the
last question of each conversation of a file.

## Architectures

Structured pruning, and a student made of the teacher's layers, are not for every architecture:
[tasks/README.md](../tasks/README.md#architectures) has the table.

## Settings

Sections stand in the order of the chain. What follows is generated: `{COMMAND}`.
"""


def reference() -> str:
    """The whole file, in Markdown."""
    schema = Recipe.model_json_schema()
    types, fields = schema["$defs"], schema["properties"]
    sections = {name: types[field["$ref"].rpartition("/")[2]] for name, field in fields.items() if "$ref" in field}
    top = {name: field for name, field in fields.items() if name not in sections}
    parts = [HEAD, "### Top level\n", _table(top, schema)]
    shared = TrainingSection.model_json_schema()["properties"]
    for name, section in sections.items():
        own = {key: field for key, field in section["properties"].items() if shared.get(key) != field}
        parts += [f"### {name}\n", _line(section["description"]) + "\n"]
        if name == SHARED_BY:  # the first of the sections that train shows what all of them share
            own = section["properties"]
        elif set(shared) <= set(section["properties"]):
            parts.append(
                "And the settings of [train](#train), with the defaults given there unless they are listed here.\n"
            )
        parts.append(_table(own, section))
    return "\n".join(parts)


def _table(fields: dict[str, dict[str, Any]], section: dict[str, Any]) -> str:
    rows = ["| setting | values | default | meaning |", "| --- | --- | --- | --- |"]
    for key, field in fields.items():
        default = "required" if key in section.get("required", ()) else _code(field["default"])
        cells = (f"`{key}`", _values(field), default, _line(field["description"]))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _values(field: dict[str, Any]) -> str:
    """What may be given, in words: the choices, or the type with its bounds."""
    if "anyOf" in field:
        return "; or ".join(_values(one) for one in field["anyOf"])
    if "enum" in field:
        return ", ".join(_code(one) for one in field["enum"])
    kind = field["type"]
    if kind == "array":
        least = f", at least {field['minItems']}" if "minItems" in field else ""
        return f"list of {_values(field['items'])}{least}"
    if kind == "string":
        return _text(field)
    return ", ".join([{"boolean": "`true`, `false`", "null": "`null`"}.get(kind, kind), *_bounds(field)])


def _text(field: dict[str, Any]) -> str:
    pattern = field.get("pattern", "")
    parts = [f"text like `{pattern}`" if pattern and len(pattern) <= LONGEST_PATTERN else "text"]
    if field.get("minLength"):
        parts.append("not empty")
    if "maxLength" in field:
        parts.append(f"at most {field['maxLength']} characters")
    return ", ".join(parts)


def _bounds(field: dict[str, Any]) -> list[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return [f"{sign} {_number(field[key])}" for key, sign in signs.items() if key in field]


def _number(value: float) -> str:
    """As one would write it in a recipe: neither `1e-05` nor `4294967296.0`."""
    return str(int(value)) if value == int(value) else f"{value:.12f}".rstrip("0")


def _code(value: Any) -> str:
    """A value as YAML, in Markdown."""
    if isinstance(value, bool) or value is None:
        return {True: "`true`", False: "`false`", None: "`null`"}[value]
    if isinstance(value, list):
        return f"`[{', '.join(str(one) for one in value)}]`"
    if isinstance(value, str):
        return f"`{value}`" if value else "empty"
    return f"`{_number(value)}`"


def _line(description: str) -> str:
    return re.sub(r"\s+", " ", description).strip()


if __name__ == "__main__":
    Path(__file__).with_name("README.md").write_text(reference(), encoding="utf-8")
