#!/usr/bin/env python3
"""Streamlit behind nginx, which asks Evergate about each request: a page over one WebSocket, and files that are sent to it.

`app_streamlit.py deploy` runs the cases so named.
"""

import os
import sys

from packages import python_packages
from real_apps import App, try_app
from world import answers, eventually

VERSION = "1.67.0"

PAGE = """
import streamlit as st

@st.cache_resource
def works():
    return {}

user = st.context.headers.get("X-Forwarded-Preferred-Username")
st.write(f"user {user}")
if st.button("work"):
    works()[user] = works().get(user, 0) + 1
st.write(f"seen {works().get(user, 0)}")
file = st.file_uploader("file")
if file:
    st.write(f"got {file.getvalue().decode()}")
"""


class Streamlit(App):
    name, ingress = "streamlit", "nginx"

    @staticmethod
    def install():
        return python_packages(f"streamlit-{VERSION}", f"streamlit=={VERSION}")

    def start(self):
        script, home = self.world.directory / "page.py", self.world.directory / "streamlit"
        script.write_text(PAGE)
        home.mkdir()
        env = {**os.environ, "HOME": str(home), "PYTHONPATH": str(self.install())}
        self.world.spawn("streamlit", [
            sys.executable, "-m", "streamlit", "run", script, "--server.port", self.port, "--server.address", "127.0.0.1",
            "--server.headless", "true", "--global.developmentMode", "false", "--browser.gatherUsageStats", "false", "--browser.serverAddress", self.front.host,
        ], env, home)
        eventually("Streamlit answers", lambda: answers(f"http://127.0.0.1:{self.port}/_stcore/health"), 120)

    def open(self, page):
        page.get_by_text(f"user {page.user}", exact=True).wait_for()

    def work(self, page, number):
        page.get_by_role("button", name="work", exact=True).click()
        page.get_by_text(f"seen {number}", exact=True).wait_for()
        # A file goes by a request of its own, with an XSRF token.
        page.locator("input[type=file]").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": f"file {number}".encode()})
        page.get_by_text(f"got file {number}", exact=True).wait_for()

    def return_to(self, page, number):
        page.get_by_text(f"seen {number}", exact=True).wait_for()


if __name__ == "__main__":
    try_app(Streamlit)
