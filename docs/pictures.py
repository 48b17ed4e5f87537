"""Make the pictures of the documents: `python docs/pictures.py`.

Needs matplotlib (`pip install 'boostlora[figures]'`) and Chromium. Every picture holds, as text, the figures that it shows;
`tests/cli/test_documents.py` compares them with a fresh run.
"""

from __future__ import annotations

import argparse
import html
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PICTURES = HERE / "pictures"
QUICKSTART, STUDY = PICTURES / "quickstart.svg", PICTURES / "study.png"
FULL = 96.6
"""Test accuracy of full fine-tuning in percent, mean of five seeds: `docs/boosting.md`."""
BLUE, ORANGE, GREEN, TEXT, GRID = "#0072b2", "#d55e00", "#009e73", "#3d4045", "#e4e2dc"
STYLE: Any = {
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": "#8a8d93",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "legend.frameon": False,
    "svg.fonttype": "path",  # no font is needed to show it
    "svg.hashsalt": "boostlora",
}


def quickstart_figures(run: Path) -> list[list[float]]:
    """A row a round: round, accuracy on train and test in percent, smallest and largest rank of a site, and whether it refits."""
    rounds = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    return [
        [
            r["round"],
            round(100 * r["train"]["accuracy"], 1),
            round(100 * r["test"]["accuracy"], 1),
            min(r["rank"].values()),
            max(r["rank"].values()),
            int(bool(r["refit"])),
        ]
        for r in rounds
    ]


def study_figures(report: Path) -> list[str]:
    """The table of results, as the report in Markdown has it."""
    lines = report.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    table = lines[first:]
    return table[: next(i for i, line in enumerate([*table, ""]) if not line.startswith("|"))]


def draw_quickstart(rows: list[list[float]]) -> str:
    """Accuracy and rank of the quickstart, round by round, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    index, train, test, low, high, refit = zip(*rows, strict=True)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 2.9), layout="constrained", facecolor="white")
        accuracy, rank = figure.subplots(1, 2, sharex=True)
        accuracy.axhline(FULL, color=TEXT, linewidth=1, linestyle=(0, (4, 3)))
        accuracy.plot(index, train, color=ORANGE, marker="s", markersize=3, label="train")
        accuracy.plot(index, test, color=BLUE, marker="o", markersize=3.5, label="test")
        note = f"dashed: full fine-tuning, {FULL} on test"
        accuracy.text(index[-1], 84, note, ha="right", va="top", fontsize=8)
        accuracy.set(title="Accuracy, %", ylim=(0, 104), xlabel="Round")
        accuracy.legend(loc="lower right")
        rank.fill_between(index, low, high, color=GREEN, alpha=0.3, linewidth=0)
        rank.plot(index, high, color=GREEN, marker="o", markersize=3.5)
        for i, again in enumerate(refit):
            if again:
                rank.plot(index[i], high[i], "o", color="white", markeredgecolor=GREEN, markersize=6)
        rank.axhline(high[1], color=TEXT, linewidth=1, linestyle=(0, (4, 3)))
        rank.text(index[-1], high[1] + 1, "one adapter", ha="right", va="bottom", fontsize=8)
        rank.text(0.3, high[-1], "○ refit: no new directions", va="top", fontsize=8)
        rank.set(title="Rank of all updates, per weight", ylim=(0, None), xlabel="Round")
        for panel in (accuracy, rank):
            panel.title.set_fontsize(9.5)
            panel.set_xticks(range(0, int(index[-1]) + 1, 4))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    described = f"<desc>{html.escape(json.dumps(rows))}</desc>\n"
    return buffer.getvalue().replace(" <metadata>", f" {described} <metadata>", 1)


def photograph(page: Path, table: list[str]) -> bytes:
    """The top of a study's report in a browser, as PNG of few colours."""
    from PIL import Image, PngImagePlugin

    browser = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("Chromium is needed")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        size = ("--window-size=960,900", "--force-device-scale-factor=2")
        command = [browser, "--headless", "--no-sandbox", "--hide-scrollbars", *size, f"--screenshot={shot}"]
        subprocess.run([*command, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)
        page_top = Image.open(shot).convert("RGB").crop((0, 110, 1920, 1690))
        image = page_top.quantize(24, dither=Image.Dither.NONE)
    text, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_itxt("Description", json.dumps(table))
    image.save(buffer, format="png", optimize=True, pnginfo=text)
    return buffer.getvalue()


def embedded(picture: Path) -> Any:
    """The figures that a picture says it shows."""
    if picture.suffix == ".svg":
        return json.loads(html.unescape(re.search(r"<desc>(.*?)</desc>", picture.read_text())[1]))
    from PIL import Image

    with Image.open(picture) as image:
        return json.loads(image.info["Description"])


def main() -> None:
    """Run the quickstart and README's study in a folder that is thrown away, and make both pictures."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    spec = re.search(
        r"```toml\n(# file: question\.toml\n.*?)```", (HERE.parent / "README.md").read_text(), re.DOTALL
    )[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def boostlora(*words: str) -> None:
            program = Path(sys.executable).with_name("boostlora")
            subprocess.run([program, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)

        (folder / "question.toml").write_text(spec)
        boostlora("run", "quickstart")
        boostlora("ablate", "question.toml", "--set", "ablate.seeds=6")
        boostlora("report", "question")
        (run,) = (folder / "runs" / "quickstart").iterdir()
        report = folder / "runs" / "question" / "report"
        PICTURES.mkdir(exist_ok=True)
        QUICKSTART.write_text(draw_quickstart(quickstart_figures(run)))
        STUDY.write_bytes(photograph(report / "report.html", study_figures(report / "report.md")))


if __name__ == "__main__":
    main()
