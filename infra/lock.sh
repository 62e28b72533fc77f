#!/usr/bin/env bash
# Resolves pyproject.toml into infra/requirements.lock: exact versions for every platform Hone runs on.
# CUDA's own packages are left out on purpose: the CUDA build of torch names them exactly, the CPU build does not want them.
set -euo pipefail
cd "$(dirname "$0")/.."
# All but smollm2, whose package is 93 MB that one recipe needs.
extras=(--extra quickstart --extra gguf --extra lora --extra generation --extra servers --extra dev)
.venv/bin/uv pip compile pyproject.toml "${extras[@]}" --universal --python-version 3.11 --no-header --no-annotate \
    --no-emit-package setuptools "$@" \
  | grep -vE '^(nvidia-|cuda-|triton==)' > infra/requirements.lock.new
mv infra/requirements.lock.new infra/requirements.lock
