"""The page in Chromium, for the tests."""

import base64
import io
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from playwright.sync_api import expect

CHROMIUM = Path("/usr/bin/chromium")
PACKAGES = ("chromium", "fonts-dejavu-core")
# the event of a browser when files are dropped on an element
DROP = """([files, place]) => {
  const data = new DataTransfer();
  for (const [name, type, text] of files) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], name, {type}));
  }
  const what = {dataTransfer: data, bubbles: true, cancelable: true};
  document.querySelector(place).dispatchEvent(new DragEvent("drop", what));
}"""


def install_chromium():
    """Install Chromium if possible; the reason if not, else an empty text."""
    if CHROMIUM.exists():
        return ""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"Debian packages are missing: {', '.join(PACKAGES)}"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", "-qq", *arguments], env=environment, check=False, timeout=280)
    return "" if CHROMIUM.exists() else f"apt-get could not install {', '.join(PACKAGES)}"


class PageDriver:
    """Drives the page of a server, and records its errors and requests.

    Args:
        page: The page of Playwright.
        address: The address of the server.
    """

    def __init__(self, page, address):
        self.page, self.address = page, address
        self.errors, self.requests = [], []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(address)
        expect(page.locator("#bundle")).not_to_have_text("…", timeout=15_000)

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def drop(self, *files):
        """Drop files, (name, type, bytes), on the image."""
        encoded = [[name, kind, base64.b64encode(data).decode()] for name, kind, data in files]
        self.page.evaluate(DROP, [encoded, "#field"])

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def wait_for_text(self, selector, text):
        expect(self.page.locator(selector)).to_contain_text(text, timeout=15_000)

    def tool(self, name):
        self.page.locator(f"label:has(input[value={name}])").click()

    def position(self, row, col, shape):
        """The screen position of an image position; the image must be fitted to the view."""
        box = self.page.locator("#view").bounding_box()
        scale = min(box["width"] / shape[1], box["height"] / shape[0])
        left = box["x"] + (box["width"] - scale * shape[1]) / 2
        top = box["y"] + (box["height"] - scale * shape[0]) / 2
        return left + scale * col, top + scale * row

    def drag(self, start, end, steps=6):
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(*end, steps=steps)
        mouse.up()

    def download(self, selector):
        """Name and bytes of the file that a button saves."""
        with self.page.expect_download() as event:
            self.page.locator(selector).click()
        return event.value.suggested_filename, Path(event.value.path()).read_bytes()

    def pixels(self):
        """A screenshot of the image area, (rows, columns, 3)."""
        shown = self.page.locator("#view").screenshot()
        return np.asarray(PilImage.open(io.BytesIO(shown)).convert("RGB"))
