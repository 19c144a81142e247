"""How the pages of a PDF are drawn, as a version: ours, the library's, the font's. Another one draws other pages.

It stands in the header of the content, so that the code covers it: a file cannot be made to say that another version
drew it. Imports no library that draws.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

from contract.errors import StartError

LAYOUT = 2
"""Of the pages as `pdf_file` and `pdf_page` draw them; one more with every change of what stands where."""
FETCHED = Path(__file__).parent.parent / "web" / "static" / "vendor" / "NotoSansSC-Regular.ttf"
SYSTEM = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")


def find_font() -> Path:
    """The font to embed. Raises StartError where there is none: Chinese text would be lost without."""
    for path in (FETCHED, SYSTEM):
        if path.is_file():
            return path
    raise StartError(
        f"{FETCHED}: got no font, want one. Run `make assets`, or install the package fonts-noto-cjk. "
        "CSV and XLSX need none."
    )


@cache
def drawn_by() -> str:
    """`2 fpdf2-2.8.9 font-1a2b3c4d`: what draws pages here; '' where nothing can."""
    try:
        font = find_font()
    except StartError:
        return ""
    with font.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{LAYOUT} fpdf2-{version('fpdf2')} font-{digest[:8]}"
