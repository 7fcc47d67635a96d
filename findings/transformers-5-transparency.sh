#!/usr/bin/env bash
# transformers 5.24.0 and 4.57.3, Pillow 13.0.0
#
# Expected (from names and version 4; a first look showed otherwise, this script confirms it): one saved image processor
#   (CLIP's, do_convert_rgb true) gives a picture the same pixels in both versions. Transparent parts become whatever Pillow's
#   convert("RGB") makes of them, as in CLIP's own code and in open_clip.
# Observed: version 4 takes the hidden colour of the transparent parts, which is black in most files, and version 5 puts white
#   there; nothing warns. 20 different black icons on transparent ground are one all-black picture in version 4 and 20 pictures
#   in version 5; 20 white ones are 20 pictures in version 4 and one all-white picture in version 5. Files with RGBA, grey with
#   alpha and a palette behave alike, and opaque pictures have the same pixels in both.
# For a user of retrieval: all icons or logos of one colour get one embedding, and which colour that is changes with the update.
#   An index of product pictures from version 4 (or from open_clip) does not fit the queries of version 5. Put pictures with
#   transparency on a ground of your own choice before any processor sees them, in the index and in queries.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 4.57.3 5.24.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --no-compile --disable-pip-version-check transformers==$version pillow==13.0.0 numpy==2.4.6
done
cd "$work"
cat > look.py <<'PY'
import io
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from transformers import CLIPImageProcessor

warnings.filterwarnings("ignore")
name = sys.argv[1]
if not Path("encoder").is_dir():
    CLIPImageProcessor(do_convert_rgb=True).save_pretrained("encoder")
processor = CLIPImageProcessor.from_pretrained("encoder")
black, white = (0, 0, 0), (255, 255, 255)


def icon(n, ink, opacity):
    """A drawing of one colour. The hidden colour of the rest is black, as most programs write it."""
    picture = Image.new("RGBA", (256, 256), (*black, opacity))
    shape = (ImageDraw.Draw(picture).ellipse, ImageDraw.Draw(picture).rectangle)[n % 2]
    shape((20 + 4 * n, 30, 130 + 5 * n, 120 + 5 * n), outline=(*ink, 255), width=10 + n)
    return picture


def read(picture, kind):
    """What is read from a PNG file of this kind."""
    file = io.BytesIO()
    (picture.quantize() if kind == "P" else picture.convert(kind)).save(file, "PNG")
    return Image.open(io.BytesIO(file.getvalue()))


pixels = {}
for kind in ("RGBA", "LA", "P"):
    for title, ink in (("black", black), ("white", white)):
        pixels[f"{title}, {kind}"] = [processor(read(icon(n, ink, 0), kind), return_tensors="np")["pixel_values"][0] for n in range(20)]
pixels["white on opaque black"] = [processor(read(icon(n, white, 255), "RGB"), return_tensors="np")["pixel_values"][0] for n in range(20)]
np.savez(f"{name}.npz", **{title: np.array(some) for title, some in pixels.items()})
PY
for version in 4.57.3 5.24.0; do HF_HUB_OFFLINE=1 $version/bin/python look.py $version 2>/dev/null; done
5.24.0/bin/python - <<'PY'
import numpy as np

four, five = np.load("4.57.3.npz"), np.load("5.24.0.npz")
different = {}
for title in four:
    different[title] = tuple(len({one.tobytes() for one in some[title]}) for some in (four, five))
    changed = np.abs(four[title] - five[title]).max()
    print(f"20 icons, {title}: different inputs of the encoder in version 4: {different[title][0]}, in version 5: {different[title][1]}; largest change of a pixel {changed:.2f}")
for kind in ("RGBA", "LA", "P"):
    assert different[f"black, {kind}"] == (1, 20), "black icons are read alike by both versions now"
    assert different[f"white, {kind}"] == (20, 1), "white icons are read alike by both versions now"
assert np.abs(four["white on opaque black"] - five["white on opaque black"]).max() < 0.1, "opaque pictures differ too"
PY
