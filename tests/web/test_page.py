"""The page in Chromium, with a running server."""

import base64
import csv
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from playwright.sync_api import expect, sync_playwright

from .browser import CHROMIUM, PageDriver, install_chromium
from .serving import Served, phantom_png

SHAPE = (400, 500)
AMBER = (240, 168, 28)
# folder for screenshots, if any
SHOTS = os.environ.get("SURAKSHA_SHOTS")


@pytest.fixture(scope="module")
def browser():
    why = install_chromium()
    if why:
        pytest.skip(why)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield browser
        browser.close()


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
    driver = PageDriver(context.new_page(), served.address)
    yield driver
    assert driver.errors == []
    own = (served.address, "blob:" + served.address)
    assert [url for url in driver.requests if not url.startswith(own)] == []
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
    """The area of the first lesion in the table."""
    return int(re.match(r"\d+", ours.page.locator("#lesions td").nth(2).inner_text())[0])


def opened(ours, image):
    ours.drop(("Doe^Jane.png", "image/png", image))
    ours.wait_for_text("#status", "Found: 1 lesion")


@both_sizes
def test_an_empty_page_states_its_purpose(ours):
    assert "Research use only" in ours.text("header")
    assert ours.text("#bundle") == "suraksha-lite"
    assert ours.page.locator("#choose").is_visible()
    assert is_accessible(ours.page)
    shot(ours, "empty")
    wide = ours.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "no horizontal scrolling"


@both_sizes
def test_a_dropped_image_shows_contour_and_measurements(ours, image, served):
    opened(ours, image)
    assert amber_pixels(ours) > 300
    assert re.search(r"\d+ . \d+ px", ours.text("#lesions"))
    assert "Measurements are in pixels" in ours.text("#scale-note")
    ours.page.fill("#spacing", "0.1")
    ours.page.click("#spacing-set")
    ours.wait_for_text("#lesions", "mm")
    assert re.search(r"\d+\.\d . \d+\.\d mm", ours.text("#lesions"))
    assert "automatic" in ours.text("#origin")
    assert "Research use only" in ours.text("header")
    assert is_accessible(ours.page)
    shot(ours, "image")
    assert "Doe" not in served.log


def test_measurements_follow_the_corrected_contour(ours, image):
    opened(ours, image)
    before = area(ours)
    box = ours.page.locator("#lesions td").first
    assert box.is_visible()
    record = json.loads(ours.download("[data-kind=json]")[1])
    row, col = max(record["contours"][0], key=lambda point: point[1])
    ours.tool("contour")
    shot(ours, "handles")
    ours.drag(ours.position(row, col, SHAPE), ours.position(row, col + 60, SHAPE))
    ours.wait_for_text("#status", "Corrected: 1 lesion")
    pulled = area(ours)
    assert pulled > before * 1.03
    assert "corrected" in ours.text("#origin")
    shot(ours, "corrected")

    ours.page.keyboard.press("b")
    ours.drag(ours.position(row, col + 40, SHAPE), ours.position(row + 60, col + 40, SHAPE))
    expect(ours.page.locator("#lesions td").nth(2)).not_to_have_text(f"{pulled} px")
    assert area(ours) > pulled
    ours.page.keyboard.press("Control+z")
    ours.wait_for_text("#lesions", str(pulled))
    ours.page.keyboard.press("Control+z")
    ours.wait_for_text("#origin", "automatic")
    assert area(ours) == before
    ours.page.keyboard.press("Control+Shift+Z")
    ours.wait_for_text("#lesions", str(pulled))

    name, content = ours.download("#save-correction")
    correction = json.loads(content)
    assert name == "Doe^Jane-correction.json"
    assert correction["corrected"] is True
    assert correction["image"] == "Doe^Jane.png"
    assert correction["lesions"][0]["area_px"] == pulled
    with PilImage.open(io.BytesIO(ours.download("[data-kind=mask]")[1])) as mask:
        assert np.count_nonzero(np.asarray(mask)) == pulled
    ours.page.click("#reset")
    ours.wait_for_text("#origin", "automatic")
    assert area(ours) == before


