// Downloads the release's binary for this runner, compares it with the digest in the release's commit, and
// runs it. Has no dependencies: the files in this directory are all that runs before the binary.
"use strict";

const { spawn } = require("node:child_process");
const { createHash } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

const { env } = process;

/** An error that the user can resolve. Its message ends in a hint. */
class Failure extends Error {}

// curl's exit statuses for connections that broke, which `--retry` leaves out: a part of the file, HTTP/2, TLS, an empty
// response, and errors while sending and receiving (https://curl.se/docs/manpage.html).
const BROKEN = [16, 18, 35, 52, 55, 56, 92];
const DOWNLOADS = 3;
const PAUSE_MS = 1000;
// The others, for which the usual hint would be wrong.
const NOT_WRITTEN = 23;

/** The codes of errors, by words of the error. Each is a heading of docs/troubleshooting.md. */
const CODES = {
  "No binary for": "binary-missing",
  "The binary could not be downloaded": "binary-not-downloaded",
  "Checksum mismatch for the binary": "binary-checksum",
  "The binary could not be moved": "binary-not-moved",
  "The binary could not be started": "binary-not-started",
  "The binary was ended by": "binary-ended",
};

/** The program that runs now, and the signals that this process received. */
let child;
let isCancelled = false;

/**
 * Runs a phase of the binary, and sets the exit status to that of the binary, or to 130 after a signal.
 * @param {"connect" | "cleanup"} phase
 */
async function run(phase) {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => forward(signal));
  }
  try {
    const binary = await obtain(phase);
    process.exitCode = binary ? await start(binary, phase) : 130;
  } catch (error) {
    const message =
      error instanceof Failure
        ? error.message
        : `The binary action failed: ${error.message}\nhint: check the disk and the permissions of the runner; if the error persists, report it`;
    console.log(annotation(message));
    process.exitCode = 1;
  }
}

function forward(signal) {
  isCancelled = true;
  // On Windows, the runner sends Ctrl+C to all processes of the console, and `kill` would not let the binary
  // clean up.
  if (process.platform !== "win32") child?.kill(signal);
}

/** Runs the binary. Returns its exit status. */
async function start(binary, phase) {
  // For post.js. Before the binary starts, because it can also fail after it has created what to clean up.
  if (phase === "connect" && env.GITHUB_STATE) {
    try {
      fs.appendFileSync(env.GITHUB_STATE, "started=true\n");
    } catch (error) {
      throw new Failure(`The state of the step could not be saved (${error.code}), so that its post phase would not run
hint: check the permissions of \`GITHUB_STATE\` and the free space of the runner`);
    }
  }
  const { status, signal } = await execute(binary, [phase], "inherit").catch((error) => {
    throw new Failure(`The binary could not be started: ${error.message}
hint: check that \`RUNNER_TEMP\` is not mounted with \`noexec\`, and that no security software blocks the binary`);
  });
  if (signal && !isCancelled) {
    throw new Failure(`The binary was ended by ${signal}
hint: check whether the memory of the runner was exhausted`);
  }
  return status ?? 130;
}

/**
 * Runs a program to its end. Until then, it gets the signals that this process receives.
 * @returns {Promise<{ status: ?number, signal: ?string, stderr: string }>} rejected if it cannot be started
 */
function execute(program, args, stdio, environment = env) {
  return new Promise((resolve, reject) => {
    let stderr = "";
    child = spawn(program, args, { stdio, env: environment });
    child.stderr?.setEncoding("utf8").on("data", (text) => (stderr += text));
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status, signal, stderr }));
  });
}

