#!/usr/bin/env python3
"""Datasette behind Caddy, which asks Evergate about each request: pages, forms and a JSON API. `app_datasette.py deploy` runs the cases so named."""

import os
import re
import sqlite3
import sys
import urllib.parse

from packages import python_packages
from real_apps import App, try_app
from world import answers, eventually

VERSION = "0.65.5"


class Datasette(App):
    name, ingress, navigates = "datasette", "caddy", True

    @staticmethod
    def install():
        return python_packages(f"datasette-{VERSION}", f"datasette=={VERSION}")

    def start(self):
        data = self.world.directory / "data.db"
        with sqlite3.connect(data) as database:
            database.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, square INTEGER)")
            database.executemany("INSERT INTO numbers VALUES (?, ?)", [(number, number * number) for number in range(5_000)])
        env = {**os.environ, "PYTHONPATH": str(self.install())}
        self.world.spawn("datasette", [sys.executable, "-m", "datasette", "serve", data, "--port", self.port], env)
        eventually("Datasette answers", lambda: answers(f"http://127.0.0.1:{self.port}/-/versions.json"), 60)

    def open(self, page):
        page.get_by_role("link", name="data", exact=True).first.click()
        page.get_by_role("link", name="numbers", exact=True).first.wait_for()

    def work(self, page, number):
        # A page, its form, what a script asks for, and a table that is streamed.
        page.goto(f"{self.front.url}/data?{self.query(number)}", wait_until="domcontentloaded")
        page.get_by_role("button", name="Run SQL").click()
        page.locator("td.col-square", has_text=re.compile(f"^\\s*{number * number}\\s*$")).wait_for()
        script = "(path) => fetch(path).then((answer) => answer.ok ? answer.text() : answer.status)"
        row = page.evaluate(script, f"/data/numbers/{number}.json?_shape=array")
        assert f'"square": {number * number}' in row, row
        table = page.evaluate(script, "/data/numbers.csv?_stream=on&_size=max")
        assert len(table.splitlines()) == 5_001, table[:100]

    def return_to(self, page, number):
        # A login leads back to the page that it began at.
        assert self.query(number) in page.url, page.url
        page.locator("td.col-square", has_text=re.compile(f"^\\s*{number * number}\\s*$")).wait_for()

    @staticmethod
    def query(number):
        return urllib.parse.urlencode({"sql": f"select square from numbers where number = {number}"})


if __name__ == "__main__":
    try_app(Datasette)
