"""What a person does on Prefect's pages, in a real browser: fills in the run form, and answers a run that waits."""

import os
import time
from pathlib import Path

from tests.flows import chromium
from tests.flows.running import Here

FIELD = """(section, label) => {
  const named = (place, text) => [...place.querySelectorAll('.schema-form-property')].filter(
    one => one.querySelector('.schema-form-property__label')?.innerText === `${text} (Optional)`);
  const group = named(document, section).find(one => one.querySelector('.schema-form-property'));
  return named(group, label)[0].querySelector('input, select');
}"""
ANSWER = """label => [...document.querySelectorAll('.schema-form-property')]
  .find(one => one.querySelector('.schema-form-property__label')?.innerText === label)
  ?.querySelector('input, select, textarea')"""


def fill_in(page: chromium.Page, here: Here, deployment: str) -> None:
    page.open(f"{here.site.prefect_url}/deployments/deployment/{deployment}/run")
    page.wait("document.body?.innerText.includes('Epochs')")
    epochs, decay = f"({FIELD})('Train', 'Epochs')", f"({FIELD})('Train', 'Decay')"
    page.wait(f"{epochs}.value === '6'")
    for _attempt in range(5):  # what a person types before the page has settled is overwritten
        time.sleep(1)
        page.fill(epochs, "5")
        time.sleep(1)
        page.choose(decay, "cosine")
        time.sleep(1)
        if filled := page.run(f"{epochs}.value === '5' && {decay}.value === 'cosine'"):
            break
    assert filled
    if pictures := os.environ.get("HONE_PICTURES"):
        page.run(f"{epochs}.scrollIntoView({{block: 'center'}})")
        time.sleep(0.5)
        page.picture(Path(pictures) / "form.png")
    submit(page, "!location.pathname.endsWith('/run')")


def approve(page: chromium.Page, here: Here, run: str) -> None:
    page.open(f"{here.site.prefect_url}/runs/flow-run/{run}")
    page.wait("document.body?.innerText.includes('Resume')")
    resume = "[...document.querySelectorAll('button')].find(one => one.innerText.trim() === 'Resume')"
    page.press_until(resume, "document.body.innerText.includes('be the champion?')")
    decision, who, reason = (f"({ANSWER})('{label}')" for label in ("Decision (Optional)", "Who", "Reason (Optional)"))
    page.wait(f"{decision}?.value === 'refuse'")
    for part in (
        "tiny version 2",
        "It is version 1 now",
        "ACCEPTED: teacher",
        "Speed-up over the best dense teacher",
    ):
        assert part in page.text()
    time.sleep(1)  # as in the run form
    page.choose(decision, "approve")
    page.fill(who, "olga")
    page.fill(reason, "as good and faster")
    if pictures := os.environ.get("HONE_PICTURES"):
        time.sleep(0.5)
        page.picture(Path(pictures) / "approval.png")
    submit(page, "!document.body.innerText.includes('be the champion?')")


def submit(page: chromium.Page, done: str) -> None:
    """Presses the form's button until an expression says that it was taken: a server that is busy refuses, and the page
    then leaves the form as it is, so that people press again."""
    page.press_until("[...document.querySelectorAll('button')].find(one => one.innerText === 'Submit')", done)
