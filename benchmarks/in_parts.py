"""The command line of a script that measures several things, each on its own or all in turn."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path


def asked(doc: str | None, parts: Collection[str], blocks: int) -> argparse.Namespace:
    """Return ``parts``, ``blocks`` and ``json`` as the user gave them.

    Parameters
    ----------
    doc
        The script's docstring.
    parts
        What there is to measure; all of it where nothing is named.
    blocks
        How many samples of each side, unless said.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"{', '.join(parts)} (all)")
    parser.add_argument(
        "--blocks", type=int, default=blocks, help=f"samples of each side ({blocks})"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    if strangers := sorted(set(given.parts) - set(parts)):
        parser.error(f"no part {', '.join(strangers)}: there are {', '.join(parts)}")
    given.parts = given.parts or list(parts)
    return given
