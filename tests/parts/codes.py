"""QR codes as a telephone sees them: of a picture, and of a page of a PDF."""

from __future__ import annotations

import io
from pathlib import Path

import pypdfium2
import zxingcpp
from PIL import Image


def codes_in_picture(png: bytes) -> list[str]:
    """What the codes of a picture say."""
    with Image.open(io.BytesIO(png)) as image:
        return [found.text for found in zxingcpp.read_barcodes(image.convert("L"))]


def codes_in_pdf(path: Path, page: int = 0) -> list[str]:
    """What the codes on a page of a PDF say, drawn with 144 dots an inch."""
    with pypdfium2.PdfDocument(path) as pdf:
        drawn = pdf[page].render(scale=2).to_pil()
    return [found.text for found in zxingcpp.read_barcodes(drawn.convert("L"))]
