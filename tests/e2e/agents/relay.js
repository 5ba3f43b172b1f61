// A relay to a gateway that adds a tool to the list of tools, as if the agent had kept a list from
// before. So the agent sends calls that the gateway must reject. Counts the calls of that tool.
//
// The agent reaches it by a name, like the gateway in a job with `container:`, because agents could reject
// a name that is not a loopback address without TLS.

import { createServer, request } from "node:http";
import { text } from "node:stream/consumers";

const NAME = "port-mcp-0123456789abcdef";

/** The lines of `/etc/hosts` that the agent needs. */
export const HOSTS = `127.0.0.1 localhost ${NAME}\n`;

export async function startRelay(gateway, tool) {
  let tried = 0;
  const server = createServer(async (incoming, outgoing) => {
    const body = await text(incoming);
    const { method, params } = body ? JSON.parse(body) : {};
    tried += method === "tools/call" && params.name === tool ? 1 : 0;
    const headers = { ...incoming.headers, host: new URL(gateway).host };
    const forwarded = request(new URL(incoming.url, gateway), { method: incoming.method, headers }, async (answer) => {
      if (method !== "tools/list") {
        outgoing.writeHead(answer.statusCode, answer.headers);
        answer.pipe(outgoing);
        return;
      }
      const list = JSON.parse(await text(answer));
      list.result.tools.push({ ...list.result.tools[0], name: tool });
      outgoing.writeHead(answer.statusCode, { "content-type": "application/json" }).end(JSON.stringify(list));
    });
    forwarded.on("error", () => outgoing.destroy());
    outgoing.on("close", () => forwarded.destroy());
    forwarded.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://${NAME}:${server.address().port}/v1`,
    tried: () => tried,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
