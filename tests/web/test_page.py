"""The page in a real Chromium, against a real server."""

import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from playwright.sync_api import expect, sync_playwright

from .browser import CHROMIUM, OurPage, install_chromium
from .serving import Served, phantom_png

SHAPE = (400, 500)
AMBER = (240, 168, 28)
# where to leave screenshots to look at, if anywhere
SHOTS = os.environ.get("SURAKSHA_SHOTS")


@pytest.fixture(scope="module")
def browser():
    why = install_chromium()
    if why:
        pytest.skip(why)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        made = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield made
        made.close()


@pytest.fixture(scope="module")
def image():
    return phantom_png(shape=SHAPE)


DESKTOP, PHONE = (1280, 860), (390, 844)
both_sizes = pytest.mark.parametrize(
    "size", [DESKTOP, PHONE], indirect=True, ids=["desktop", "phone"]
)


@pytest.fixture
def size(request):
    return getattr(request, "param", DESKTOP)


@pytest.fixture
def ours(browser, served, size):
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        accept_downloads=True,
        reduced_motion="reduce",
    )
    context.set_default_timeout(15_000)
    made = OurPage(context.new_page(), served.address)
    yield made
    assert made.faults == []
    own = (served.address, "blob:" + served.address)
    assert [url for url in made.calls if not url.startswith(own)] == []
    context.close()


def shot(ours, name):
    if SHOTS:
        width = ours.page.viewport_size["width"]
        ours.page.screenshot(path=Path(SHOTS) / f"{name}-{width}.png", full_page=width < 500)


def is_accessible(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ] == []


def amber_pixels(ours):
    shown = ours.pixels()[..., :3].astype(int)
    return int((np.abs(shown - AMBER).max(axis=2) < 25).sum())


def area(ours):
    """Of the first lesion, as the table tells it."""
    return int(re.match(r"\d+", ours.page.locator("#lesions td").nth(2).inner_text())[0])


def opened(ours, image):
    ours.drop(("Doe^Jane.png", "image/png", image))
    ours.wait_for_text("#status", "Found: 1 lesion")


@both_sizes
def test_an_empty_page_says_what_it_is(ours):
    assert "Research use only" in ours.text("header")
    assert ours.text("#bundle") == "suraksha-lite"
    assert ours.page.locator("#choose").is_visible()
    assert is_accessible(ours.page)
    shot(ours, "empty")
    wide = ours.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "nothing is cut off or scrolls sideways"


@both_sizes
def test_a_dropped_image_shows_its_contour_and_its_numbers(ours, image, served):
    opened(ours, image)
    assert amber_pixels(ours) > 300
    assert re.search(r"\d+ . \d+ px", ours.text("#lesions"))
    assert "Lengths are in pixels" in ours.text("#scale-note")
    ours.page.fill("#spacing", "0.1")
    ours.page.click("#spacing-set")
    ours.wait_for_text("#lesions", "mm")
    assert re.search(r"\d+\.\d . \d+\.\d mm", ours.text("#lesions"))
    assert "by the network" in ours.text("#origin")
    assert "Research use only" in ours.text("header")
    assert is_accessible(ours.page)
    shot(ours, "image")
    assert "Doe" not in served.log


def test_the_contour_is_corrected_and_the_numbers_follow(ours, image):
    opened(ours, image)
    before = area(ours)
    box = ours.page.locator("#lesions td").first
    assert box.is_visible()
    record = json.loads(ours.saved("[data-kind=json]")[1])
    row, col = max(record["contours"][0], key=lambda point: point[1])
    ours.tool("contour")
    shot(ours, "handles")
    ours.drag(ours.place(row, col, SHAPE), ours.place(row, col + 60, SHAPE))
    ours.wait_for_text("#status", "Corrected: 1 lesion")
    pulled = area(ours)
    assert pulled > before * 1.03
    assert "corrected by you" in ours.text("#origin")
    shot(ours, "corrected")

    ours.page.keyboard.press("b")
    ours.drag(ours.place(row, col + 40, SHAPE), ours.place(row + 60, col + 40, SHAPE))
    expect(ours.page.locator("#lesions td").nth(2)).not_to_have_text(f"{pulled} px")
    assert area(ours) > pulled
    ours.page.keyboard.press("Control+z")
    ours.wait_for_text("#lesions", str(pulled))
    ours.page.keyboard.press("Control+z")
    ours.wait_for_text("#origin", "by the network")
    assert area(ours) == before
    ours.page.keyboard.press("Control+Shift+Z")
    ours.wait_for_text("#lesions", str(pulled))

    name, content = ours.saved("#save-correction")
    correction = json.loads(content)
    assert name == "suraksha-correction.json"
    assert correction["corrected"] is True
    assert correction["lesions"][0]["area_px"] == pulled
    with PilImage.open(io.BytesIO(ours.saved("[data-kind=mask]")[1])) as mask:
        assert np.count_nonzero(np.asarray(mask)) == pulled
    ours.page.click("#reset")
    ours.wait_for_text("#origin", "by the network")
    assert area(ours) == before


