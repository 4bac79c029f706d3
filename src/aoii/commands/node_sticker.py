"""The label of a node for its box: number, name, place and their QR code, in the terminal or as SVG; never a key."""

import html
import sys
from pathlib import Path

import segno

from aoii.commands import node_files
from aoii.commands.node_files import NodeFiles
from aoii.core.errors import InputError, UnavailableError
from aoii.gateway import node_labels

WIDTH_MM, HEIGHT_MM = 60, 25  # a common size of stickers
TEXT_AT_MM = 25
LINE_MM = 6.5
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}">
<rect width="{width}" height="{height}" fill="#fff"/>
<g transform="translate(2 2) scale({scale})">{code}</g>
{texts}
</svg>
"""
TEXT = '<text x="{x}" y="{y}" font-family="sans-serif" font-size="{size}"{fit}>{text}</text>'


def print_label(env_file: Path | None, text: str, svg: Path | None) -> None:
    """Print the label of a node, or write it as SVG.

    Args:
        env_file: The file of settings.
        text: The node's number or name.
        svg: The file to write; None: print it.

    Raises:
        InputError: There is no such node.
        UnavailableError: The file cannot be written.
    """
    files = NodeFiles(node_files.load(env_file).gateway)
    node = node_labels.find(files.labels, text)
    if node not in files.labels and not (node.isdecimal() and int(node) in files.keys):
        raise InputError(f"there is no node {node}", "run `aoii node list` to see the nodes")
    label = files.label(node)
    lines = [one for one in (label.name, f"node {node}", label.place) if one is not None]
    code = segno.make("\n".join(["aoii", *lines]), micro=False, error="m", encoding="utf-8")
    if svg is None:
        code.terminal(sys.stdout, compact=True)
        print("\n".join(lines))
        return
    try:
        svg.write_text(svg_of(code, lines), encoding="utf-8")
    except OSError as error:
        raise UnavailableError(f"{svg}: cannot be written ({error.strerror})", "name another file") from error
    print(f"the label of {node_labels.titled(node, label)} is in {svg}")


def svg_of(code: segno.QRCode, lines: list[str]) -> str:
    """The label as SVG.

    Args:
        code: Its QR code.
        lines: Its texts, the first one large.
    """
    texts = []
    for at, line in enumerate(lines):
        size = 5 if at == 0 else 4
        room = WIDTH_MM - TEXT_AT_MM - 2
        # Letters are at most as wide as high; the file does not know the font, so a long line is fitted.
        fit = f' textLength="{room}" lengthAdjust="spacingAndGlyphs"' if len(line) * size > room * 1.6 else ""
        y = 8 + LINE_MM * at
        texts.append(TEXT.format(x=TEXT_AT_MM, y=y, size=size, fit=fit, text=html.escape(line)))
    modules = code.symbol_size(border=0)[0]
    return SVG.format(
        width=WIDTH_MM,
        height=HEIGHT_MM,
        scale=round((HEIGHT_MM - 4) / modules, 4),
        code=code.svg_inline(border=0),
        texts="\n".join(texts),
    )
