"""An MCP client that is told a server's address and nothing else: python3 mcp_client.py URL USER CALLS

It finds the provider by the server's refusal (RFC 9728), registers there, logs its user in as a browser would, and asks the tool
`whoami` so often, a pause after each. Prints each answer, and last the provider that it found.
"""

import asyncio
import sys
import urllib.parse

import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

url, user, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
CALLBACK = "http://127.0.0.1:1/callback"


class Memory:
    tokens = client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


class Browser:
    """Logs in at npm's oidc-provider."""

    came_back = None

    async def go(self, address):
        # The client authorizes anew when a token expires on its way: that login has a `state` of its own.
        self.came_back = None
        async with httpx2.AsyncClient() as browser:
            answer = await browser.get(address, headers={"accept": "text/html"})
            while not self.came_back:
                address = urllib.parse.urljoin(str(answer.url), answer.headers["location"])
                if address.startswith(CALLBACK):
                    self.came_back = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
                elif "/interaction/" in address:
                    page = (await browser.get(address)).text
                    prompt = "login" if 'value="login"' in page else "consent"
                    form = {"prompt": prompt, "login": user, "password": "any"}
                    answer = await browser.post(address, data=form)
                else:
                    answer = await browser.get(address, headers={"accept": "text/html"})

    async def result(self):
        back = self.came_back
        return AuthorizationCodeResult(code=back["code"], state=back.get("state"), iss=back.get("iss"))


async def main():
    browser = Browser()
    metadata = OAuthClientMetadata(client_name="a client", redirect_uris=[CALLBACK])
    auth = OAuthClientProvider(url, metadata, Memory(), redirect_handler=browser.go, callback_handler=browser.result)
    async with httpx2.AsyncClient(auth=auth, timeout=60) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            for _ in range(calls):
                answer = await client.call_tool("whoami", {})
                print(answer.content[0].text, flush=True)
                await asyncio.sleep(1)
    print(auth.context.protected_resource_metadata.authorization_servers[0])


asyncio.run(main())
