"""The site: it builds, its links lead there, and a browser shows it whole."""

import functools
import itertools
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import threading
import types
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"


class Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.anchors = set(), set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[x] for x in ("id", "name") if given.get(x)}
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "next"):
            self.loads.add(given.get("href"))
        if given.get("src"):
            self.loads.add(given["src"])


@pytest.fixture(scope="module")
def site_folder(tmp_path_factory):
    pytest.importorskip("mkdocs")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the site is the same for all backends")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def site(site_folder):
    """The pages of the built site, by their path."""
    return {
        path: Page(path)
        for path in site_folder.rglob("*.html")
        if path.name != "404.html"  # whose links start at the root
    }


@pytest.mark.parametrize("known", [True, False])
def test_the_site_has_the_addresses_of_the_project(tmp_path, known):
    urls = (
        '[project.urls]\nRepository = "https://r"\nDocumentation = "https://d"'
    )
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "hebbian"\n{urls if known else ""}'
    )
    config = types.SimpleNamespace(config_file_path=tmp_path / "mkdocs.yml")
    runpy.run_path(DOCS / "project_urls.py")["on_config"](config)
    found = config.repo_url, config.repo_name, config.site_url
    expected = ("https://r", "hebbian", "https://d")
    assert found == (expected if known else (None, None, ""))


def test_the_site_fetches_nothing_from_elsewhere(site):
    loaded = {url for page in site.values() for url in page.loads}
    assert not {url for url in loaded if urlsplit(url).netloc}


def test_links_and_pictures_of_the_site_are_there(site):
    missing = []
    for path, page in site.items():
        for url in page.links | page.loads:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            known = site[target].anchors if target in site else {anchor}
            if not target.exists() or (anchor and anchor not in known):
                missing.append(f"{path.name}: {url}")
    assert not missing


def test_formulas_of_the_site_are_formulas(site):
    """None is left as LaTeX, and those that should be there are."""
    for path, page in site.items():
        text = path.read_text()
        assert "$$" not in text, path
        for formula in re.findall("<math.*?</math>", text, re.DOTALL):
            assert "\\" not in formula, path
        if path.name in ("competing.html", "lateral-inhibition.html"):
            assert text.count("<math") > 10, page


@pytest.fixture(scope="module")
def site_url(site_folder):
    """Where the site is served, which its search needs."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=site_folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = (
    "headless",
    "hide-scrollbars",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-gpu",
    "disable-quic",
    "disable-sync",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    driver = shutil.which("chromedriver")
    if not (CHROMIUM and driver):
        pytest.skip("Chromium and chromedriver are not on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in QUIET:
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('user')}")
    if os.geteuid() == 0:  # Chromium has no sandbox for root
        options.add_argument("--no-sandbox")
    service = webdriver.ChromeService(driver)
    with webdriver.Chrome(options=options, service=service) as browser:
        browser.set_script_timeout(120)  # on a busy machine
        yield browser


def show(browser, width, scheme):
    """Makes the screen so wide, and light or dark as the system has it."""
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {**screen, "mobile": False}
    )
    preferred = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [preferred]}
    )


def test_the_site_fits_screens_and_phones(browser, site_url, site_folder, site):
    checks = (ROOT / "tests" / "site_checks.js").read_text()
    wrong = []
    for path in site:
        name = path.relative_to(site_folder).as_posix()
        browser.get(f"{site_url}/{name}")
        for width, (scheme, shown) in itertools.product(
            (1280, 390), {"light": "default", "dark": "slate"}.items()
        ):
            show(browser, width, scheme)
            colors, found = browser.execute_async_script(checks)
            assert colors == shown
            wrong += [f"{name}, {width} px, {scheme}: {x}" for x in found]
        wrong += [entry["message"] for entry in browser.get_log("browser")]
    assert not wrong, "\n".join(wrong)


def test_the_search_of_the_site_finds_words(browser, site_url):
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    def first_has(word):
        first = By.CSS_SELECTOR, ".md-search-result__item"
        return lambda browser: word in browser.find_element(*first).text.lower()

    show(browser, 1280, "light")
    replaced = [StaleElementReferenceException]  # while the word is typed
    for word in ("unsupervised", "embedding", "SavedModel", "k-means", "GPU"):
        browser.get(f"{site_url}/index.html")
        query = browser.find_element(By.CSS_SELECTOR, ".md-search__input")
        query.send_keys(word)
        WebDriverWait(browser, 60, ignored_exceptions=replaced).until(
            first_has(word.lower()), f"Expected {word} in the first result."
        )
