#!/bin/sh
# Installs this checkout into .venv with the ONNX Runtime that fits the machine: on x86-64 Linux where nvidia-smi
# answers the one for NVIDIA GPUs, if it really runs a model there; everywhere else the one for the CPU.
set -eu
python=.venv/bin/python

pip() {
    "$python" -m pip --disable-pip-version-check --quiet "$@"
}

# install cpu|gpu NOT_WANTED: the two runtimes are one Python package and break each other, so both go before a change.
install() {
    if pip show "$2" >/dev/null 2>&1; then
        pip uninstall --yes onnxruntime onnxruntime-gpu 2>/dev/null
    fi
    pip install --constraint constraints.txt --editable ".[$1]"
}

gpu_runs_a_model() {
    ORT_DISABLE_TELEMETRY=1 "$python" - <<'END'
import sys
import onnxruntime
onnxruntime.preload_dlls()
model = onnxruntime.InferenceSession("models/yamnet/yamnet.onnx", providers=["CUDAExecutionProvider"])
sys.exit("CUDAExecutionProvider" not in model.get_providers())
END
}

if [ "$(uname -sm)" = "Linux x86_64" ] && nvidia-smi >/dev/null 2>&1; then
    echo "set-up: an NVIDIA GPU answers, installing onnxruntime-gpu (CUDA and cuDNN come with it: a large download)"
    if install gpu onnxruntime && gpu_runs_a_model; then
        exit 0
    fi
    echo "set-up: onnxruntime-gpu can't be installed or can't use this GPU (see above); falling back to the CPU"
fi
install cpu onnxruntime-gpu
