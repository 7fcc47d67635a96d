#!/usr/bin/env bash
# Pillow 13.0.0
#
# Expected (written before the run): convert("RGB") of a 16-bit grey picture scales 0..65535 to 0..255, as viewers show it.
# Observed: it cuts. Whatever is above 255 becomes white, so nearly every pixel of a scan, a depth map or a medical picture is
#   255; and a float picture of 0..1 becomes black. No warning. Image processors of CLIP and its kin call just this
#   conversion.
# For a user of retrieval: all such pictures get one and the same embedding (a white square), so they are nearest neighbours
#   of each other and of every blank page. Divide by 257 (or shift by 8 bits) before convert("RGB").
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import io

import numpy as np
from PIL import Image

ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
data = io.BytesIO()
Image.fromarray(ramp).save(data, "PNG")
picture = Image.open(data)
rgb = np.asarray(picture.convert("RGB"))[..., 0]
grey = np.asarray(picture.convert("L"))
scaled = np.asarray(Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB"))[..., 0]
zero_to_one = np.asarray(Image.fromarray((ramp / 65535).astype(np.float32)).convert("RGB"))[..., 0]
print(f"mode {picture.mode}; white pixels of a ramp from black to white: convert('RGB') {(rgb == 255).mean():.1%}, convert('L') {(grey == 255).mean():.1%}, shifted first {(scaled == 255).mean():.1%}")
print(f"the same ramp as floats of 0..1: brightest value {zero_to_one.max()}")
assert (rgb == 255).mean() > 0.99 and (grey == 255).mean() > 0.99, "Pillow scales 16-bit pictures now"
assert (scaled == 255).mean() < 0.01 and zero_to_one.max() <= 1
PY
