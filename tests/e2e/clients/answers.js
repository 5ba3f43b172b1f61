// How the official clients take each kind of error: what they show, and whether the session still works after it.
// Compares this with expected.json; with UPDATE_EXPECTED=1, writes it.
//
// answers.js INSTALLED BUILT

import { readFileSync, writeFileSync } from "node:fs";

import { CLIENTS, outcomes, REVISIONS } from "./clients.js";
import { BODIES, start, TEXT } from "./stub.js";

const STATUSES = [200, 202, 400, 401, 403, 404, 405, 408, 410, 413, 415, 429, 500, 503];
// For the methods other than tools/call.
const [FEW_STATUSES, FEW_BODIES] = [
  [200, 400, 404, 413, 503],
  ["own id", "id null", "event"],
];
// In seconds. No answer within the first is believed if it is expected; otherwise the machine may only be slow. Some
// clients themselves wait for 10 seconds for the answer to their first request.
const [LIMIT, LONG_LIMIT, LIMIT_OF_GOOD] = [2, 8, 60];

const EXPECTED = new URL("expected.json", import.meta.url);

function* cases(revision) {
  const first = revision === REVISIONS.discover ? "server/discover" : "initialize";
  for (const method of ["tools/call", "tools/list", first]) {
    const isCall = method === "tools/call";
    for (const body of isCall ? Object.keys(BODIES) : FEW_BODIES) {
      const statuses = body === "event" ? [200] : isCall ? STATUSES : FEW_STATUSES;
      yield* statuses.map((status) => [revision, method, status, body]);
    }
  }
}

const BAD = { "tools/call": { name: "bad" }, "tools/list": { cursor: "bad" } };
const GOOD = { method: "tools/call", params: { name: "good" }, limit: LIMIT_OF_GOOD };

// An outcome without what differs between equal ones.
function shown(outcome, status) {
  const text = outcome
    .replace(/\{"jsonrpc".*\}/, "(the body)")
    .replace(/\[\s.*/s, "(errors of the schema)")
    .replace(/Transport \[.*\] error: /, "")
    .replace(new RegExp(`(HTTP )?${status}( [A-Z][A-Za-z ]*)?`), "(the status)");
  return text.trim().replace(/:$/, "");
}

// The reactions of a client to cases, by name.
async function react(stub, client, cases, limit) {
  const asked = cases.map((parts) => [...parts, client, limit]);
  const scripts = cases.map(([revision, method], index) => ({
    url: stub.url(asked[index]),
    revision,
    limit: method in BAD ? LIMIT_OF_GOOD : limit,
    steps: method in BAD ? [{ method, params: BAD[method], limit }, GOOD] : [GOOD],
  }));
  const all = await outcomes(client, scripts);
  return all.map(([connected, ...steps], index) => {
    const [, method, status] = cases[index];
    const relevant = method in BAD && connected === "a result" ? steps : [connected, ...steps];
    const reaction = relevant.map((outcome) => shown(outcome, status)).join(", then: ");
    const count = stub.count(asked[index]);
    return count > 1 ? `${reaction} (requested ${count} times)` : reaction;
  });
}

const nameOf = (client, [revision, method, status, body]) => `${client}, ${revision}, ${method}, ${status}, ${body}`;

// The reactions of a client to all cases, by name. Repeats those that are not expected and without an answer.
async function reactions(stub, client, expected) {
  const all = CLIENTS[client].revisions.flatMap((revision) => [...cases(revision)]);
  const found = await react(stub, client, all, LIMIT);
  const unsure = [...all.keys()].filter(
    (index) => found[index].includes("no answer") && found[index] !== expected.get(nameOf(client, all[index])),
  );
  const again = unsure.length
    ? await react(stub, client, unsure.map((index) => all[index]), LONG_LIMIT)
    : [];
  unsure.forEach((index, position) => (found[index] = again[position]));
  return all.map((parts, index) => [nameOf(client, parts), found[index]]);
}

// The format of expected.json: the statuses by client, revision, and method, by reaction, and by body.
function grouped(reactions) {
  const groups = {};
  for (const [name, reaction] of reactions) {
    const [client, revision, method, status, body] = name.split(", ");
    const bodies = ((groups[`${client}, ${revision}, ${method}`] ??= {})[reaction] ??= {});
    bodies[body] = body in bodies ? `${bodies[body]} ${status}` : status;
  }
  return groups;
}

function* ungrouped(groups) {
  for (const [group, reactions] of Object.entries(groups)) {
    for (const [reaction, bodies] of Object.entries(reactions)) {
      for (const [body, statuses] of Object.entries(bodies)) {
        yield* statuses.split(" ").map((status) => [`${group}, ${status}, ${body}`, reaction]);
      }
    }
  }
}

const isUpdate = process.env.UPDATE_EXPECTED === "1";
const expected = new Map(isUpdate ? [] : ungrouped(JSON.parse(readFileSync(EXPECTED))));
const stub = await start();
try {
  const all = await Promise.all(Object.keys(CLIENTS).map((client) => reactions(stub, client, expected)));
  const found = new Map(all.flat());
  if (isUpdate) {
    writeFileSync(EXPECTED, `${JSON.stringify(grouped(found), null, 2)}\n`);
  } else {
    const names = new Set([...expected.keys(), ...found.keys()]);
    for (const name of [...names].filter((name) => expected.get(name) !== found.get(name))) {
      console.error(`${name}:\n  expected: ${expected.get(name)}\n  now:      ${found.get(name)}`);
      process.exitCode = 1;
    }
  }
  // What the gateway relies on.
  for (const [name, reaction] of found) {
    if (/, tools.*, 200, own id$/.test(name) && !reaction.endsWith(`${TEXT}, then: a result`)) {
      console.error(`${name}: must show the text, and leave the session: ${reaction}`);
      process.exitCode = 1;
    }
  }
  console.log(`${found.size} reactions of ${all.length} clients`);
} finally {
  stub.http.close();
  stub.http.closeAllConnections();
}
