"""The page of a zoo, opened in a browser: sorted, filtered, and a tooltip read."""

from __future__ import annotations

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from attn_inject.zoo.index_page import page_text

FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --window-size=1280,1600
"""
COSTS = ("params", "flops", "activations")


def output(model, attention, params=None, error=None):
    """A row of `index.json`."""
    base = params and params - 1000
    return {
        "file": f"{model}.{attention}.pt",
        "model": model,
        "attention": [attention],
        "placement": "after",
        "status": "failed" if error else "done",
        "sites": None if error else 8,
        "skipped": None if error else 0,
        **dict.fromkeys(COSTS, params),
        **{f"delta_{name}": params and 1000 for name in COSTS},
        **{f"base_{name}": base for name in COSTS},
        "bytes": params and params * 4,
        "digest": None if error else "0" * 64,
        "discarded": False,
        "seconds": 1.5,
        "peak_memory": 5 * 10**8,
        "attempts": 1,
        "error": error,
    }


NASTY = {"code": "crash", "message": "</script><b id='nasty'>&amp;", "hint": "none"}
DOCUMENT = {
    "outputs": [
        output("timm/resnet18", "se", 11_000_000),
        output("timm/resnet101", "se", 44_000_000),
        output("timm/resnet18", "ela-l", 12_000_000),
        output("timm/vgg", "se", error=NASTY),
    ],
    "done": 3,
    "failed": 1,
    "versions": {"attn-inject": "1"},
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):  # .ci/run installs them, and fails if it cannot
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(page_text(DOCUMENT), encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS.split(), f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.get((folder / "index.html").as_uri())
    yield browser
    browser.quit()


def models(browser):
    cells = browser.find_elements(By.CSS_SELECTOR, "#outputs tbody tr")
    return [cell.text.split()[0].removeprefix("timm/") + " " + cell.text.split()[1] for cell in cells]


def test_it_is_self_contained_and_without_errors(browser):
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.find_elements(By.ID, "nasty") == []
    assert NASTY["message"] in browser.find_element(By.ID, "reasons").text
    assert "3" in browser.find_element(By.ID, "tiles").text


def test_sorting(browser):
    assert models(browser) == ["resnet18 se", "resnet18 ela-l", "resnet101 se", "vgg se"]
    head = browser.find_element(By.CSS_SELECTOR, "th[data-column=params]")
    head.find_element(By.TAG_NAME, "button").click()
    assert models(browser) == ["resnet101 se", "resnet18 ela-l", "resnet18 se", "vgg se"]
    assert head.get_attribute("aria-sort") == "descending"
    head.find_element(By.TAG_NAME, "button").click()
    assert models(browser) == ["resnet18 se", "resnet18 ela-l", "resnet101 se", "vgg se"]


def test_filtering_reaches_table_and_picture(browser):
    def marks():
        return len(browser.find_elements(By.CSS_SELECTOR, "#plot .mark"))

    field = browser.find_element(By.ID, "filter")
    assert marks() == 3
    field.send_keys("resnet18 ela")
    assert (models(browser), marks()) == (["resnet18 ela-l"], 1)
    assert browser.find_element(By.ID, "count").text == "1 of 4 outputs"
    field.clear()
    field.send_keys("crash")
    assert (models(browser), marks()) == (["vgg se"], 0)
    field.clear()
    field.send_keys(" ")
    Select(browser.find_element(By.ID, "module")).select_by_value("ela-l")
    assert models(browser) == ["resnet18 ela-l"]
    Select(browser.find_element(By.ID, "module")).select_by_value("")
    browser.find_element(By.CSS_SELECTOR, "#legend .key").click()
    assert marks() == 2
    browser.find_element(By.CSS_SELECTOR, "#legend .key").click()


def test_what_is_saved_has_its_place_in_the_picture(tmp_path, browser):
    rows = [output("timm/a", "se", 11_000_000), output("timm/b", "sasa", 12_000_000)]
    rows[1] |= {"delta_params": -400_000, "base_params": 12_400_000}
    page = tmp_path / "saved.html"
    page.write_text(page_text({**DOCUMENT, "outputs": rows}), encoding="utf-8")
    before = browser.current_url
    browser.get(page.as_uri())
    heights = [mark.location["y"] for mark in browser.find_elements(By.CSS_SELECTOR, "#plot .mark")]
    assert len(heights) == 2
    assert heights[0] < heights[1]
    assert "-3%" in browser.find_element(By.ID, "plot").text
    assert "-3.23%" in browser.find_element(By.ID, "outputs").text
    browser.get(before)


def test_a_tooltip_and_the_row_behind_a_mark(browser):
    tooltip = browser.find_element(By.ID, "tooltip")
    assert not tooltip.is_displayed()
    mark = browser.find_element(By.CSS_SELECTOR, "#plot .mark[data-index='1']")
    ActionChains(browser).move_to_element(mark).perform()
    assert tooltip.is_displayed()
    lines = tooltip.text.splitlines()
    assert lines[0] == "timm/resnet101"
    assert "params 44.0M → 44.0M" in lines[2]
    assert "176.0 MB, 1.5 s" in lines[-1]
    mark.click()
    assert browser.find_element(By.CSS_SELECTOR, "tr.found td").text == "timm/resnet101"
    ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h1")).perform()
    assert not tooltip.is_displayed()
