// What a server of the official Python SDK sends on the stream of a session reaches the official TypeScript client
// through the gateway at once. Such a server sends a comment every 15 seconds: an event that arrives only with it is
// late.
//
// events.js INSTALLED BUILT

import assert from "node:assert/strict";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { end, start, startGateway } from "../lib/gateway.js";
import { gateway, python } from "./clients.js";

const ROOT = "file:///workspace";
// In milliseconds.
const LIMIT = 10_000;

try {
  const server = await start(python(1), [new URL("server.py", import.meta.url).pathname]);
  const { url, key } = await startGateway(gateway, server.url, ["change", "roots"]);

  const opened = Promise.withResolvers();
  const changed = Promise.withResolvers();
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { authorization: `Bearer ${key}` } },
    async fetch(url, init) {
      const response = await fetch(url, init);
      if (init.method === "GET") {
        opened.resolve(response.status);
      }
      return response;
    },
  });
  const client = new Client({ name: "client", version: "1" }, { capabilities: { roots: {} } });
  client.setNotificationHandler("notifications/tools/list_changed", () => changed.resolve());
  client.setRequestHandler("roots/list", () => ({ roots: [{ uri: ROOT }] }));
  await client.connect(transport);
  assert.equal(await opened.promise, 200);

  const timer = setTimeout(() => changed.reject(new Error("list_changed is late")), LIMIT);
  await Promise.all([client.callTool({ name: "change" }), changed.promise]);
  clearTimeout(timer);
  const { content } = await client.callTool({ name: "roots" }, { timeout: LIMIT });
  assert.equal(content[0].text, ROOT);
  await client.close();
  console.log("list_changed and roots/list arrive at once");
} finally {
  end();
}
