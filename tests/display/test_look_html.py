"""The page of a look, opened in a browser: maps drawn, sites chosen by key, nothing taken for markup."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from attn_inject.display.look_html import look_frame, look_html
from tests.display.look_sample import looked

FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --window-size=1280,1600
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):  # .ci/run installs them, and fails if it cannot
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    folder = tmp_path_factory.mktemp("page")
    (folder / "look.html").write_text(look_html(looked()), encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS.split(), f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.get((folder / "look.html").as_uri())
    yield browser
    browser.quit()


def pixel(browser, canvas):
    """Red, green and blue of a canvas' first pixel."""
    read = "return [...arguments[0].getContext('2d').getImageData(0, 0, 1, 1).data.slice(0, 3)];"
    return browser.execute_script(read, canvas)


def test_every_image_is_drawn_and_nothing_fails(browser):
    assert browser.get_log("browser") == []
    canvases = browser.find_elements(By.CSS_SELECTOR, "#maps canvas, #cams canvas")
    assert len(canvases) == 3 + 3 * 3
    WebDriverWait(browser, 10).until(lambda _: all(c.get_attribute("aria-label") for c in canvases))
    browser.execute_script("document.getElementById('cams').scrollIntoView()")
    cams = browser.find_elements(By.CSS_SELECTOR, "#cams canvas")[:2]
    WebDriverWait(browser, 10).until(lambda _: all(canvas.get_attribute("width") == "1" for canvas in cams))
    for red, _, blue in [pixel(browser, canvas) for canvas in cams]:
        assert red > blue + 30
    assert len(browser.find_elements(By.CSS_SELECTOR, "#depth polyline")) == 2


def test_sites_are_chosen_by_key(browser):
    about = browser.find_element(By.ID, "about")
    assert about.text.startswith("layer1.0: rows.")
    button = browser.find_element(By.ID, "next")
    button.send_keys(Keys.ENTER)
    WebDriverWait(browser, 10).until(lambda _: about.text.startswith("layer2.0: channels, positions."))
    assert len(browser.find_elements(By.CSS_SELECTOR, "#histograms figure")) == 2
    button.send_keys(Keys.SPACE)
    WebDriverWait(browser, 10).until(lambda _: about.text.startswith("layer3.0.conv2: no gate"))
    button.send_keys(Keys.ENTER)
    WebDriverWait(browser, 10).until(lambda _: about.text.startswith("layer1.0"))


def test_names_of_files_and_models_are_text(browser):
    assert browser.execute_script("return document.querySelectorAll('i, b, script').length") == 2
    captions = browser.find_elements(By.CSS_SELECTOR, "#maps figcaption")
    assert captions[2].text == "<i>dogs/2.jpg: tabby & co, now <script>cat (80%)"


@pytest.mark.parametrize("selector", ["canvas", "svg"])
def test_every_figure_has_a_name(browser, selector):
    figures = browser.find_elements(By.TAG_NAME, selector)
    assert figures
    assert all(
        figure.get_attribute("role") == "img" and figure.get_attribute("aria-label") for figure in figures
    )


def test_the_page_loads_nothing():
    page = look_html(looked())
    assert not re.findall(r"""(?:src|href)=["']?(?!data:)\w|@import|url\(|fetch\(""", page)


@pytest.mark.parametrize("text", ["@@DATA@@", "</script><b>", "a\x1b[31m", '"><i>'])
def test_what_a_model_is_called_is_taken_for_no_mark(text):
    look = dataclasses.replace(looked(), model=text, verdict=(text,))
    page = look_html(look)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert [site["name"] for site in json.loads(data[1])["sites"]] == [site.site for site in look.sites]
    assert [mark for mark in ("<b>", "<i>", "\x1b") if mark in page] == []


def test_a_notebook_gets_the_page_as_a_document_of_its_own():
    frame = look_frame(looked())
    inner = re.fullmatch(r'<iframe [^>]*srcdoc="([^"]*)"></iframe>', frame)
    assert html.unescape(inner[1]) == look_html(looked())
