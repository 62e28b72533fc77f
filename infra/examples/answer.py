"""A delivered classifier of texts in onnxruntime and tokenizers alone: python answer.py DIR/model "a text" "more"."""

import json
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder, *texts = sys.argv[1:]
labels = json.load(open(f"{folder}/config.json", encoding="utf-8"))["id2label"]
session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
rows = Tokenizer.from_file(f"{folder}/tokenizer.json").encode_batch(texts)  # cut and padded as the model learned
given = {
    "input_ids": np.array([row.ids for row in rows], np.int64),
    "attention_mask": np.array([row.attention_mask for row in rows], np.int64),
    "token_type_ids": np.array([row.type_ids for row in rows], np.int64),
}
logits = session.run(None, {wanted.name: given[wanted.name] for wanted in session.get_inputs()})[0]
for text, row in zip(texts, logits, strict=True):
    print(labels[str(row.argmax())], (np.exp(row) / np.exp(row).sum()).round(4).tolist(), text)
