"""The pages of a report: report.html to look at, report.json for programs, card.md to go with the model."""

from __future__ import annotations

from pathlib import Path

from training.expect import report as contents
from training.expect.pages.figures import figures
from training.expect.pages.html import page
from training.expect.pages.model_card import model_card
from training.expect.report import Report


def write_pages(report: Report, folder: Path) -> None:
    """Write report.html, report.json and card.md into a folder, which is made if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    contents.write(report, folder / "report.json")
    (folder / "report.html").write_text(page(report, figures(report)), encoding="utf-8")
    (folder / "card.md").write_text(model_card(report), encoding="utf-8")
