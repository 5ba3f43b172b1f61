"""Runs scripts with the official Python client of the installed major version: see clients.js.

Reads a JSON array of them, and prints the outcomes of each.
"""

import asyncio
import json
import logging
import sys
from contextlib import AsyncExitStack
from importlib.metadata import version

from mcp.client.streamable_http import streamable_http_client

IS_FIRST = version("mcp").startswith("1.")
if IS_FIRST:
    import httpx
    from mcp import ClientSession, McpError
    from mcp.types import PaginatedRequestParams
else:
    import httpx2 as httpx
    from mcp import Client
    from mcp import MCPError as McpError

# The number of scripts that run at the same time.
SLOTS = 12

ENDED = "the session has ended"


async def connect(script, http, stack):
    transport = streamable_http_client(script["url"], http_client=http)
    if not IS_FIRST:
        return await stack.enter_async_context(Client(transport, mode=script["mode"]))
    read, write, _ = await stack.enter_async_context(transport)
    session = await stack.enter_async_context(ClientSession(read, write))
    await session.initialize()
    return session


async def perform(client, method, params):
    match method:
        case "tools/call":
            result = await client.call_tool(params["name"], params.get("arguments", {}))
            if result.isError if IS_FIRST else result.is_error:
                return f"an error as the result: {result.content[0].text}"
        case "tools/list" if IS_FIRST:
            await client.list_tools(params=PaginatedRequestParams(**params))
        case "tools/list":
            await client.list_tools(**params)
        case "notifications/progress":
            token, progress = params["progressToken"], params["progress"]
            await client.send_progress_notification(token, progress, message=params["message"])
        case "prompts/list":
            await client.list_prompts()
    return "a result"


def text_of(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, asyncio.CancelledError):
        return ENDED
    return str(error) if isinstance(error, McpError) else f"{type(error).__name__}: {error}"


async def outcome(limit, action):
    try:
        # Not `wait_for`: the contexts of the client must be entered and left in the same task.
        async with asyncio.timeout(limit) as deadline:
            return await action
    except BaseException as error:
        return "no answer" if deadline.expired() else text_of(error)


async def outcomes_of(script):
    outcomes = []
    headers = {}

    async def add(request):
        request.headers.update(headers)

    # Without `verify`, each client would read all certificate authorities.
    options = {"headers": script["headers"], "event_hooks": {"request": [add]}, "timeout": None, "verify": False}
    try:
        async with httpx.AsyncClient(**options) as http, AsyncExitStack() as stack:
            client = await outcome(script["limit"], connect(script, http, stack))
            if isinstance(client, str):
                outcomes.append(client)
                return outcomes
            outcomes.append("a result")
            for step in script["steps"]:
                headers = step["headers"]
                outcomes.append(await outcome(step["limit"], perform(client, step["method"], step["params"])))
    except BaseException as error:
        if not outcomes or ENDED not in outcomes:
            outcomes.append(text_of(error))
    return outcomes


async def run(script, slots):
    async with slots:
        return await outcomes_of(script)


async def main():
    slots = asyncio.Semaphore(SLOTS)
    # One task each: the client cancels its own one when a session ends.
    tasks = [asyncio.create_task(run(script, slots)) for script in json.load(sys.stdin)]
    print(json.dumps(await asyncio.gather(*tasks)))


logging.disable()
asyncio.run(main())
