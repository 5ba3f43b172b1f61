// Records the files that the real agents write at each of their ends, for the test of `port-mcp answer` without them.
//
// record.js [AGENT...]

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { AGENTS, isExpected, reach } from "./ends.js";

const directory = new URL("../../action/recorded/", import.meta.url);
const programs = dirname(dirname(fileURLToPath(import.meta.resolve("yaml/package.json"))));
const { dependencies } = JSON.parse(readFileSync(new URL("package.json", import.meta.url)));

// What differs from run to run.
const CHANGING = [
  [/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "00000000-0000-0000-0000-000000000000"],
  [/\d{4}-\d\d-\d\dT\d\d[:-]\d\d[:-]\d\d[.-]\d+(Z|\+00:00)/g, "2026-01-01T00:00:00.000Z"],
  [/127\.0\.0\.1:\d{4,}/g, "127.0.0.1:8080"],
  [/("\w*(?:_ms|Ms|_usd|USD)": ?)[\d.e-]+/g, "$10"],
];
const settled = (text, root) =>
  CHANGING.reduce((settled, [pattern, by]) => settled.replace(pattern, by), text.replaceAll(root, "/job").replaceAll(programs, "/programs"));

const chosen = process.argv.slice(2);
for (const [name, { program, suffix, ends }] of Object.entries(AGENTS)) {
  if (chosen.length && !chosen.includes(name)) {
    continue;
  }
  const own = new URL(`${name}/`, directory);
  rmSync(own, { recursive: true, force: true });
  mkdirSync(own, { recursive: true });
  const write = (file, text) => writeFileSync(new URL(file, own), text);
  const files = [];
  for (const [end, expected] of Object.entries(ends)) {
    const { root, text, stderr, ...result } = await reach(name, end);
    assert(isExpected(expected, result), `${name}, ${end}: ${JSON.stringify(result)}`);
    const file = `${end}.${expected.suffix ?? suffix}`;
    write(file, settled(text, root));
    if (stderr) {
      write(`${end}.stderr.txt`, settled(stderr, root));
    }
    const { how = "as documented", passes, fails } = expected;
    files.push({ file, stderr: stderr ? `${end}.stderr.txt` : undefined, how, passes, fails });
    console.log(`recorded  ${name}, ${end}`);
  }
  const workflow = `docs/workflows/${name}.yml`;
  write("recorded.json", `${JSON.stringify({ agent: name, program, version: dependencies[program], workflow, files }, null, 2)}\n`);
}
