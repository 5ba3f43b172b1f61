// Runs scripts with the official TypeScript client of a major version: see clients.js. Reads a JSON array of them, and
// prints the outcomes of each.
//
// client.js 1|2

const isFirst = process.argv[2] === "1";
const { Client, StreamableHTTPClientTransport } = isFirst
  ? {
      ...(await import("@modelcontextprotocol/sdk/client/index.js")),
      ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
    }
  : await import("@modelcontextprotocol/client");

// The number of scripts that run at the same time.
const SLOTS = 12;

const METHODS = {
  "tools/call": (client, params, options) =>
    isFirst ? client.callTool(params, undefined, options) : client.callTool(params, options),
  "notifications/progress": (client, params) => client.notification({ method: "notifications/progress", params }),
  "tools/list": (client, params, options) => client.listTools(params, options),
  // `listPrompts` of the second version does not ask a server without prompts.
  "prompts/list": (client, params, options) =>
    isFirst ? client.listPrompts(params, options) : client.request({ method: "prompts/list", params }, options),
};

async function outcome(action) {
  try {
    const result = await action();
    return result?.isError ? `an error as the result: ${result.content[0].text}` : "a result";
  } catch (error) {
    return /timed out/i.test(error.message) ? "no answer" : error.message;
  }
}

async function run({ url, mode, headers, limit, steps }) {
  let added = {};
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers },
    fetch(url, init) {
      const all = new Headers(init?.headers);
      Object.entries(added).forEach(([name, value]) => all.set(name, value));
      return fetch(url, { ...init, headers: all });
    },
  });
  const client = new Client({ name: "client", version: "1" }, { versionNegotiation: { mode } });
  const outcomes = [await outcome(() => client.connect(transport, { timeout: limit * 1000 }))];
  if (outcomes[0] === "a result") {
    for (const { method, params, headers, limit } of steps) {
      added = headers;
      outcomes.push(await outcome(() => METHODS[method](client, params, { timeout: limit * 1000 })));
    }
  }
  await client.close();
  return outcomes;
}

const scripts = JSON.parse(Buffer.concat(await process.stdin.toArray()).toString());
const outcomes = [];
const next = scripts.entries();
async function work() {
  for (const [index, script] of next) {
    outcomes[index] = await run(script);
  }
}
await Promise.all(Array.from({ length: SLOTS }, work));
console.log(JSON.stringify(outcomes));