def test_a_hole_is_kept_by_the_contour_tool_and_saved(ours, image):
    opened(ours, image)
    (lesion,) = (record := json.loads(ours.download("[data-kind=json]")[1]))["lesions"]
    row, col = lesion["centroid"]
    ours.tool("erase")
    ours.drag(ours.position(row, col - 20, SHAPE), ours.position(row, col + 20, SHAPE))
    ours.wait_for_text("#status", "Corrected: 1 lesion")
    with_hole = area(ours)
    assert with_hole < lesion["area_px"] - 800
    row, col = max(record["contours"][0], key=lambda point: point[1])
    ours.tool("contour")
    ours.drag(ours.position(row, col, SHAPE), ours.position(row, col + 20, SHAPE))
    expect(ours.page.locator("#lesions td").nth(2)).not_to_have_text(f"{with_hole} px")
    assert with_hole < area(ours) < lesion["area_px"]
    correction = json.loads(ours.download("#save-correction")[1])
    with PilImage.open(io.BytesIO(base64.b64decode(correction["mask_png"]))) as mask:
        pixels = np.asarray(mask) > 0
    assert np.count_nonzero(pixels) == correction["lesions"][0]["area_px"] == area(ours)
    center_row, center_col = map(int, lesion["centroid"])
    assert not pixels[center_row, center_col]


def test_window_zoom_calipers_and_maps(ours, image):
    opened(ours, image)
    grey = ours.pixels()[..., 0].mean()
    ours.drag(ours.position(50, 50, SHAPE), ours.position(150, 50, SHAPE))
    assert ours.pixels()[..., 0].mean() > grey + 5, "a lower level makes the image brighter"
    ours.page.keyboard.press("0")
    ours.tool("caliper")
    ours.drag(ours.position(100, 100, SHAPE), ours.position(100, 300, SHAPE))
    ours.wait_for_text("#status", "px. The pixel spacing is unknown")
    assert float(re.search(r"[\d.]+", ours.text("#status"))[0]) == pytest.approx(200, abs=1.5)
    ours.page.fill("#spacing", "0.05")
    ours.page.click("#spacing-set")
    ours.wait_for_text("#scale-note", "0.05")
    ours.drag(ours.position(100, 100, SHAPE), ours.position(100, 300, SHAPE))
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


def test_painting_with_the_keyboard(ours, image):
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
def test_dicom_is_measured_in_millimetres_and_exported(ours, dicom):
    from pydicom import dcmread

    ours.drop(("us.dcm", "application/dicom", dicom))
    ours.wait_for_text("#status", "Found: 1 lesion")
    assert re.search(r"\d+\.\d . \d+\.\d mm", ours.text("#lesions"))
    note = ours.text("#scale-note")
    assert re.fullmatch(r"Pixel spacing: 0\.200 . 0\.200 mm \(from the DICOM region\)\.", note)
    shot(ours, "dicom")
    name, content = ours.download("[data-kind=seg]")
    assert name == "us-seg.dcm"
    seg = dcmread(io.BytesIO(content))
    (lesion,) = json.loads(ours.download("[data-kind=json]")[1])["lesions"]
    assert int(seg.pixel_array.sum()) == lesion["area_px"]
    assert dcmread(io.BytesIO(ours.download("[data-kind=sr]")[1])).Modality == "SR"


def test_a_clip_is_played_and_segmented(ours, cine):
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
    assert ours.page.locator("#lesions tr, #no-lesions:not([hidden])").count() == 1
    shot(ours, "cine")


BROKEN = b"\x89PNG\r\n\x1a\nbroken"


