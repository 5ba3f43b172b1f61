// Measures the gateway and the stdio bridges against the fake Port server, and prints tables in Markdown.
//
//   node benches/gateway.js PORT_MCP FAKE_PORT BRIDGES SCRATCH
//
// `benches/gateway` builds and installs the programs, and starts this script. Requires Linux: memory and CPU
// time are read from /proc.
'use strict';

const { spawn } = require('node:child_process');
const { randomBytes } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const [portMcp, fakePort, bridges, scratch] = process.argv.slice(2).map((name) => path.resolve(name));

const STARTS = 7;
// The calls of one client. The first round is not part of the results: it warms up this script.
const ROUNDS = 20;
const CALLS_PER_ROUND = 25;
// The calls of several clients.
const LOADS = [1, 8, 64];
const LOAD_ROUNDS = 7;
const LOAD_CALLS = 3000;
const LARGE = 24 * 1024 * 1024;
const MIB = 1024 * 1024;
// Requests at the same time that hold as much memory as they can: lists and calls of nearly 4 MiB with as many keys as
// possible, and clients that do not read their results.
const FLOOD = { lists: 20, calls: 40, idle: 500, result: MIB / 2, keys: 340_000 };

const PROTOCOL = '2025-06-18';
const TOOL = 'list_blueprints';
const INITIALIZE = {
  protocolVersion: PROTOCOL,
  capabilities: {},
  clientInfo: { name: 'bench', version: '1' },
};

const clock = () => performance.now();
const progress = (text) => process.stderr.write(`${text} …\n`);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const quantile = (values, q) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
};
const median = (values) => quantile(values, 0.5);

// Processes

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
['SIGINT', 'SIGTERM'].forEach((signal) => process.on(signal, () => process.exit(1)));

function start(program, args, options) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], ...options });
  children.add(child);
  child.on('error', (error) => {
    throw error;
  });
  child.on('exit', () => children.delete(child));
  child.stdin.on('error', () => {});
  return child;
}

function end(child) {
  if (!children.has(child)) {
    return undefined;
  }
  const ended = new Promise((resolve) => child.on('exit', resolve));
  child.kill('SIGKILL');
  return ended;
}

/** The first output that contains `text`. */
function output(child, text) {
  return new Promise((resolve, reject) => {
    let all = '';
    child.stdout.on('data', (chunk) => {
      all += chunk;
      if (all.includes(text)) {
        resolve(all);
      }
    });
    child.on('exit', () => reject(new Error(`a program ended early: ${child.spawnargs[0]}`)));
  });
}

/** `VmRSS` or `VmHWM` of a process, in MiB. */
function memory(pid, field) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)[1]) / 1024;
}

/** The CPU time of all threads of a process, in milliseconds. */
function cpu(pid) {
  const times = fs.readdirSync(`/proc/${pid}/task`).map((thread) => {
    const [time] = fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
    return Number(time) / 1e6;
  });
  return times.reduce((sum, time) => sum + time, 0);
}

// Clients

/** An MCP client with one keep-alive connection, which sends one request at a time. */
class HttpClient {
  constructor(url, token, headers = {}) {
    this.url = new URL(url);
    this.headers = { ...headers, Authorization: `Bearer ${token}` };
    this.socket = net.connect(Number(this.url.port), this.url.hostname);
    this.socket.setNoDelay(true);
    this.socket.on('data', (chunk) => this.receive(chunk));
    this.socket.on('error', (error) => this.reject?.(error));
    this.socket.on('close', () => this.reject?.(new Error('the connection was closed')));
  }

