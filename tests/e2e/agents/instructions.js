// Instructions that a checkout could contain. Each file says its name, so that a request to the
// model shows which of them reached it.

import { basename, dirname } from "node:path";

const says = (path) => `These are the instructions in ${path}!`;

// Also valid as a skill, whose description alone reaches the model, and as a rule.
const content = (path) => `---\nname: ${basename(dirname(path))}\ndescription: ${says(path)}\napplyTo: "**"\n---\n${says(path)}\n`;

/** The files of a checkout with these paths. */
export const instructions = (paths) => Object.fromEntries(paths.map((path) => [path, content(path)]));

/** The paths of the files that reached the model, sorted. */
export function instructionsIn(received) {
  const bodies = received.filter(({ path }) => path.startsWith("/model/")).map(({ body }) => body);
  const found = bodies.flatMap((body) => [...body.matchAll(/These are the instructions in ([\w./-]+)!/g)]);
  return [...new Set(found.map(([, path]) => path))].sort();
}
