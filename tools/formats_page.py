"""The page ``docs/formats.md``: what is accepted, kept, changed and refused, from the table of ``tests/corpus``."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from tests.corpus.operations import OPERATIONS
from tests.corpus.table import ROWS

if TYPE_CHECKING:
    from tests.corpus.row import Row

_HEAD = """# Formats

{generated}

What the worker makes of files as cameras, phones, browsers, editors and generators write them. Each row is a file of
the corpus (`tests/corpus/`), which is tried with every operation on videos:
{operations}.
Frames are compared one by one: their number, order, rate, length, colors and tags, the audio's place beside them, and
the sentences of the answer.

- **kept**: every frame once and at its time, and audio in step;
- **changed**: likewise, with what the last column says. Sentences in quotes are `warnings` of the answer; N is a
  number;
- **refused**: an error with code `invalid_media` and the quoted sentence.

Outputs are MP4 (H.264, AAC), WebM (VP9, Opus) or GIF, with 8 bits per color and 4:2:0. Transparent pixels are put on
black, unless `keep_alpha` is true: then `extract_frames` makes RGBA images, and `export` a WebM file with alpha
(`yuva420p`, which browsers and editors composite). Colors are straight, not multiplied by alpha. `save_video` keeps
the file byte for byte, and `loop` and `join` copy packets of H.264 where they can. A GIF shows all frames of rates up
to a limit, from 10 frames per second (quality 0) over 27 (the default quality) to 30 (100), and of rates up to an
eighth above it, such as 30 at the default quality. Of higher rates every second, third or fourth frame and so on is
kept, and a warning counts those that were left out. To add a row: `tests/corpus/row.py` says what it declares.

What no sentence tells:

- The last frame ends where the rate has a frame, up to 50 ms before or after the time that the file says.
- The last frame of a TS file that was cut between two of its packets may be damaged in its lower part. The file does
  not say how long the frame is; mostly, the decoder notices it, but not with H.265 (HEVC).
- Where a copy without encoding ended between frames that are decoded in another order, and its times are those of
  decoding (AVI, and MP4 made from it), frames after the missing ones follow at once.
- FFmpeg's copy into AVI keeps the slots of a higher rate; outputs have that rate, and repeat frames.
"""


def formats_page(generated: str) -> str:
    """The page; ``generated`` says that it is."""
    operations = ", ".join(f"`{name}`" for name in dict.fromkeys(operation.endpoint for operation in OPERATIONS))
    parts = [_HEAD.format(generated=generated, operations=operations)]
    for kind, rows in groupby(ROWS, key=lambda row: row.kind):
        table = [f"| {row.says} | {_outcome(row)} | {_words(row)} |" for row in rows]
        parts.append("\n".join([f"## {kind}\n", "| file | | |", "|---|---|---|", *table, ""]))
    return "\n".join(parts)


def _outcome(row: Row) -> str:
    if row.refused is not None:
        return "**refused**"
    said = [*row.warnings, *row.on_decoding, *(each for texts in row.in_operations.values() for each in texts)]
    return "changed" if said or row.note else "kept"


def _words(row: Row) -> str:
    """The note, and each sentence once; those of some operations only, with their names."""
    words = [row.note] if row.note else []
    everywhere = [*([row.refused] if row.refused else []), *row.warnings, *row.on_decoding]
    words += [_quoted(sentence) for sentence in everywhere]
    own: dict[str, list[str]] = {}
    for name, sentences in (*row.in_operations.items(), *((name, (text,)) for name, text in row.refused_in.items())):
        for sentence in sentences:
            own.setdefault(sentence, []).append(name)
    words += [f"{', '.join(names)}: {_quoted(sentence)}" for sentence, names in own.items()]
    words += [f"{name}: {reason}" for name, reason in row.differs.items()]
    return "; ".join(words)


def _quoted(sentence: str) -> str:
    return f'"{sentence.replace("#", "N")}"'