/** Returns the path of a binary with the right digest, or nothing after a signal. */
async function obtain(phase) {
  const { digest, url } = asset();
  const file = path.posix.basename(url);
  // Kept for the post phase and for other calls in this job, which check it again.
  const name = `${digest.slice(0, 16)}-${file}`;
  const kept = path.join(env.RUNNER_TEMP, name);
  // For a post phase after a step that emptied the temporary directory: it works without the network.
  const spare = path.join(__dirname, name);
  const found = [kept, ...(phase === "cleanup" ? [spare] : [])].find((one) => isIntact(one, digest));
  if (found) {
    if (phase === "connect") copy(kept, spare, digest);
    return found;
  }

  let own;
  try {
    own = fs.mkdtempSync(path.join(env.RUNNER_TEMP, "download."));
  } catch {
    throw new Failure(`The directory in \`RUNNER_TEMP\` is not writable: ${env.RUNNER_TEMP}
hint: check its permissions and the free space of the runner`);
  }
  try {
    const downloaded = path.join(own, file);
    const source = mirror(url, file) ?? { url, name: url, isSafe: true };
    await download(source, downloaded);
    if (isCancelled) return undefined;
    if (!fs.existsSync(downloaded)) {
      throw new Failure(`The binary could not be downloaded from ${source.name}: curl wrote no file
hint: check that \`curl\` is the program of that name`);
    }
    const found = sha256(downloaded);
    if (found !== digest) {
      throw new Failure(`Checksum mismatch for the binary from ${source.name}: its SHA-256 digest is ${found}, expected ${digest}. It was not run.
hint: check whether a proxy replaced the download; if not, report this to the maintainers`);
    }
    keep(downloaded, kept, digest);
    copy(kept, spare, digest);
    return kept;
  } finally {
    // On Windows, a virus scanner can have the file open for a moment.
    fs.rmSync(own, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Returns the URL and the SHA-256 digest of the binary for this runner, which a release writes into `assets`. */
function asset() {
  const assets = path.join(__dirname, "assets");
  if (!fs.existsSync(assets)) {
    throw new Failure(`No binary for this commit
hint: pin the commit of a release, or use the main action, which builds its image with Docker`);
  }
  const missing = ["RUNNER_OS", "RUNNER_ARCH", "RUNNER_TEMP"].filter((name) => !env[name]);
  if (missing.length) {
    throw new Failure(`Not set: ${missing.map((name) => `\`${name}\``).join(", ")}
hint: GitHub's runner sets these variables for every step; if another program starts this step, pass them to it`);
  }
  const lines = [...fs.readFileSync(assets, "utf8").matchAll(/^([0-9a-f]{64}) (\S+)$/gm)];
  const all = lines.map(([, digest, url]) => ({ digest, url, platform: path.posix.basename(url).replace("port-mcp-", "") }));
  const platform = `${env.RUNNER_OS}-${env.RUNNER_ARCH}`.toLowerCase();
  const found = all.find((one) => one.platform === platform || one.platform === `${platform}.exe`);
  if (!found) {
    throw new Failure(`No binary for ${env.RUNNER_OS} on ${env.RUNNER_ARCH} (available: ${all.map((one) => one.platform).join(" ")})
hint: use another runner`);
  }
  return found;
}

/**
 * Returns the mirror, if there is one: for runners that cannot reach the release. It does not need to be
 * trusted, but its URL can contain a password, or a token in the path or in the query. So only its host is
 * part of messages.
 */
function mirror(url, file) {
  const given = env.PORT_MCP_BINARIES?.trim();
  if (!given) return undefined;
  if (given.includes("#")) {
    throw new Failure(`The URL in \`PORT_MCP_BINARIES\` contains a \`#\`, after which nothing is sent to a server
hint: remove that part, or write it as \`%23\``);
  }
  const [, address, query] = /^([^?]*)(.*)$/s.exec(given);
  const mirrored = `${address.replace(/\/$/, "")}/${file}${query}`;
  // For `user:1/2@host`, curl treats `user` as the host and prints it.
  const plain = /^[a-z][a-z0-9+.-]*:\/\/([^/?#@]*@)?(?<host>([a-z0-9._-]*|\[[0-9a-f:.]+\]))(?<port>:[0-9]*)?([/?#][^@]*)?$/i;
  const { host, port = "" } = plain.exec(mirrored)?.groups ?? {};
  const name = "the mirror in `PORT_MCP_BINARIES`" + (host ? ` (${host}${port})` : "");
  return { url: mirrored, name, isSafe: host !== undefined };
}

/** Downloads with curl, because it uses the proxy and the certificate authorities of the system. */
async function download({ url, name, isSafe }, file) {
  const options = "--disable --silent --show-error --fail --location --globoff --retry 4 --retry-connrefused --max-time 120";
  const args = [...options.split(" "), "--output", file, "--url", url];
  // Without the inputs and the state: curl does not need the secrets in them.
  const others = Object.fromEntries(Object.entries(env).filter(([name]) => !/^(INPUT|STATE)_/i.test(name)));
  let why;
  let hint =
    "allow access to it, set the runner's `https_proxy`, or set `PORT_MCP_BINARIES` to the URL of a mirror";
  for (let left = DOWNLOADS; left > 0; left -= 1) {
    try {
      const { status, stderr } = await execute("curl", args, ["ignore", "ignore", "pipe"], others);
      if (isCancelled || status === 0) return;
      why = (isSafe && curlError(stderr)) || `curl exited with status ${status}`;
      const [, ofProxy] = /HTTP code (\d+) from proxy/.exec(stderr) ?? /CONNECT tunnel failed, response (\d+)/.exec(stderr) ?? [];
      if (status === NOT_WRITTEN) hint = "check the free space and the permissions of `RUNNER_TEMP`";
      if (ofProxy) hint = "check that the proxy in the runner's `https_proxy` accepts its credentials and the host";
      if (ofProxy || !BROKEN.includes(status)) break;
    } catch (error) {
      why = `curl could not be started (${error.code})`;
      hint = "install curl on the runner";
      break;
    }
    if (left > 1) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    if (isCancelled) return;
  }
  throw new Failure(`The binary could not be downloaded from ${name}: ${why}\nhint: ${hint}`);
}

/**
 * Returns curl's last error message, without quoted text and without words that could be part of a URL: the
 * URL of the mirror, of a proxy, or of a redirect can contain a password or a token.
 */
function curlError(stderr) {
  const lines = stderr.split("\n").filter((line) => line.startsWith("curl: "));
  return lines
    .at(-1)
    ?.replace(/ ["'`].*["'`]/s, " …")
    .replace(/ ["'`].*/s, " …")
    .replace(/[^ ]*[/@?=\\][^ ]*/g, "…")
    .replace(/\p{Cc}/gu, " ")
    .slice(0, 300)
    .trimEnd();
}

/** Moves the file to the path at which it is kept. Other jobs can share the directory and do the same. */
function keep(file, kept, digest) {
  try {
    fs.chmodSync(file, 0o755);
    // A rename replaces a file or a link atomically, but not a directory.
    if (fs.lstatSync(kept, { throwIfNoEntry: false })?.isDirectory()) fs.rmSync(kept, { recursive: true, force: true });
    fs.renameSync(file, kept);
  } catch {
    // Windows does not replace a running program.
    if (isIntact(kept, digest)) return;
    throw new Failure(`The binary could not be moved to ${kept}
hint: check the permissions of \`RUNNER_TEMP\` and the free space of the runner`);
  }
}

/** Copies the binary. Without the copy, the post phase downloads it again if necessary. */
function copy(kept, spare, digest) {
  if (isIntact(spare, digest)) return;
  const part = `${spare}.${process.pid}`;
  try {
    fs.copyFileSync(kept, part, fs.constants.COPYFILE_FICLONE);
    fs.renameSync(part, spare);
  } catch {
    try {
      fs.rmSync(part, { force: true, maxRetries: 5 });
    } catch {
      // A virus scanner has it open.
    }
  }
}

/**
 * Whether the path is the binary, because any step can write to that directory. A step could still replace it
 * between this check and the start, but such a step can do everything that this one can.
 */
function isIntact(kept, digest) {
  try {
    fs.accessSync(kept, fs.constants.X_OK);
    return fs.lstatSync(kept).isFile() && sha256(kept) === digest;
  } catch {
    return false;
  }
}

function sha256(file) {
  return createHash("sha256").update(fs.readFileSync(file)).digest("hex");
}

/**
 * Returns the runner's command for an error. Escaped: otherwise, a newline would end the annotation, and the
 * text after it could be a workflow command.
 */
function annotation(message) {
  const { GITHUB_SERVER_URL: server, GITHUB_ACTION_REPOSITORY: repository, GITHUB_ACTION_REF: ref } = env;
  const page = "docs/troubleshooting.md#binary-action";
  const link = server && repository && ref ? `${server}/${repository}/blob/${ref}/${page}` : page;
  // The runner cuts after 4,096 characters. A long address or path must not take the hint with it.
  const [what, ...hint] = withoutPairs(message).split("\nhint: ");
  const text = [what.slice(0, 2000), ...hint.map((hint) => hint.slice(0, 1000))].join("\nhint: ") + `\nsee: ${link}`;
  const [, code] = Object.entries(CODES).find(([words]) => what.startsWith(words)) ?? [, "binary-failed"];
  return `::error title=Port MCP [${code}]::${text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A")}`;
}

/**
 * Returns the text with the number of each character that UTF-16 writes as a pair: the runner cuts errors, and a cut
 * inside of a pair ends it, without a post step.
 */
function withoutPairs(text) {
  return text.replace(/[\u2039\u{10000}-\u{10ffff}]/gu, (c) => `\u2039U+${c.codePointAt(0).toString(16).toUpperCase()}\u203a`);
}

module.exports = { run };
