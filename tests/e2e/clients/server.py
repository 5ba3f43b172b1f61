"""An MCP server on the official Python SDK, whose events end in CR LF. Prints its URL as JSON."""

import json
import socket

import uvicorn
from mcp.server.fastmcp import Context, FastMCP

server = FastMCP("events", log_level="ERROR")


@server.tool()
async def change(context: Context) -> str:
    await context.session.send_tool_list_changed()
    return "changed"


@server.tool()
async def roots(context: Context) -> str:
    return " ".join(str(root.uri) for root in (await context.session.list_roots()).roots)


with socket.create_server(("127.0.0.1", 0)) as listener:
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"}), flush=True)
    uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error")).run([listener])
