"""An MCP server (Model Context Protocol) that knows nothing of logins: its one tool says whom its gateway has named.

Prints the port that it listens on, and ends with its standard input.
"""

import asyncio
import socket
import sys
import threading

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.transport_security import TransportSecuritySettings

server = MCPServer("whoami", log_level="ERROR")


@server.tool()
def whoami(context: Context) -> str:
    headers = context.request_context.request.headers
    return f"{headers.get('x-forwarded-user')} {headers.get('authorization')}"


# It is asked by the name that its gateway is known by.
app = server.streamable_http_app(transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False))
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
serving = uvicorn.Server(uvicorn.Config(app, log_level="error"))


def end_with_input():
    sys.stdin.read()
    serving.should_exit = True


threading.Thread(target=end_with_input, daemon=True).start()
asyncio.run(serving.serve(sockets=[listener]))