def test_window_zoom_calipers_and_maps(ours, image):
    opened(ours, image)
    grey = ours.pixels()[..., 0].mean()
    ours.drag(ours.place(50, 50, SHAPE), ours.place(150, 50, SHAPE))
    assert ours.pixels()[..., 0].mean() > grey + 5, "a lower level is brighter"
    ours.page.keyboard.press("0")
    ours.tool("caliper")
    ours.drag(ours.place(100, 100, SHAPE), ours.place(100, 300, SHAPE))
    ours.wait_for_text("#status", "px, for the scale is not known")
    assert float(re.search(r"[\d.]+", ours.text("#status"))[0]) == pytest.approx(200, abs=1.5)
    ours.page.fill("#spacing", "0.05")
    ours.page.click("#spacing-set")
    ours.wait_for_text("#scale-note", "0.05")
    ours.drag(ours.place(100, 100, SHAPE), ours.place(100, 300, SHAPE))
    ours.wait_for_text("#status", "mm.")
    assert float(re.search(r"[\d.]+", ours.text("#status"))[0]) == pytest.approx(10, abs=0.1)
    ours.page.select_option("#map", "skip1")
    ours.page.wait_for_timeout(200)
    shown = ours.pixels()[..., :3].astype(int)
    assert (shown.max(axis=2) - shown.min(axis=2)).mean() > 20, "the map is in colour"
    shot(ours, "map")
    ours.page.click("#zoom-in")
    ours.page.mouse.wheel(0, -400)
    shot(ours, "zoomed")


def test_the_keyboard_alone_paints(ours, image):
    ours.page.set_input_files("#files", {"name": "a.png", "mimeType": "image/png", "buffer": image})
    ours.wait_for_text("#status", "Found: 1 lesion")
    before = area(ours)
    ours.page.focus("#view")
    for key in ["b", *["Shift+ArrowUp"] * 16, "Enter", *["Shift+ArrowRight"] * 5, "Enter"]:
        ours.page.keyboard.press(key)
    ours.wait_for_text("#status", "Corrected: 2 lesions")
    assert area(ours) == before
    ours.page.keyboard.press("?")
    assert ours.page.locator("#help").is_visible()
    assert is_accessible(ours.page)
    shot(ours, "help")
    ours.page.keyboard.press("Escape")
    assert not ours.page.locator("#help").is_visible()


@both_sizes
def test_dicom_is_measured_in_its_own_scale_and_exported(ours, dicom):
    from pydicom import dcmread

    ours.drop(("us.dcm", "application/dicom", dicom))
    ours.wait_for_text("#status", "Found: 1 lesion")
    assert re.search(r"\d+\.\d . \d+\.\d mm", ours.text("#lesions"))
    assert "mm per pixel" in ours.text("#scale-note")
    shot(ours, "dicom")
    name, content = ours.saved("[data-kind=seg]")
    assert name == "suraksha-seg.dcm"
    seg = dcmread(io.BytesIO(content))
    (lesion,) = json.loads(ours.saved("[data-kind=json]")[1])["lesions"]
    assert int(seg.pixel_array.sum()) == lesion["area_px"]
    assert dcmread(io.BytesIO(ours.saved("[data-kind=sr]")[1])).Modality == "SR"


def test_a_cine_is_played_and_each_frame_is_found(ours, cine):
    ours.drop(("cine.dcm", "application/dicom", cine))
    ours.wait_for_text("#status", "Found: 1 lesion")
    assert ours.text("#frame-text") == "1 / 5"
    ours.page.focus("#view")
    ours.page.keyboard.press(".")
    ours.wait_for_text("#frame-text", "2 / 5")
    ours.page.keyboard.press(".")
    ours.page.keyboard.press(".")
    ours.wait_for_text("#frame-text", "4 / 5")
    ours.wait_for_text("#status", "No lesion found")
    ours.page.click("#all-frames")
    ours.wait_for_text("#status", "Segmented 5 of 5 frames")
    ours.page.click("#play")
    ours.page.wait_for_timeout(400)
    ours.page.click("#play")
    assert ours.page.get_attribute("#play", "aria-pressed") == "false"
    assert ours.page.locator("#lesions tr, #none:not([hidden])").count() == 1
    shot(ours, "cine")


def test_a_bad_file_is_told_and_the_next_works(ours, image):
    bad = b"\x89PNG\r\n\x1a\nbroken"
    ours.drop(("bad.png", "image/png", bad), ("good.png", "image/png", image))
    ours.wait_for_text("#problem", "damaged")
    ours.wait_for_text("#cases", "failed")
    second = ours.page.locator("#cases button").nth(1)
    second.focus()
    ours.page.keyboard.press("Enter")
    ours.wait_for_text("#status", "Found: 1 lesion")
    expect(second).to_be_focused()
    assert second.get_attribute("aria-current") == "true"
    assert any("422" in fault for fault in ours.faults)
    ours.faults.clear()


def test_the_review_flag_and_its_reasons_are_shown(ours, image):
    """Whatever the rule says of this image: the page shows it when it asks for review."""

    def flagged(route):
        answer = route.fetch()
        told = answer.json()
        told["results"][0] |= {"needs_review": True, "review": ["the confidence is low"]}
        route.fulfill(response=answer, json=told)

    ours.page.route("**/v1/segment", flagged)
    opened(ours, image)
    assert ours.text("#review") == "Needs review: the confidence is low"
    assert is_accessible(ours.page)
    ours.page.click("#empty-mask")
    ours.wait_for_text("#status", "Corrected: no lesion")
    assert not ours.page.locator("#review").is_visible()


def test_a_server_with_a_token_asks_for_it(browser, tmp_path):
    server = Served(tmp_path, token="a-token-only-for-tests-0123456789")
    page = browser.new_context().new_page()
    page.set_default_timeout(15_000)
    page.goto(server.address)
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_contain_text("the token is missing or wrong")
    page.fill("#token", server.token)
    page.keyboard.press("Enter")
    expect(page.locator("#bundle")).to_have_text("suraksha-lite")
    assert not page.locator("#token-box").is_visible()
    other = browser.new_context().new_page()
    other.goto(f"{server.address}/#token={server.token}")
    expect(other.locator("#bundle")).to_have_text("suraksha-lite")
    assert server.token not in other.url
    page.context.close()
    other.context.close()
    assert server.stop() == 0
    assert server.token not in server.log
