#!/usr/bin/env python3
"""Node-RED behind Evergate behind HAProxy: an editor whose messages come over a WebSocket. `app_node_red.py deploy` runs the cases so named."""

import contextlib
import json
import os
import shutil
import subprocess

from real_apps import App, try_app
from world import CACHE, Skip, answers, eventually, need

VERSION = "4.1.8"

# A button, a counter in the flow's own memory, and the sidebar that shows what the counter says.
FLOW = [
    {"id": "tab", "type": "tab", "label": "work"},
    {"id": "button", "type": "inject", "z": "tab", "name": "work", "props": [{"p": "payload"}], "payload": "", "payloadType": "date",
     "x": 200, "y": 100, "wires": [["counter"]]},
    {"id": "counter", "type": "function", "z": "tab", "name": "counter", "outputs": 1, "x": 400, "y": 100, "wires": [["shown"]],
     "func": "flow.set('n', (flow.get('n') || 0) + 1); msg.payload = 'seen ' + flow.get('n'); return msg;"},
    {"id": "shown", "type": "debug", "z": "tab", "name": "shown", "active": True, "tosidebar": True, "complete": "payload",
     "targetType": "msg", "x": 600, "y": 100, "wires": []},
]


# The button of the flow on the canvas.
BUTTON = "#button .red-ui-flow-node-button-button"


class NodeRed(App):
    name, ingress = "node-red", "haproxy"

    @staticmethod
    def install():
        need("npm")
        folder = CACHE / f"node-red-{VERSION}"
        if folder.exists():
            return folder
        unfinished = CACHE / f"node-red-{VERSION}.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        npm = ["nice", "npm", "install", "--prefix", unfinished, "--no-audit", "--no-fund", "--loglevel=error", f"node-red@{VERSION}"]
        done = subprocess.run(npm, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise Skip(f"npm's node-red cannot be installed: {done.stderr.strip()[-300:]}")
        unfinished.rename(folder)
        return folder

    def start(self):
        home = self.world.directory / "node-red"
        home.mkdir()
        (home / "flows.json").write_text(json.dumps(FLOW))
        (home / "settings.js").write_text(
            "module.exports = { flowFile: 'flows.json', uiHost: '127.0.0.1', telemetry: { enabled: false, updateNotification: false },\n"
            "  editorTheme: { tours: false } };\n"
        )
        script = self.install() / "node_modules" / "node-red" / "red.js"
        env = {**os.environ, "HOME": str(home), "NODE_RED_DISABLE_TELEMETRY": "1"}
        self.world.spawn("node-red", ["node", script, "--userDir", home, "--port", self.port], env, home)
        eventually("Node-RED answers", lambda: answers(f"http://127.0.0.1:{self.port}/settings"), 60)

    def open(self, page):
        self.show(page)
        page.pressed = 0
        # What the counter has counted for others.
        page.counted = self.press(page) - page.pressed

    @staticmethod
    def show(page):
        """Waits for the editor, with the sidebar of messages."""
        page.locator(BUTTON).wait_for()
        page.locator(".red-ui-tab-link-button[href='#debug']").first.click()

    @staticmethod
    def press(page):
        """Presses the button of the flow until its message comes over the WebSocket; returns what has been counted.

        Node-RED keeps no message for an editor that is about to connect again.
        """
        messages = page.locator(".red-ui-debug-msg")
        before = messages.count()

        def has_come():
            page.pressed += 1
            page.locator(BUTTON).click()
            with contextlib.suppress(Exception):
                messages.nth(before).wait_for(timeout=5_000)
                return True

        eventually("a message comes", has_come, 60)
        said = messages.last.locator(".red-ui-debug-msg-type-string").last.inner_text().strip('"')
        return int(said.removeprefix("seen "))

    def work(self, page, number):
        seen = self.press(page)
        assert seen == page.counted + page.pressed, f"{seen}, not {page.counted} and {page.pressed}"

    def return_to(self, page, number):
        self.show(page)


if __name__ == "__main__":
    try_app(NodeRed)
