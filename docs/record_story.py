"""Record the moving picture of the README: one graph's story from its opening to its check.

Usage: python docs/record_story.py
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Frame, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.browser.conftest import CHROMIUM, FLAGS, server
from tests.browser.test_graph import first_feature, graph_frame, open_tab, point_of

TARGET = Path(__file__).resolve().parent / "story.webp"
SIZE = {"width": 1280, "height": 760}
WIDTH = 1024
"""Pixels of the picture that is kept; the window has more."""
MOST_BYTES = 3_000_000


class Film:
    """Frames and how long each is shown."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.milliseconds: list[int] = []

    def shoot(self, milliseconds: int, times: int = 1) -> None:
        """Take frames, each shown for some time; what moves is seen in several."""
        for _ in range(times):
            shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
            height = round(shot.height * WIDTH / shot.width)
            self.frames.append(shot.resize((WIDTH, height), Image.Resampling.LANCZOS))
            self.milliseconds.append(milliseconds)

    def save(self, path: Path) -> None:
        """Write the frames as an animated WebP file.

        Raises:
            ValueError: If it would be too large for a front page.
        """
        first, *more = self.frames
        file = io.BytesIO()
        first.save(
            file,
            "WEBP",
            save_all=True,
            append_images=more,
            duration=self.milliseconds,
            loop=0,
            quality=72,
            method=5,
        )
        if file.tell() > MOST_BYTES:
            raise ValueError(
                f"The recording has {file.tell():,} bytes; {MOST_BYTES:,} are allowed."
            )
        path.write_bytes(file.getvalue())
        seconds = sum(self.milliseconds) / 1000
        print(f"{path.name}: {len(self.frames)} frames, {seconds:.0f} s, {file.tell():,} bytes")


def play(film: Film, page: Page, frame: Frame) -> None:
    """Go through the story as a reader would."""
    film.shoot(2600)
    frame.get_by_role("button", name="Show path").click()
    page.wait_for_timeout(700)
    film.shoot(2400)
    frame.get_by_role("button", name="Show path").click()
    frame.get_by_role("button", name="Show heads").click()
    page.get_by_role("heading", name="Inside the edge").wait_for()
    page.wait_for_timeout(1500)
    film.shoot(2800)
    open_tab(frame, "Card")
    frame.get_by_role("button", name="Check it").click()
    film.shoot(120, times=6)
    page.wait_for_timeout(800)
    film.shoot(3000)
    frame.get_by_role("button", name="Check it").click()
    name = first_feature(frame)
    page.mouse.move(*point_of(frame, name), steps=4)
    page.wait_for_timeout(600)
    film.shoot(2400)
    page.mouse.click(*point_of(frame, name))
    open_tab(frame, "Connections")
    page.wait_for_timeout(1500)
    film.shoot(2600)
    open_tab(frame, "Intervene")
    page.get_by_role("button", name="Apply").wait_for()
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Apply").click()
    page.wait_for_timeout(3500)
    film.shoot(3200)


def main() -> None:
    """Record and save."""
    with server() as url, sync_playwright() as playwright:
        path = CHROMIUM if CHROMIUM.is_file() else None
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(f"{url}/graph")
        frame = graph_frame(page)
        page.wait_for_timeout(3000)
        film = Film(page)
        play(film, page, frame)
        film.save(TARGET)
        browser.close()


if __name__ == "__main__":
    main()
