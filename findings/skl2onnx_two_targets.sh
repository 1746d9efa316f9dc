#!/usr/bin/env bash
# A regressor with two targets answers with twice the rows and one column.
#
# Versions: skl2onnx 1.20.0, scikit-learn 1.9.1, onnxruntime 1.32.0, numpy 2.4.6
# Behaviour: An MLPRegressor that was fitted to N targets is written with a last Reshape to
#   [-1, 1]. Three samples of two targets come out as [6, 1], where scikit-learn gives [3, 2].
#   LinearRegression, fitted to the same targets, keeps [3, 2].
# Seen:
#   MLPRegressor: scikit-learn (3, 2), file (6, 1), same numbers in the same order
#   LinearRegression: scikit-learn (3, 2), file (3, 2)
# Why it matters: With one sample at a time, as on a board, the values are right and nothing
#   looks wrong; with a batch, indexing the rows gives sample 0's second target for sample 1,
#   and comparing against labels [N, 1] or taking the first N rows passes without an error of
#   shape. The file declares its output as [?, 1], so a generator sizes the last layer's
#   output as one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check skl2onnx==1.20.0 scikit-learn==1.9.1 \
  onnxruntime==1.32.0 numpy==2.4.6
env/bin/python - 2>log <<'PROGRAM' || { cat log; exit 1; }
import numpy as np
import onnxruntime as ort
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 4)).astype("float32")
y = np.stack([x.sum(axis=1), x[:, 0]], axis=1)
shapes = {}
for model in (MLPRegressor(hidden_layer_sizes=(5,), random_state=0), LinearRegression()):
    model.fit(x, y)
    there = model.predict(x[:3])
    file = to_onnx(model, x[:1])
    [here] = ort.InferenceSession(file.SerializeToString()).run(None, {"X": x[:3]})
    np.testing.assert_allclose(here.ravel(), there.ravel(), rtol=1e-4, atol=1e-5)
    name = type(model).__name__
    shapes[name] = (there.shape, here.shape)
    print(f"{name}: scikit-learn {there.shape}, file {here.shape}", end="")
    print("" if there.shape == here.shape else ", same numbers in the same order")
assert shapes == {
    "MLPRegressor": ((3, 2), (6, 1)),
    "LinearRegression": ((3, 2), (3, 2)),
}
PROGRAM
