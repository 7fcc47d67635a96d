"""`babelmix encoders export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babelmix.cli.options import JsonOption, TrustOption


def export(
    model: Annotated[str, typer.Argument(help="The encoder: see `babelmix encoders`.", metavar="MODEL")],
    to: Annotated[Path, typer.Option("--to", help="The folder to write.", metavar="FOLDER")],
    backend: Annotated[
        str,
        typer.Option(
            help="What is to run it: onnx or openvino (int8), onnx-fp32 or openvino-fp32 (float32), or auto: the fastest whose "
            "audit agrees with float32.",
            metavar="NAME",
        ),
    ] = "auto",
    max_seq_length: Annotated[int, typer.Option(min=0, help="Tokens a text; 0: the encoder's own limit.")] = 0,
    revision: Annotated[str, typer.Option(help="Of a hub model.")] = "",
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Export an encoder into a folder that runs without torch, as on a small machine that searches and serves.

    There, name the folder: `babelmix serve INDEX --model FOLDER`.
    """
    from babelmix.errors import require_train

    require_train("An export")
    from babelmix.api import exporting
    from babelmix.cli.output import show

    made = exporting.export_model(
        model,
        to,
        backend=backend,
        max_seq_length=max_seq_length or None,
        revision=revision or None,
        trust_code=trust_code,
    )
    show(made, json_output)