def test_status_and_error_belong_to_the_open_file(ours, image):
    ours.drop(("good.png", "image/png", image), ("bad.png", "image/png", BROKEN))
    ours.wait_for_text("#status", "Found: 1 lesion")
    ours.wait_for_text("#cases", "failed")
    assert ours.text("#problem") == ""
    good, bad = ours.page.locator("#cases button").all()
    bad.focus()
    ours.page.keyboard.press("Enter")
    ours.wait_for_text("#problem", "Cannot read bad.png: it is damaged")
    expect(bad).to_be_focused()
    assert bad.get_attribute("aria-current") == "true"
    assert ours.text("#status") == ""
    assert ours.page.locator("#lesions tr").count() == 0
    assert ours.text("#no-lesions") == "This file could not be segmented."
    shot(ours, "failed")
    good.click()
    ours.wait_for_text("#status", "Found: 1 lesion")
    assert ours.text("#problem") == ""
    assert area(ours) > 0
    assert all("422" in error for error in ours.errors)
    ours.errors.clear()


def test_a_failed_measurement_leaves_no_outdated_numbers(ours, image):
    opened(ours, image)
    ours.page.route("**/v1/measure", lambda route: route.abort())
    ours.tool("brush")
    ours.drag(ours.position(60, 60, SHAPE), ours.position(60, 120, SHAPE))
    ours.wait_for_text("#problem", "the server is not reachable")
    ours.wait_for_text("#status", "Corrected: not measured.")
    assert ours.page.locator("#lesions tr").count() == 0
    assert not ours.page.locator("#details").is_visible()
    assert ours.text("#no-lesions") == "The corrected mask could not be measured."
    ours.page.unroute("**/v1/measure")
    ours.page.locator("#cases button").first.click()
    ours.wait_for_text("#status", "Corrected: 2 lesions")
    assert ours.text("#problem") == ""
    assert ours.page.locator("#lesions tr").count() == 2
    ours.errors.clear()


@pytest.mark.parametrize("kind", ["cine", "clip"])
def test_exports_have_the_name_and_the_frame_of_the_file(ours, kind, request):
    """Of a DICOM clip, which is sent whole, and of a video, whose frames are sent alone."""
    ours.drop(('a "b", c.dcm', "application/dicom", request.getfixturevalue(kind)))
    expect(ours.page.locator("#status")).to_contain_text("ound")
    expect(ours.page.locator("#busy")).to_be_hidden()
    ours.page.focus("#view")
    ours.page.keyboard.press(".")
    ours.wait_for_text("#frame-text", "2 / ")
    expect(ours.page.locator("#status")).to_contain_text("ound")
    name, content = ours.download("[data-kind=json]")
    record = json.loads(content)
    assert name.endswith("-frame-2-result.json")
    assert (record["image"], record["frame_index"]) == ('a "b", c.dcm', 1)
    rows = list(csv.DictReader(io.StringIO(ours.download("[data-kind=csv]")[1].decode())))
    assert {(row["image"], row["frame_index"]) for row in rows} == {('a "b", c.dcm', "1")}
    assert {row["image_sha256"] for row in rows} == {record["image_sha256"]}
    ours.wait_for_text("#status", "Saved")


def test_the_review_flag_shows_its_reasons(ours, image):
    def flagged(route):
        answer = route.fetch()
        body = answer.json()
        body["results"][0] |= {"needs_review": True, "review": ["the confidence is low"]}
        route.fulfill(response=answer, json=body)

    ours.page.route("**/v1/segment", flagged)
    opened(ours, image)
    assert ours.text("#review") == "Review: the confidence is low"
    assert is_accessible(ours.page)
    ours.page.click("#empty-mask")
    ours.wait_for_text("#status", "Corrected: no lesion")
    assert not ours.page.locator("#review").is_visible()


def test_the_page_asks_for_the_token(browser, tmp_path):
    server = Served(tmp_path, token="a-token-only-for-tests-0123456789")
    page = browser.new_context().new_page()
    page.set_default_timeout(15_000)
    page.goto(server.address)
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_contain_text("Missing or invalid token")
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
