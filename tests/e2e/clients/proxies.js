// Compares the forms of `no_proxy` in proxies.json with what curl, Python, and Node.js make of them. `src/http/proxy.rs`
// must read each as the file says.
//
// proxies.js

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import { promisify } from "node:util";

const forms = JSON.parse(readFileSync(new URL("proxies.json", import.meta.url)));
const run = promisify(execFile);
const PATH = process.env.PATH;

// Rejects each tunnel. `tunnels` are the ones that a program has asked for.
let tunnels = 0;
const proxy = http.createServer().on("connect", (_request, socket) => {
  tunnels += 1;
  socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
});
await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
const https_proxy = `http://127.0.0.1:${proxy.address().port}`;

/** Whether a program asks the proxy. Without it, it fails too. */
async function asks(program, args, env) {
  const before = tunnels;
  await run(program, args, { env: { PATH, https_proxy, ...env } }).catch(() => {});
  return tunnels > before;
}

// Neither resolves a name nor leaves this machine.
const NODE = `
  require("node:net").Socket.prototype.connect = ((connect) => function (...args) {
    const { host } = args.flat()[0];
    return host === "127.0.0.1" ? connect.apply(this, args) : this.destroy(new Error("direct"));
  })(require("node:net").Socket.prototype.connect);
  fetch(process.argv[1]).catch(() => {});
`;
const PYTHON = `
import json, sys
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment
forms = json.load(sys.stdin)
print(json.dumps([not proxy_bypass_environment(urlsplit(f["url"]).netloc, {"no": f["no_proxy"]}) for f in forms]))
`;

const PROGRAMS = {
  curl: (no_proxy, url) =>
    asks("curl", ["--silent", "--max-time", "5", "--connect-to", "::127.0.0.1:1", url], { no_proxy }),
  node: (no_proxy, url) => asks(process.execPath, ["-e", NODE, url], { no_proxy, NODE_USE_ENV_PROXY: "1" }),
};

const python = run("python3", ["-c", PYTHON]);
python.child.stdin.end(JSON.stringify(forms));
const ofPython = JSON.parse((await python).stdout);

const problems = [];
for (const [index, { no_proxy, url, proxied, others = {} }] of forms.entries()) {
  const found = { python: ofPython[index] };
  for (const [name, isProxied] of Object.entries(PROGRAMS)) {
    found[name] = await isProxied(no_proxy, url);
  }
  for (const [name, is] of Object.entries(found)) {
    if (is !== (others[name] ?? proxied)) {
      problems.push(`${name}, ${JSON.stringify(no_proxy)}, ${url}: ${is ? "the proxy" : "direct"}`);
    }
  }
}
proxy.close();
console.log(`${forms.length} forms of \`no_proxy\`, each for curl, Python, and Node.js`);
if (problems.length) {
  console.error(problems.join("\n"));
  process.exitCode = 1;
}
