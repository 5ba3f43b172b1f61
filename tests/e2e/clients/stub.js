// An MCP server that answers one request of a session with a chosen status and body, and all others well.

import { createServer } from "node:http";
import { once } from "node:events";

import { REVISIONS } from "./clients.js";

// The text of the error.
export const TEXT = "the reason";

const JSON_TYPE = { "content-type": "application/json" };
const error = (id) => JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32600, message: TEXT } });

// The headers and the content of a response to the request with this id.
export const BODIES = {
  "own id": (id) => [JSON_TYPE, error(id)],
  "id null": () => [JSON_TYPE, error(null)],
  event: (id) => [{ "content-type": "text/event-stream" }, `event: message\ndata: ${error(id)}\n\n`],
  text: () => [{ "content-type": "text/plain" }, TEXT],
  nothing: () => [{}, undefined],
};

const server = { capabilities: { tools: {} }, serverInfo: { name: "stub", version: "1" } };
const text = (text) => ({ content: [{ type: "text", text }] });

// The good results by method, for a case of this revision.
const RESULTS = {
  // A client whose first request of the revision without sessions fails may fall back to this.
  initialize: () => ({ protocolVersion: REVISIONS.initialize, ...server }),
  "server/discover": (revision) => ({ supportedVersions: [revision], ...server }),
  "tools/list": () => ({ tools: [{ name: "good", inputSchema: { type: "object" } }] }),
  "tools/call": () => text("good"),
};

// Whether a request gets the bad answer of a case of this method.
function isBad(method, { method: requested, params }) {
  return requested === method && (!method.startsWith("tools/") || [params?.name, params?.cursor].includes("bad"));
}

// Starts the server. Returns it, the URL of a case, and how many requests got the bad answer of a case. A case is an
// array of a revision, a method, a status, a body, and who asks.
export async function start() {
  const counts = new Map();
  let sessions = 0;
  const http = createServer(async (request, response) => {
    const key = decodeURIComponent(request.url.slice(1));
    const [revision, method, status, body] = JSON.parse(key);
    const data = await request.toArray().catch(() => []);
    const message = request.method === "POST" && data.length ? JSON.parse(Buffer.concat(data)) : undefined;
    const respond = (status, [headers, content]) => response.writeHead(status, headers).end(content);
    if (!message) {
      respond(405, [{}]);
    } else if (message.id === undefined) {
      respond(202, [{}]);
    } else if (isBad(method, message)) {
      counts.set(key, (counts.get(key) ?? 0) + 1);
      respond(status, BODIES[body](message.id));
    } else {
      const isStateless = request.headers["mcp-protocol-version"] === REVISIONS.discover;
      const result = {
        ...(isStateless && { resultType: "complete", ttlMs: 0, cacheScope: "private" }),
        ...RESULTS[message.method](revision),
      };
      const session = message.method === "initialize" && { "mcp-session-id": `session-${++sessions}` };
      respond(200, [{ ...JSON_TYPE, ...session }, JSON.stringify({ jsonrpc: "2.0", id: message.id, result })]);
    }
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const base = `http://127.0.0.1:${http.address().port}`;
  return {
    http,
    url: (parts) => `${base}/${encodeURIComponent(JSON.stringify(parts))}`,
    count: (parts) => counts.get(JSON.stringify(parts)) ?? 0,
  };
}
