// Checks JSON against a type with the TypeScript compiler.

import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// Next to the packages, where the compiler finds them.
const directory = dirname(dirname(dirname(fileURLToPath(import.meta.resolve("yaml/package.json")))));

/** Returns the compiler's errors for this JSON as a value of this type. Empty if it has the type. */
export function typeErrors(type, json) {
  const file = join(directory, "emitted.ts");
  writeFileSync(file, `export const emitted: ${type} = ${json};\n`);
  const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext"];
  const { stdout, stderr } = spawnSync("tsc", [...options, file], { encoding: "utf8" });
  rmSync(file);
  return stdout + stderr;
}
