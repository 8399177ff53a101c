"""The timeline page in a real browser: Chromium, without a window."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gate import DEADLINE
from traces import Event, dropped, head, item, lines_of, ran, synthetic, text

from smqexec._observe.trace.page import page
from smqexec._observe.trace.read import read

pytest.importorskip("selenium", reason="the timeline page is tested by selenium, which is not installed")

from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

if CHROMIUM is None or DRIVER is None:
    pytest.skip("the timeline page is tested in chromium, which is not installed", allow_module_level=True)

OPTIONS = "headless=new no-sandbox disable-gpu disable-quic no-first-run window-size=1280,800"
OPTIONS += " disable-background-networking disable-component-update disable-sync"
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for option in [*OPTIONS.split(), f"user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(6 * DEADLINE)
    yield driver
    driver.quit()


class Page:
    """A page in the browser."""

    def __init__(self, driver: Chrome, file: Path) -> None:
        self.driver = driver
        self.file = file

    def js(self, code: str, *args: Any) -> Any:
        """Return the value of an expression of JavaScript, after the next picture was drawn."""
        return self.driver.execute_async_script(
            "const reply = arguments[arguments.length - 1], given = [...arguments];"
            "const task = timeline.byNumber.get(given[0]);"
            f"requestAnimationFrame(() => requestAnimationFrame(() => reply(({code}))));",
            *args,
        )

    def element(self, id: str) -> Any:
        return self.driver.find_element(By.ID, id)

    def until(self, holds: Callable[[Page], object]) -> None:
        WebDriverWait(self, DEADLINE).until(holds)

    def press(self, *keys: str) -> None:
        """Press keys for the element that has the focus."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def point(self, number: int) -> tuple[int, int]:
        """Return the middle of a task's visible part, on the screen."""
        box = self.element("slices").rect
        x, y = self.js(
            "(({start, end, xOf, view}) => ["
            "  (Math.max(xOf(start[task]), view.gutter) + Math.min(xOf(end[task]), view.width)) / 2,"
            "  timeline.middleOf(task)])(timeline)",
            number,
        )
        return round(box["x"] + x), round(box["y"] + y)

    def pointer(self, *steps: str | tuple[int, int]) -> None:
        """Move the pointer to points; press and release it."""
        chain = ActionChains(self.driver, duration=0)
        pointer = chain.w3c_actions.pointer_action
        for step in steps:
            if step == "down":
                pointer.pointer_down()
            elif step == "up":
                pointer.pointer_up()
            else:
                pointer.move_to_location(*step)
        chain.perform()

    def click(self, number: int) -> None:
        self.pointer(self.point(number), "down", "up")

    @property
    def span(self) -> float:
        span: float = self.js("timeline.view.until - timeline.view.from")
        return span

    @property
    def selected(self) -> int | None:
        """The number of the selected task."""
        number: int | None = self.js("timeline.number[timeline.view.selected] ?? null")
        return number

    def colours(self, number: int) -> Counter[tuple[int, int, int]]:
        """Return the colours in the middle of a task's slice, and how many pixels have each."""
        place = self.js(
            "(({start, end, xOf, laneOf, middleOf}) => ["
            "  Math.floor(xOf((start[task] + end[task]) / 2)) - 8,"
            "  middleOf(task) - laneOf(task).height / 2, 16, laneOf(task).height - 1])(timeline)",
            number,
        )
        pixels = self.pixels(*place)
        return Counter(zip(pixels[0::4], pixels[1::4], pixels[2::4], strict=True))

    def pixels(self, *place: float) -> list[int]:
        """Return red, green, blue and opacity of each pixel at *place*: x, y, width and height."""
        found: list[int] = self.js(
            "(([x, y, width, height]) => {"
            "  const copy = document.createElement('canvas'), slices = document.getElementById('slices');"
            "  [copy.width, copy.height] = [width, height];"
            "  const pen = copy.getContext('2d', {willReadFrequently: true});"
            "  pen.drawImage(slices, -x, -y);"
            "  return [...pen.getImageData(0, 0, width, height).data];"
            "})(given)",
            *place,
        )
        return found

    def fetched(self) -> list[str]:
        """Return the addresses that the browser has requested since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


Opened = Callable[..., Page]


@pytest.fixture
def opened(chromium: Chrome, tmp_path: Path) -> Iterator[Opened]:
    """Open the page of events.  At the end its console is empty, and it has fetched nothing."""
    pages: list[Page] = []

    def open_(events: Iterable[Event], torn: str | None = None) -> Page:
        trace, file = tmp_path / "run.json", tmp_path / "run.html"
        trace.write_text(text(events, torn))
        file.write_text(page(read(trace), "run.json"), "ascii")
        chromium.get("about:blank")
        pages.append(Page(chromium, file))
        pages[0].fetched()  # by Chromium's own first page
        chromium.get(file.as_uri())
        pages[0].until(lambda page: page.driver.execute_script("return window.timeline?.drawn.frames > 0"))
        return pages[0]

    yield open_
    assert chromium.get_log("browser") == []
    assert [url for url in pages[0].fetched() if not url.startswith("data:")] == [pages[0].file.as_uri()]
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


# Two queues.  1 acquires, 2 and 3 need it, 4 needs both.
DIAMOND = [
    *head(("disk", 1), ("compute", 2)),
    ran(1, 100, 1100, "acquire"),
    ran(2, 1200, 3200, "correct", queue=2, thread=1, needs=[1]),
    ran(3, 1200, 2200, "count", queue=2, thread=2, needs=[1]),
    ran(4, 3300, 4300, "compare", queue=2, thread=1, needs=[2, 3]),
]


@pytest.fixture
def diamond(opened: Opened) -> Page:
    return opened(DIAMOND)


# -- What it shows


def test_what_overlaps_in_a_row_is_drawn_below_with_its_items(opened: Opened) -> None:
    """An item of an unknown task is left out."""
    nested = [ran(1, 0, 900, "outer"), ran(2, 100, 800, "inner"), ran(3, 200, 700, "innermost")]
    items = [item(2, 1, 500), item(2, 0, 400), item(1, 0, 850), item(9, 5, 600), item(4, 0, 950)]
    shown = opened([*head(("one", 1)), *nested, ran(4, 900, 1000, "next"), *items])
    middles = [shown.point(number)[1] for number in (1, 2, 3, 4)]
    assert middles[0] == middles[3] < middles[1] < middles[2]
    assert shown.js("timeline.drawn.slices") == 4
    assert shown.js("timeline.lanes.map(lane => lane.items)") == [[], [850, 950], [400, 500], []]


def test_the_page_of_a_hundred_thousand_tasks_draws_what_can_be_seen(opened: Opened) -> None:
    """No more marks than pixels, at any magnification; and every task once it is large enough."""
    shown = opened(synthetic(100_000))
    assert shown.js("timeline.start.length") == 100_000
    pixels = shown.js("timeline.lanes.length * timeline.view.width")
    drawn = []
    for _ in range(25):
        drawn.append(shown.js("timeline.drawn.marks + timeline.drawn.slices"))
        shown.js("timeline.zoom(2)")
    assert max(drawn) <= pixels
    assert drawn[-1] < 100 < drawn[0]


def test_what_failed_or_was_cancelled_is_hatched(opened: Opened) -> None:
    """Colour is not the only sign: a hatched slice has two colours, beside those of its name."""
    outcomes = ("done", "failed", "cancelled")
    tasks = [ran(i, 0, 1000, "", thread=i, outcome=outcome) for i, outcome in enumerate(outcomes, 1)]
    shown = opened([*head(("compute", 3)), *tasks])
    shown.element("path").click()  # off
    done, failed, cancelled = (shown.colours(number) for number in (1, 2, 3))
    assert len(done) == 1
    assert len(failed) > 2 < len(cancelled)
    assert failed[226, 85, 85] > 50 < cancelled[138, 143, 152]


def test_the_critical_path_is_marked(diamond: Page) -> None:
    accent = (192, 0, 122)
    assert [diamond.colours(number)[accent] > 0 for number in (1, 2, 3, 4)] == [True, True, False, True]
    assert diamond.js("timeline.drawn.steps") == 2
    diamond.element("path").click()
    assert diamond.js("timeline.drawn.steps") == 0
    assert [diamond.colours(number)[accent] for number in (1, 2, 3, 4)] == [0] * 4
    assert diamond.element("path").get_attribute("aria-pressed") == "false"


def test_final_results_and_tasks_that_never_ran(opened: Opened) -> None:
    """Final is what no other task depends on; what failed or still runs is no result."""
    tasks = [ran(5, 0, 50, "free", thread=1), ran(6, 0, 60, "lost", thread=2, outcome="failed")]
    begun, _ = lines_of(ran(7, 0, 70))
    never = dropped(8, 2000, "late", queue=2, needs=[77])
    shown = opened([*DIAMOND, *tasks, begun, never], torn="")
    assert shown.js("[...timeline.results]") == [50, 4300]
    shown.click(8)
    facts = shown.element("facts").text.splitlines()
    assert facts[0] == "late"
    assert {"compute", "✕ failed, never ran, final", "2 ms", "a task that is not in the file"} <= set(facts)


def test_marks_of_items_are_no_more_than_pixels(opened: Opened) -> None:
    items = [item(1, i, 10 + i * 0.09) for i in range(10_000)]
    shown = opened([*head(("camera", 1)), ran(1, 0, 1000, "film"), *items])
    assert 100 < shown.js("timeline.drawn.marks") <= shown.js("timeline.view.width")
    shown.js("timeline.show(10 + 0.09 * 500 - 0.01, 0.1)")
    assert shown.js("timeline.drawn.marks") == 2


# -- Moving


def test_keys_zoom_and_move(diamond: Page) -> None:
    rows = diamond.element("rows")
    whole = diamond.span
    rows.send_keys("+")
    assert diamond.span == pytest.approx(whole / 1.5)
    before = diamond.js("timeline.view.from")
    for keys, steps in ((Keys.ARROW_RIGHT, 1), (Keys.ARROW_LEFT * 2, -1)):
        rows.send_keys(keys)
        assert diamond.js("timeline.view.from") == pytest.approx(before + steps * diamond.span / 8)
    for keys in ("---", "+++++" + Keys.HOME):
        rows.send_keys(keys)
        assert diamond.span == pytest.approx(whole)


def test_the_wheel_zooms_around_the_pointer(diamond: Page) -> None:
    _, y = diamond.point(4)
    under = "timeline.xOf(timeline.start[task])"
    x = round(diamond.element("slices").rect["x"] + diamond.js(under, 4))
    whole = diamond.span
    wheel = ActionChains(diamond.driver)
    wheel.w3c_actions.wheel_action.scroll(x, y, 0, -200)
    wheel.perform()
    assert diamond.span < 0.8 * whole
    assert diamond.element("slices").rect["x"] + diamond.js(under, 4) == pytest.approx(x, abs=2)


def test_dragging_moves_and_does_not_select(diamond: Page) -> None:
    diamond.js("timeline.zoom(4)")
    before = diamond.js("timeline.xOf(2000)")
    x, y = diamond.point(2)
    diamond.pointer((x, y), "down", (x - 50, y), (x - 100, y), "up")
    assert diamond.js("timeline.xOf(2000)") == pytest.approx(before - 100, abs=2)
    assert diamond.selected is None


def test_two_fingers_zoom_and_a_tap_selects(diamond: Page) -> None:
    x, y = diamond.point(2)
    whole = diamond.span
    fingers = ActionBuilder(diamond.driver, duration=0)
    for name, side in (("left", -1), ("right", 1)):
        finger = fingers.add_pointer_input("touch", name)
        finger.create_pointer_move(0, x + side * 50, y)
        finger.create_pointer_down()
        finger.create_pointer_move(0, x + side * 100, y)
        finger.create_pointer_up(0)
    fingers.perform()
    assert diamond.span == pytest.approx(whole / 2, rel=0.1)
    assert diamond.selected is None
    tap = ActionBuilder(diamond.driver, mouse=PointerInput("touch", "finger"))
    tap.pointer_action.move_to_location(*diamond.point(2)).pointer_down().pointer_up()
    tap.perform()
    assert diamond.selected == 2
    assert not diamond.element("tip").is_displayed()


def test_the_overview_moves_the_view(diamond: Page) -> None:
    diamond.js("timeline.zoom(10)")
    box = diamond.element("overview").rect
    middle = round(box["x"] + 150 + (box["width"] - 158) * 0.75), round(box["y"] + 40)
    diamond.pointer(middle, "down", "up")
    shown = diamond.js("(timeline.view.from + timeline.view.until) / 2")
    assert shown == pytest.approx(0.75 * 4300, rel=0.01)


def test_many_rows_scroll(opened: Opened) -> None:
    shown = opened(synthetic(3000, queues=50, slots=8))
    before = shown.js("timeline.drawn.slices + timeline.drawn.marks")
    shown.element("rows").send_keys(Keys.PAGE_DOWN, Keys.ARROW_DOWN)
    shown.until(lambda page: page.js("document.getElementById('rows').scrollTop") > 300)
    assert 0 < before < 3000


# -- Finding and selecting


def test_search_finds_tasks_by_name(diamond: Page) -> None:
    box = diamond.element("search")
    box.send_keys("CO")
    assert diamond.element("result").text == "3 found"
    for keys, place, number in ((Keys.ENTER, "1 of 3", 3), (Keys.SHIFT + Keys.ENTER, "3 of 3", 4)):
        box.send_keys(keys)  # 3 ends before 2
        assert (diamond.element("result").text, diamond.selected) == (place, number)
    diamond.element("next").click()
    assert diamond.selected == 3
    box.send_keys("x")
    assert diamond.element("result").text == "none found"
    assert not diamond.element("next").is_enabled()
    box.send_keys(Keys.ESCAPE)
    assert (box.get_attribute("value"), diamond.element("result").text) == ("", "")
    assert diamond.driver.switch_to.active_element.get_attribute("id") == "rows"


def test_search_finds_a_task_by_its_number_and_brings_it_into_view(opened: Opened) -> None:
    shown = opened(synthetic(5000, queues=20, slots=4))
    shown.press("/")
    shown.press("#4321", Keys.ENTER)
    assert shown.selected == 4321
    assert shown.js("timeline.view.from < timeline.start[task]", 4321)
    assert shown.js("timeline.view.until > timeline.end[task]", 4321)
    assert 0 < shown.point(4321)[1] < shown.js("innerHeight")


def test_the_task_under_the_pointer_has_a_tip(diamond: Page) -> None:
    tip = diamond.element("tip")
    assert not tip.is_displayed()
    diamond.pointer(diamond.point(2))
    assert tip.text.splitlines() == [
        "correct",
        "number: #2",
        "queue: compute, slot 1",
        "outcome: done",
        "ran for: 2\u00a0ms".replace("\u00a0", " "),
        "started at: 1.2 ms",
        "submitted at: 0 ms",
        "waited for: 1.2 ms",
        "critical path: on it",
        "dependencies: 1",
    ]
    x, y = diamond.point(2)
    diamond.pointer((x, y + 200))
    assert not tip.is_displayed()


def test_a_selected_task_has_arrows_and_links_to_its_neighbours(diamond: Page) -> None:
    diamond.click(2)
    assert diamond.selected == 2
    assert diamond.js("timeline.drawn.arrows") == 2  # from 1, to 4
    facts = diamond.element("facts")
    assert not diamond.element("summary").is_displayed()
    assert "Depends on (1)\nacquire #1\nNeeded by (1)\ncompare #4" in facts.text
    for button, number in ((1, 4), (1, 3), (0, 1)):
        facts.find_elements(By.TAG_NAME, "button")[button].click()
        assert diamond.selected == number
        assert diamond.js("timeline.drawn.arrows") == 2  # from 2 and 3; from 1, to 4; to 2 and 3
    assert "Needed by (2)\ncorrect #2\ncount #3" in facts.text
    diamond.element("rows").send_keys(Keys.ESCAPE)
    assert diamond.selected is None
    assert not facts.is_displayed()
    assert diamond.element("summary").is_displayed()


def test_keys_alone_lead_from_task_to_task(diamond: Page) -> None:
    visited = []
    while not visited or visited[-1] != "rows":
        diamond.press(Keys.TAB)
        visited.append(diamond.driver.switch_to.active_element.get_attribute("id"))
        assert len(visited) < 20
    assert visited == ["search", "out", "in", "all", "path", "rows"]
    assert diamond.js("getComputedStyle(document.getElementById('slices')).outlineStyle") == "solid"
    diamond.press(Keys.ENTER)
    assert diamond.selected == 3  # nearest to the middle
    up, right = Keys.ARROW_UP, Keys.ARROW_RIGHT
    for arrow, number in ((up, 2), (right, 4), (right, 4), (up, 1)):  # 4 is the last
        diamond.press(Keys.SHIFT, arrow)
        assert diamond.selected == number
    diamond.press(Keys.ENTER)  # zooms to it
    assert diamond.span == pytest.approx(6000, rel=0.3)


# -- Whatever the file has


def test_names_are_only_ever_text(opened: Opened) -> None:
    hostile = "</script><img src=x onerror=\"document.title='no'\"><!--"
    queue = "<b>&amp;"
    odd = "\u202e\ud800\0" + 5000 * "n"
    shown = opened([*head((queue, 1)), ran(1, 0, 1000, hostile), ran(2, 1000, 2000, odd)])
    shown.js("timeline.select(0)")
    assert shown.driver.find_element(By.TAG_NAME, "h2").text == hostile
    shown.pointer(shown.point(1))
    assert shown.element("tip").text.startswith(hostile)
    assert f"queue: {queue}, slot 1" in shown.element("tip").text
    shown.js("timeline.select(1)")
    assert shown.driver.find_elements(By.CSS_SELECTOR, "img, b, script:not([type])") == []
    assert shown.driver.title.startswith("run.json: 2 tasks")


def test_a_file_without_tasks_has_a_page(opened: Opened) -> None:
    shown = opened(head())
    shown.element("rows").send_keys("+", Keys.ENTER, Keys.SHIFT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    shown.element("search").send_keys("x", Keys.ENTER)
    assert shown.driver.title == "run.json: 0 tasks in 0 µs, 0 queues"
    assert shown.selected is None


# -- How it looks


def background(shown: Page) -> tuple[int, ...]:
    return tuple(shown.pixels(2, 2, 1, 1)[:3])


def test_it_is_light_or_dark_as_preferred(diamond: Page) -> None:
    assert background(diamond) == (255, 255, 255)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    diamond.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    diamond.until(lambda page: background(page) == (20, 23, 27))


def test_it_fits_a_phone(diamond: Page) -> None:
    diamond.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    diamond.until(lambda page: page.js("timeline.view.width") < 400)
    assert diamond.js("document.documentElement.scrollWidth") == 390
    assert diamond.js("document.documentElement.scrollHeight") == 844
    assert diamond.js("document.getElementById('slices').width") == 2 * diamond.js("timeline.view.width")
    assert diamond.js("timeline.drawn.slices") == 4
    for button in diamond.driver.find_elements(By.TAG_NAME, "button"):
        assert button.rect["x"] >= 0 and button.rect["x"] + button.rect["width"] <= 390
