"""A model in a folder: safetensors, config and tokenizer. The one place where transformers loads and saves.

    from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
    model, tokenizer = load_model(folder), load_tokenizer(folder)

is the documented call, and the only way to load a checkpoint with heads or neurons removed; plain transformers loads
all others. Nothing here runs code from a model repository or opens a pickle.
"""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from hone.configs.model import ModelSettings
from hone.configs.recipe import Objective
from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.layers import architecture
from hone.tasks.model.architectures.shapes import apply_shape, shape_record
from hone.tasks.model.checkpoints.gguf import forget_blocks, gguf_arguments, weights_arguments
from hone.tasks.model.checkpoints.problems import LIBRARY_ERRORS, in_one_line
from hone.tasks.model.checkpoints.safety import (
    answers_with_tokens,
    check_config,
    check_finite,
    check_fit,
    check_kind,
    check_tokenizer,
    check_weights,
    takes_token_types,
)
from hone.tasks.model.checkpoints.source import gguf_file, resolve_source
from hone.tasks.objectives.learning import TASK, Learning, learning, learning_of

ATTENTION = "eager"  # pruning masks single heads and the exporter sees plain matrix products


def load_model(folder: Path) -> PreTrainedModel:
    """The model in a folder with the head that its config names, in evaluation mode and fp32; removed heads and neurons
    are gone.

    Raises:
        ModelError: when the folder holds no model, or weights that do not fit its config.
        UnsafeFileError: when it holds only a pickle, or asks to run code of its own.
    """
    config = check_config(folder)
    check_weights(folder)
    record = getattr(config, "hone", None)
    if record is None:
        model, missing = _from_pretrained(folder, config, learning_of(config))
        if missing:
            raise ModelError(
                f"{folder}: its weights do not fit its config: {_some(missing)} are missing or of another shape"
            )
        return model.eval()
    with torch.random.fork_rng(devices=[]):  # the weights drawn here are overwritten, and nobody else notices
        model = drawn(folder, config)
    apply_shape(model, record)
    try:
        files = [load_file(file) for file in sorted(folder.glob("*.safetensors"))]
        model.load_state_dict({name: value for file in files for name, value in file.items()})
    except LIBRARY_ERRORS as error:
        raise ModelError(f"{folder}: its weights do not fit its config: {in_one_line(error)}") from error
    return model.eval()


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder, or in a GGUF file.

    It gives token types only where the model beside it has several: many a RoBERTa and DistilBERT lies in one folder
    with BERT's tokenizer. A decoder's that has no padding token pads with its end of text.

    Raises:
        ModelError: when the folder holds none, or one that cannot pad.
    """
    tokenizer = _any_tokenizer(folder)
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{folder}: its tokenizer has no padding token: set pad_token in tokenizer_config.json")
    return tokenizer


def _any_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The same where it may have no padding token."""
    file = gguf_file(folder)
    if file is None:
        check_tokenizer(folder)
    place = {"pretrained_model_name_or_path": folder} if file is None else gguf_arguments(file)
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(**place, use_fast=True, trust_remote_code=False)
        except Exception as error:  # the tokenizers library raises no other
            raise ModelError(f"{folder}: its tokenizer cannot be loaded: {in_one_line(error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(f"{folder}: its tokenizer has no fast version: save it as tokenizer.json")
    described = file is not None or (folder / "config.json").is_file()
    if tokenizer.pad_token_id is None and described and architecture(check_config(folder).model_type).causal:
        tokenizer.pad_token = tokenizer.eos_token  # many a decoder has learned without padding: the mask hides it
    given = tokenizer.model_input_names
    if "token_type_ids" in given and described and not takes_token_types(check_config(folder)):
        tokenizer.model_input_names = [name for name in given if name != "token_type_ids"]
    return tokenizer


def load_task_tokenizer(folder: Path, task: Objective) -> PreTrainedTokenizerFast:
    """The tokenizer of an encoder that is to learn a task, as the checkpoint will have it.

    Raises: as `load_tokenizer`.
    """
    if task == "text-generation":
        return _writing_tokenizer(folder)
    tokenizer = load_tokenizer(folder)
    if learning(task).by_word:
        _read_words_as_in_a_text(tokenizer)
    return tokenizer


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes safetensors, config and tokenizer into `folder`, which is replaced if it is there. Shapes that the config
    cannot say (heads and neurons removed) go into `config.json` under `hone`."""
    if folder.exists():
        shutil.rmtree(folder)
    record = shape_record(model)
    if record is not None:
        model.config.hone = record
    elif hasattr(model.config, "hone"):
        del model.config.hone
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def load_pretrained(
    settings: ModelSettings, labels: list[str], seed: int, task: Objective
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The encoder that the settings name, with the task's head for the labels.

    A head that the source lacks, or that has another number of labels, is drawn with the seed; with
    `weights: random` so is everything else.

    Raises:
        ModelError: when it cannot be loaded or does not fit the task.
        UnsafeFileError: when it would take a pickle or code of the model's own.
    """
    objective = learning(task)
    folder = resolve_source(settings.source, settings.revision)
    config = check_config(folder)
    check_kind(settings.source, config, objective.auto_model)
    if settings.weights == "pretrained":
        check_weights(folder)
    tokenizer = load_task_tokenizer(folder, task)
    for name, value in {**objective.config_labels(labels), TASK: task}.items():
        setattr(config, name, value)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if settings.weights == "random":
            model = drawn(folder, config, objective)
        else:
            model, missing = _from_pretrained(folder, config, objective)
            body = [name for name in missing if name.startswith(f"{model.base_model_prefix}.") and "pooler" not in name]
            lacking = missing if answers_with_tokens(objective.auto_model) else body
            if lacking:  # a head for labels, or the pooler before it, may be new
                raise ModelError(
                    f"{folder}: its weights do not fit its config: {_some(lacking)} are missing or of another shape"
                )
            check_finite(folder, model)
    check_fit(settings.source, model, tokenizer, settings.max_length)
    model.config.architectures = [type(model).__name__]  # the source's may name another head, or none
    return model.eval(), tokenizer


def check_model(settings: ModelSettings, labels: list[str], task: Objective) -> dict[str, Any]:
    """Loads the encoder as training would, and returns facts about it: model_type, layers, width, parameters,
    vocabulary, max_positions (None where nothing limits them), labels.

    Raises:
        ModelError: when it cannot be loaded or does not fit the task.
        UnsafeFileError: when it would take a pickle or code of the model's own.
    """
    model, tokenizer = load_pretrained(settings, labels, 0, task)
    return check_fit(settings.source, model, tokenizer, settings.max_length)


def count_parameters(model: torch.nn.Module) -> tuple[int, int]:
    """Weights that are there, and those of them that are not exactly zero."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(int(torch.count_nonzero(p.detach())) for p in parameters)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers' load reports and progress bars off the terminal while the block lasts."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def drawn(folder: Path, config: PretrainedConfig, objective: Learning | None = None) -> PreTrainedModel:
    """A model of this config in fp32, with weights drawn at random.

    Args:
        folder: of the config, as errors name it.
        objective: whose head it has; None: that which the config names.
    """
    auto_model = (objective or learning_of(config)).auto_model
    try:
        with quiet():
            model: PreTrainedModel = auto_model.from_config(config, attn_implementation=ATTENTION)
    except LIBRARY_ERRORS as error:
        raise ModelError(f"{folder / 'config.json'}: no model can be built of it: {in_one_line(error)}") from error
    return model.float()


def _writing_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a decoder. Many have no padding token, and the boundary token serves, as padding is masked; none
    takes token types."""
    tokenizer = _any_tokenizer(folder)
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"{folder}: its tokenizer has no end-of-sequence token, by which documents are parted: set eos_token in "
            "tokenizer_config.json"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    return tokenizer


def _read_words_as_in_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    """Has a byte-level tokenizer, such as RoBERTa's, put a blank before a word that comes alone: inside a text, where
    the encoder learned it, there is one. It is saved with the tokenizer."""
    before = tokenizer.backend_tokenizer.pre_tokenizer
    if isinstance(before, ByteLevel) and not before.add_prefix_space:
        before.add_prefix_space = True
        tokenizer.init_kwargs["add_prefix_space"] = True
        if hasattr(tokenizer, "add_prefix_space"):  # what some classes save in its place
            tokenizer.add_prefix_space = True


def _from_pretrained(folder: Path, config: PretrainedConfig, objective: Learning) -> tuple[PreTrainedModel, list[str]]:
    """The model in fp32, and the names of the weights that were not there and were drawn instead."""
    file = gguf_file(folder)
    place = {"pretrained_model_name_or_path": folder} if file is None else weights_arguments(file)
    try:
        with quiet(), _without_bars(file is not None):
            model, report = objective.auto_model.from_pretrained(
                **place,
                config=config,
                attn_implementation=ATTENTION,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except LIBRARY_ERRORS as error:
        raise ModelError(
            f"{folder}: its weights cannot be loaded: {in_one_line(error)}: if a file is damaged or cut short, copy it "
            "again"
        ) from error
    if file is not None:
        forget_blocks(model)
    mismatched = [entry[0] for entry in report["mismatched_keys"]]
    return model, sorted({*report["missing_keys"], *mismatched})


@contextmanager
def _without_bars(hidden: bool) -> Iterator[None]:
    """Hides what is written to the error stream: the progress bar over a GGUF file's tensors cannot be turned off."""
    if not hidden:
        yield
        return
    with redirect_stderr(io.StringIO()):
        yield


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
