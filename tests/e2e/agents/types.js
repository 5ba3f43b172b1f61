// Whether JSON is of a type, as TypeScript's compiler says.

import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// Beside the packages, where the compiler finds them.
const directory = dirname(dirname(dirname(fileURLToPath(import.meta.resolve("yaml/package.json")))));

/** The compiler's errors for this JSON in the place of a value of this type; none if it fits. */
export function typeErrors(type, json) {
  const file = join(directory, "emitted.ts");
  writeFileSync(file, `export const emitted: ${type} = ${json};\n`);
  const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext"];
  const { stdout, stderr } = spawnSync("tsc", [...options, file], { encoding: "utf8" });
  rmSync(file);
  return stdout + stderr;
}
