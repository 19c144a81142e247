"""`weizhan export verify`: whether the content of an export matches its code, and whether this ledger knows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import errors
from contract.errors import ConfigError, WeizhanError

if TYPE_CHECKING:
    from gateway.exports.page_texts import Drawing

app = typer.Typer(no_args_is_help=True, help="Exports that were handed out.")


class NotWhole(WeizhanError):
    """The content of a file is not what its code says, or nobody handed it out."""


@app.callback()
def _group() -> None:
    """Exports that were handed out."""


@app.command("verify")
def export_verify(
    file: Annotated[Path, typer.Argument(help="The export: CSV, XLSX or PDF.")],
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="A gateway's data folder: also ask its audit chain for the code.")
    ] = None,
) -> None:
    """Read an export back and compare its content with its code. Needs no network; without --data-dir, no ledger."""
    with errors():
        print(verify_export(file, data_dir))


def told_of(drawing: Drawing) -> str:
    """What is known of pages that another version drew."""
    by = f"by another version ({drawing.version})" if drawing.version else "by an earlier version"
    told = f"Its pages were drawn {by}, so the drawing itself was not compared. "
    if not drawing.absent:
        return told + f"All {drawing.texts} texts of the content are on them."
    return told + (
        f"{drawing.absent} of the {drawing.texts} texts of the content are not on them, the first: {drawing.first!r}. "
        "Rely on the content (the attached content.jsonl), or ask for the export again."
    )


def verify_export(file: Path, data_dir: Path | None) -> str:
    """The sentences to print.

    Raises:
        BadExport: the file is no export. NotWhole: its content was changed, or the chain does not know its code.
        ConfigError: there is no ledger. RetryLater: it cannot be read now.
    """
    from gateway.exports.checking import check_file
    from gateway.ledger.store import FILE
    from gateway.web.ledger import WebLedger

    found = check_file(file)
    if not found.is_whole:
        where = f" It differs on {found.where}." if found.where else ""
        raise NotWhole(
            f"{file}: the content has the code {found.found}, and the file says {found.stated or 'none'}.{where} "
            "It was changed after it was made."
        )
    said = [
        f"{file}: the content matches its code.",
        *(() if found.drawing is None else (told_of(found.drawing),)),
        f"{found.header.title} · made {found.header.made}",
        f"Code: {found.found}",
        f"Head of the audit chain then: {found.header.head}",
    ]
    if data_dir is not None:
        if not (data_dir / FILE).is_file():
            raise ConfigError(f"{data_dir / FILE}: got no ledger, want one. Name the gateway's data folder.")
        ledger = WebLedger(data_dir / FILE)
        try:
            rows = ledger.export_rows(found.found)
        finally:
            ledger.close()
        if not rows:
            raise NotWhole(
                f"{file}: the content matches its code, but the audit chain of {data_dir} has no export with it. "
                "It comes from another system, or was made up."
            )
        said += [f"Audit row {number}: handed out to {who}." for number, _, who, _ in rows]
    return "\n".join(said)
