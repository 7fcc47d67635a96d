"""Documents with parts that scripts write, between the comments `<!-- NAME -->` and `<!-- /NAME -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path


def write(file: Path, parts: Mapping[str, str]) -> None:
    """Replace marked parts of a document. The script ends with an error if the document lacks one of them."""
    text = file.read_text(encoding="utf-8")
    for name, content in parts.items():
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{file.name} has no part marked {name!r}")
        text = pattern.sub(lambda match, content=content: match.group(1) + content + "\n" + match.group(2), text)
    file.write_text(text, encoding="utf-8")
