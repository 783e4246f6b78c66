#!/usr/bin/env python3
"""JupyterLab behind Evergate behind Traefik: kernels over WebSockets, XSRF tokens, files. `app_jupyterlab.py deploy` runs the cases so named."""

import contextlib
import os
import re
import sys

from packages import python_packages
from real_apps import App, try_app
from world import REPOSITORY, answers, eventually

VERSION = "4.6.6"
# What is shown, and the cells that code is typed into.
NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden)"
EDITOR = f"{NOTEBOOK} .jp-Notebook-cell .cm-content[contenteditable=true]"


class JupyterLab(App):
    name, ingress = "jupyterlab", "traefik"
    route = 'identity = "jupyter"'

    @staticmethod
    def install():
        return python_packages(f"jupyterlab-{VERSION}", f"jupyterlab=={VERSION}", "ipykernel")

    def start(self):
        installed, home = self.install(), self.world.directory / "jupyter"
        (home / "work").mkdir(parents=True)
        # The recipe's own lines, which tell it its user.
        recipe = (REPOSITORY / "docs" / "recipes" / "jupyter.md").read_text().split("## A single Jupyter Server")[1]
        config = home / "jupyter_server_config.py"
        config.write_text("\n".join(line[4:] for line in recipe.splitlines() if re.match("    |$", line)))
        env = {
            **os.environ, "HOME": str(home), "PYTHONPATH": str(installed), "JUPYTER_PATH": str(installed / "share" / "jupyter"),
            "JUPYTER_PLATFORM_DIRS": "1",
        }
        self.world.spawn("jupyterlab", [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--config={config}", f"--port={self.port}",
            "--ip=127.0.0.1", f"--ServerApp.root_dir={home / 'work'}", f"--LabApp.app_dir={installed / 'share' / 'jupyter' / 'lab'}",
            "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ], env, home)
        eventually("JupyterLab answers", lambda: answers(f"http://127.0.0.1:{self.port}/api"), 120)

    def open(self, page):
        # A workspace of the user's own, because it is kept at the server.
        page.goto(f"{self.front.url}/lab/workspaces/{page.user}", wait_until="domcontentloaded")
        page.locator(".jp-LauncherCard[data-category=Notebook]").first.click()
        page.locator(EDITOR).last.wait_for()

        def begun():
            # A cell that is run before its kernel is known is not run.
            with contextlib.suppress(Exception):
                self.compute(page, "count = 0; print('begun')", "begun", 5_000)
                return True

        eventually("the kernel computes", begun, 60)
        with page.expect_response(lambda answer: "/api/contents/" in answer.url and answer.request.method == "PUT"):
            page.keyboard.press("Control+s")
            page.locator(".jp-Dialog input[type=text]").fill(f"{page.user}.ipynb")
            page.get_by_role("button", name="Rename and Save").click()
        page.locator(".lm-TabBar-tab.jp-mod-current", has_text=f"{page.user}.ipynb").wait_for()
        self.save(page)
        # It knows its user by the header.
        said = page.evaluate("fetch('/api/me').then((answer) => answer.json())")
        assert said["identity"]["username"] == page.user, said

    @staticmethod
    def save(page):
        """Saves until nothing is left to save: what is asked for during another save is not done."""
        def is_saved():
            page.keyboard.press("Control+s")
            with contextlib.suppress(Exception):
                page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty").wait_for(state="detached", timeout=5_000)
                return True

        eventually("the notebook is saved", is_saved, 60)

    @staticmethod
    def compute(page, code, expected, patience=60_000):
        """Types code into the last cell, runs it, and waits for what it prints."""
        page.locator(EDITOR).last.click()
        page.keyboard.insert_text(code)
        page.keyboard.press("Shift+Enter")
        printed = page.locator(f"{NOTEBOOK} .jp-OutputArea-output", has_text=re.compile(f"^{re.escape(expected)}\\s*$"))
        printed.last.wait_for(timeout=patience)

    def work(self, page, number):
        self.compute(page, "count += 1; print('seen', count)", f"seen {number}")
        # A file is written, with the XSRF token.
        self.save(page)

    def return_to(self, page, number):
        page.locator(EDITOR).last.wait_for()
        self.compute(page, "print('still', count)", f"still {number}")


if __name__ == "__main__":
    try_app(JupyterLab)