  prepare(message) {
    const body = JSON.stringify({ jsonrpc: '2.0', ...message });
    const headers = {
      Host: this.url.host,
      Accept: 'application/json, text/event-stream',
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      ...this.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return Buffer.from(`POST ${this.url.pathname} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
  }

  /** Sends prepared bytes. The response is the chunks as received. */
  exchange(bytes) {
    return new Promise((resolve, reject) => {
      Object.assign(this, { resolve, reject, chunks: [], left: undefined, tail: '' });
      this.socket.write(bytes);
    });
  }

  receive(chunk) {
    this.chunks.push(chunk);
    if (this.left === undefined) {
      const head = Buffer.concat(this.chunks);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) {
        return;
      }
      this.head = head.latin1Slice(0, end + 2);
      const length = /\r\ncontent-length: (\d+)\r\n/i.exec(this.head);
      this.left = length ? Number(length[1]) - (head.length - end - 4) : Infinity;
    } else {
      this.left -= chunk.length;
    }
    this.tail = (this.tail + chunk.latin1Slice(Math.max(0, chunk.length - 7))).slice(-7);
    if (this.left <= 0 || (this.left === Infinity && this.tail === '\r\n0\r\n\r\n')) {
      this.reject = undefined;
      this.resolve(this.chunks);
    }
  }

  async send(message) {
    const all = Buffer.concat(await this.exchange(this.prepare(message)));
    if (!/^HTTP\/1.1 20[02] /.test(this.head)) {
      throw new Error(`unexpected response: ${all.latin1Slice(0, 300)}`);
    }
    let body = all.subarray(this.head.length + 2);
    if (this.left === Infinity) {
      body = dechunked(body);
    }
    const session = /\r\nmcp-session-id: (\S+)\r\n/i.exec(this.head);
    if (session) {
      this.headers['Mcp-Session-Id'] = session[1];
      this.headers['Mcp-Protocol-Version'] = PROTOCOL;
    }
    if (message.id === undefined) {
      return undefined;
    }
    const text = body.toString();
    const json = text.startsWith('{') ? text : /^data: ?(\{.*)$/m.exec(text)[1];
    return JSON.parse(json);
  }

  close() {
    this.socket.destroy();
  }
}

function dechunked(bytes) {
  const parts = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at);
    const length = parseInt(bytes.latin1Slice(at, end), 16);
    if (!length) {
      return Buffer.concat(parts);
    }
    parts.push(bytes.subarray(end + 2, end + 2 + length));
    at = end + length + 4;
  }
}

/** An MCP client of a program, over its standard streams. */
class StdioClient {
  constructor(child) {
    this.child = child;
    this.waiting = new Map();
    this.chunks = [];
    child.stdout.on('data', (chunk) => this.receive(chunk));
    child.on('exit', () => {
      const error = new Error('the program ended');
      this.waiting.forEach(({ reject }) => reject(error));
    });
  }

  receive(chunk) {
    this.chunks.push(chunk);
    if (!chunk.includes(10)) {
      return;
    }
    const lines = Buffer.concat(this.chunks).toString().split('\n');
    this.chunks = [Buffer.from(lines.pop())];
    for (const line of lines.filter((line) => line.startsWith('{'))) {
      const message = JSON.parse(line);
      this.waiting.get(message.id)?.resolve(message);
      this.waiting.delete(message.id);
    }
  }

  send(message) {
    this.child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    if (message.id === undefined) {
      return undefined;
    }
    return new Promise((resolve, reject) => this.waiting.set(message.id, { resolve, reject }));
  }

  close() {}
}

const call = (id, name = TOOL) => ({ id, method: 'tools/call', params: { name, arguments: {} } });

async function open(client) {
  await client.send({ id: 0, method: 'initialize', params: INITIALIZE });
  await client.send({ method: 'notifications/initialized' });
}

async function list(client) {
  await open(client);
  const response = await client.send({ id: 1, method: 'tools/list', params: {} });
  return response.result.tools.map((tool) => tool.name);
}

// Servers

/** An MCP server with one tool, `large`, which returns so many bytes as an event stream, as Port would. */
async function largeServer(length) {
  const text = 'x'.repeat(64 * 1024);
  const results = {
    initialize: () => ({
      protocolVersion: PROTOCOL,
      capabilities: { tools: {} },
      serverInfo: { name: 'large', version: '1' },
    }),
    'tools/list': () => ({ tools: [{ name: 'large', inputSchema: { type: 'object' } }] }),
  };
  const server = http.createServer(async (request, response) => {
    if (request.method !== 'POST') {
      response.writeHead(405).end();
      return;
    }
    const chunks = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    const { id, method } = JSON.parse(Buffer.concat(chunks));
    if (id === undefined) {
      response.writeHead(202).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const start = `event: message\ndata: {"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":`;
    if (method !== 'tools/call') {
      response.end(`${start}${JSON.stringify(results[method]?.() ?? {})}}\n\n`);
      return;
    }
    response.write(`${start}{"content":[{"type":"text","text":"`);
    for (let sent = 0; sent < length; sent += text.length) {
      if (!response.write(text)) {
        await new Promise((resolve) => response.once('drain', resolve));
      }
    }
    response.end('"}]}}\n\n');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, mcp: `http://127.0.0.1:${server.address().port}/v1` };
}

async function fakePortServer() {
  const credentials = { clientId: 'bench-client', clientSecret: 'bench-secret-of-some-length' };
  const child = start(fakePort, [
    '--client-id',
    credentials.clientId,
    '--client-secret',
    credentials.clientSecret,
  ]);
  const lines = await output(child, 'MCP_URL=');
  const [, api] = /^API_URL=(.*)$/m.exec(lines);
  const [, mcp] = /^MCP_URL=(.*)$/m.exec(lines);
  const response = await fetch(`${api}/v1/auth/access_token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(credentials),
  });
  const { accessToken } = await response.json();
  return { child, api, mcp, credentials, token: accessToken };
}

// The candidates. Each starts, and returns its client, and its process if it has one.

const HEADERS = { 'X-Read-Only-Mode': '0' };

function direct(port) {
  return { client: new HttpClient(port.mcp, port.token, HEADERS) };
}

async function gateway(port) {
  const random = () => randomBytes(32).toString('hex').slice(0, 43);
  const key = random();
  const auditFile = path.join(scratch, `audit-${random()}`);
  fs.writeFileSync(auditFile, '');
  const settings = {
    credentials: { client_id: port.credentials.clientId, client_secret: port.credentials.clientSecret },
    endpoints: { region: null, api: port.api, mcp: port.mcp },
    auth_method: { Only: 'Rest' },
    token: { secret: port.token, valid_for: null, flow: 'Rest' },
    headers: Object.entries(HEADERS).map(([name, value]) => [name.toLowerCase(), value]),
    grants: Object.fromEntries(port.tools.map((tool) => [tool, 'any'])),
    key,
    lifetime: { secs: 3600, nanos: 0 },
    proxy: null,
    ca_certificates: [],
    audit_arguments: false,
    start: { version: '0', agent: 'generic', connection: 'gateway' },
    run: null,
    placement: { listen: '127.0.0.1:0', hosts: [], stop_key: random(), audit_output: false, audit_files: [auditFile] },
  };
  const started = clock();
  const child = start(portMcp, ['gateway'], { env: {}, cwd: '/' });
  child.stdin.end(`${JSON.stringify(settings)}\n`);
  const reply = JSON.parse(await output(child, '\n'));
  if (!reply.url) {
    throw new Error(reply.error);
  }
  const listening = clock() - started;
  return { client: new HttpClient(reply.url, key), child, listening, url: reply.url, key, auditFile };
}

const modules = path.join(bridges, 'node_modules');
const version = (name) =>
  JSON.parse(fs.readFileSync(path.join(modules, name, 'package.json'))).version;
const bridge = (program, args, env) => (port) => {
  const child = start(program, args(port), { env: { ...process.env, ...env } });
  return { client: new StdioClient(child), child };
};
const mcpRemote = bridge(
  process.execPath,
  (port) => [
    path.join(modules, 'mcp-remote/dist/proxy.js'),
    port.mcp,
    '--transport',
    'http-only',
    '--header',
    `Authorization: Bearer ${port.token}`,
  ],
  { MCP_REMOTE_CONFIG_DIR: scratch },
);
const supergateway = bridge(process.execPath, (port) => [
  path.join(modules, 'supergateway/dist/index.js'),
  '--streamableHttp',
  port.mcp,
  '--oauth2Bearer',
  port.token,
  '--logLevel',
  'none',
]);
const mcpProxy = bridge(path.join(bridges, 'venv/bin/mcp-proxy'), (port) => [
  '--transport',
  'streamablehttp',
  '--headers',
  'Authorization',
  `Bearer ${port.token}`,
  port.mcp,
]);

const CANDIDATES = [
  ['direct', direct],
  ['gateway', gateway],
  [`mcp-remote ${version('mcp-remote')}`, mcpRemote],
  [`supergateway ${version('supergateway')}`, supergateway],
  [`mcp-proxy ${process.env.MCP_PROXY_VERSION ?? ''}`.trim(), mcpProxy],
];

// The measurements

/** Starts each candidate several times, in turn. The last ones stay. */
async function measureStarts(port, rows) {
  for (let round = 0; round < STARTS; round += 1) {
    for (const row of rows) {
      if (row.running) {
        row.running.client.close();
        await (row.running.child && end(row.running.child));
      }
      const started = clock();
      row.running = await row.start(port);
      const tools = await list(row.running.client);
      row.starts.push(clock() - started);
      row.listening.push(row.running.listening);
      if (tools.length !== port.tools.length) {
        throw new Error(`${row.name}: ${tools.length} tools, expected ${port.tools.length}`);
      }
    }
  }
  await sleep(1000);
  for (const row of rows.filter((row) => row.running.child)) {
    row.atRest = memory(row.running.child.pid, 'VmRSS');
  }
}

/** Calls through each candidate in turn. */
async function measureCalls(rows) {
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const row of rows) {
      const { client, child } = row.running;
      const cpuBefore = child ? cpu(child.pid) : 0;
      const times = [];
      for (let number = 0; number < CALLS_PER_ROUND; number += 1) {
        const started = clock();
        const response = await client.send(call(100 + round * CALLS_PER_ROUND + number));
        times.push(clock() - started);
        if (!response.result?.content) {
          throw new Error(`${row.name}: ${JSON.stringify(response)}`);
        }
      }
      if (round > 0) {
        row.calls.push(...times);
        row.cpu += (child ? cpu(child.pid) : 0) - cpuBefore;
      }
    }
  }
  for (const row of rows.filter((row) => row.running.child)) {
    row.afterCalls = memory(row.running.child.pid, 'VmRSS');
  }
}

/** Calls from several clients at once, each with a connection and a session of its own. */
async function load(url, token, headers, count) {
  const clients = Array.from({ length: count }, () => new HttpClient(url, token, headers));
  await Promise.all(clients.map(open));
  const times = [];
  let left = LOAD_CALLS;
  const started = clock();
  await Promise.all(
    clients.map(async (client) => {
      const bytes = client.prepare(call(1));
      while (left > 0) {
        left -= 1;
        const sent = clock();
        const chunks = await client.exchange(bytes);
        times.push(clock() - sent);
        if (!chunks.some((chunk) => chunk.includes('"content"'))) {
          throw new Error(`unexpected response: ${Buffer.concat(chunks)}`);
        }
      }
    }),
  );
  const seconds = (clock() - started) / 1000;
  clients.forEach((client) => client.close());
  return { rate: LOAD_CALLS / seconds, times };
}

/** A new gateway for each number of clients, so that its peak belongs to that number. */
async function measureLoad(port) {
  const results = [];
  for (const count of LOADS) {
    const { client, child, url, key } = await gateway(port);
    client.close();
    const rates = { direct: [], gateway: [] };
    const times = { direct: [], gateway: [] };
    let cpuTime = 0;
    for (let round = 0; round < LOAD_ROUNDS; round += 1) {
      const first = await load(port.mcp, port.token, HEADERS, count);
      const cpuBefore = cpu(child.pid);
      const second = await load(url, key, {}, count);
      cpuTime += cpu(child.pid) - cpuBefore;
      for (const [name, result] of [
        ['direct', first],
        ['gateway', second],
      ]) {
        rates[name].push(result.rate);
        times[name].push(...result.times);
      }
    }
    const ratios = rates.gateway.map((rate, round) => rate / rates.direct[round]);
    results.push({
      count,
      direct: median(rates.direct),
      gateway: median(rates.gateway),
      ratio: median(ratios),
      median: { direct: median(times.direct), gateway: median(times.gateway) },
      p99: { direct: quantile(times.direct, 0.99), gateway: quantile(times.gateway, 0.99) },
      cpu: cpuTime / LOAD_ROUNDS / LOAD_CALLS,
      peak: memory(child.pid, 'VmHWM'),
    });
    await end(child);
  }
  return results;
}

/** One large response through a new process of each candidate. */
async function measureLarge(port, rows) {
  const { server, mcp } = await largeServer(LARGE);
  for (const row of rows) {
    const { client, child } = await row.start({ ...port, mcp, tools: ['large'] });
    try {
      await list(client);
      const response = await Promise.race([client.send(call(2, 'large')), sleep(60_000)]);
      if (!response) {
        throw new Error('no response in 60 s');
      }
      const { length } = response.result.content[0].text;
      row.large = child && length === LARGE ? memory(child.pid, 'VmHWM') : undefined;
      row.largeNote = length === LARGE ? '' : `${length} bytes`;
    } catch (error) {
      row.largeNote = `failed: ${error.message}`;
    }
    client.close();
    await (child && end(child));
  }
  server.close();
  server.closeAllConnections();
}

/** The peak of the gateway under a flood, and the time of a call of another client meanwhile. */
async function measureFlood(port) {
  const { server, mcp } = await largeServer(FLOOD.result);
  const { client, child, url, key } = await gateway({ ...port, mcp, tools: ['large'] });
  await open(client);
  const clients = [];
  const send = (message, isRead) => {
    const other = new HttpClient(url, key, client.headers);
    clients.push(other);
    const response = other.exchange(other.prepare(message));
    if (!isRead) {
      other.socket.pause();
    }
    // The gateway can reject it, also by closing its connection.
    return response.catch(() => {});
  };
  const keys = Object.fromEntries(Array.from({ length: FLOOD.keys }, (_, key) => [`k${key.toString(36)}`, 0]));
  const params = { name: 'large', arguments: {}, notifications: keys };
  const large = [];
  for (let index = 0; index < FLOOD.lists; index += 1) {
    large.push(send({ id: 1, method: 'tools/list', params: keys }, true));
  }
  for (let index = 0; index < FLOOD.calls; index += 1) {
    large.push(send({ id: 1, method: 'tools/call', params }, true));
  }
  for (let index = 0; index < FLOOD.idle; index += 1) {
    send(call(1, 'large'), false);
  }
  await Promise.all(large);
  const started = clock();
  // The gateway has closed the idle connection of the first client.
  const last = new HttpClient(url, key, client.headers);
  const response = await last.send(call(2, 'large'));
  const time = clock() - started;
  const isAnswered = response.result.content[0].text.length === FLOOD.result;
  const peak = memory(child.pid, 'VmHWM');
  clients.concat(client, last).forEach((other) => other.close());
  await end(child);
  server.close();
  server.closeAllConnections();
  return { peak, time: isAnswered ? time : Infinity };
}

// The tables

const digits = (value, count = 2) => (value === undefined ? '' : value.toFixed(count));
const table = (rows) =>
  rows.forEach((cells, index) => {
    console.log(`| ${cells.join(' | ')} |`);
    if (index === 0) {
      console.log(`|${'---|'.repeat(cells.length)}`);
    }
  });

async function main() {
  const port = await fakePortServer();
  const { client } = direct(port);
  port.tools = await list(client);
  client.close();
  const rows = CANDIDATES.map(([name, start]) => ({
    name,
    start,
    starts: [],
    listening: [],
    calls: [],
    cpu: 0,
  }));

  const loadBefore = os.loadavg()[0];
  progress('starts');
  await measureStarts(port, rows);
  progress('calls');
  await measureCalls(rows);
  for (const row of rows) {
    row.running.client.close();
    await (row.running.child && end(row.running.child));
  }
  progress('calls from several clients');
  const loads = await measureLoad(port);
  progress('large responses');
  await measureLarge(port, rows);
  progress('a flood');
  const flood = await measureFlood(port);
  await end(port.child);

  const [base, ours, remote] = rows;
  const counted = (ROUNDS - 1) * CALLS_PER_ROUND;
  const added = (row, q) => quantile(row.calls, q) - quantile(base.calls, q);
  const withAdded = (row, q) =>
    row === base
      ? digits(quantile(row.calls, q))
      : `${digits(quantile(row.calls, q))} (${added(row, q) < 0 ? '' : '+'}${digits(added(row, q))})`;
  table([
    [
      '',
      'first tool list, ms',
      'at rest, MiB',
      `after ${ROUNDS * CALLS_PER_ROUND} calls, MiB`,
      'peak at 24 MiB, MiB',
      'call, median ms (added)',
      'call, p99 ms (added)',
      'CPU per call, ms',
      'calls per second',
    ],
    ...rows.map((row) => [
      row.name,
      digits(median(row.starts), 1),
      digits(row.atRest, 1),
      digits(row.afterCalls, 1),
      row.largeNote || digits(row.large, 1),
      withAdded(row, 0.5),
      withAdded(row, 0.99),
      row.running.child ? digits(row.cpu / counted) : '',
      digits((1000 * counted) / row.calls.reduce((sum, time) => sum + time, 0), 0),
    ]),
  ]);
  console.log('');
  table([
    [
      'clients',
      'direct, calls per second',
      'gateway, calls per second',
      'ratio',
      'direct, median and p99 ms',
      'gateway, median and p99 ms',
      'CPU per call, ms',
      'peak, MiB',
    ],
    ...loads.map((result) => [
      result.count,
      digits(result.direct, 0),
      digits(result.gateway, 0),
      digits(result.ratio),
      `${digits(result.median.direct)}, ${digits(result.p99.direct)}`,
      `${digits(result.median.gateway)}, ${digits(result.p99.gateway)}`,
      digits(result.cpu),
      digits(result.peak, 1),
    ]),
  ]);
  console.log('');
  const many = loads.at(-1);
  const sooner = median(remote.starts) / median(ours.starts);
  const smaller = ours.atRest / remote.atRest;
  const goals = [
    ['listens after its start', 'at most 50 ms', median(ours.listening), 50, 'ms'],
    ['first tool list, compared with mcp-remote', 'at least 20 times sooner', -sooner, -20, 'times'],
    ['memory at rest, compared with mcp-remote', 'at most 0.1', smaller, 0.1, ''],
    ['added to a call at the median', 'at most 0.15 ms', added(ours, 0.5), 0.15, 'ms'],
    ['calls per second at 64 clients, compared with direct', 'at least 0.70', -many.ratio, -0.7, ''],
    ['memory at rest', 'at most 8 MiB', ours.atRest, 8, 'MiB'],
    ['memory at 64 clients (peak)', 'at most 16 MiB', many.peak, 16, 'MiB'],
    ['memory at a 24 MiB response (peak)', 'at most 16 MiB', ours.large ?? Infinity, 16, 'MiB'],
    ['memory in a flood (peak)', 'at most 100 MiB', flood.peak, 100, 'MiB'],
    ['a call of another client after the flood', 'at most 30 s', flood.time / 1000, 30, 's'],
  ];
  table([
    ['the gateway', 'goal', 'measured', ''],
    ...goals.map(([name, goal, value, limit, unit]) => [
      name,
      goal,
      `${digits(Math.abs(value))} ${unit}`.trim(),
      value <= limit ? 'met' : '**missed**',
    ]),
  ]);
  console.log('');
  const cores = os.availableParallelism();
  console.log(`${cores} cores, load ${digits(loadBefore, 1)} before and ${digits(os.loadavg()[0], 1)} after`);
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
