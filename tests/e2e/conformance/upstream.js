// An MCP server that passes the official conformance suite, with and without sessions. It has the tools, prompts,
// and resources that the descriptions of the suite's scenarios require. Prints its URL and its tools as JSON.

import { createServer } from "node:http";
import { randomUUID } from "node:crypto";

import {
  createMcpHandler,
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired,
  isLegacyRequest,
  McpServer,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
} from "@modelcontextprotocol/server";
import {
  localhostHostValidation,
  localhostOriginValidation,
  NodeStreamableHTTPServerTransport,
  toNodeHandler,
  toWebRequest,
} from "@modelcontextprotocol/node";

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
// Two samples of silence.
const WAV = Buffer.from(
  "524946462800000057415645666d7420100000000100010040" + "1f0000803e000002001000646174610400000000000000",
  "hex",
).toString("base64");

const state = createRequestStateCodec({ key: randomUUID() + randomUUID() });

const text = (text) => ({ type: "text", text });
const image = { type: "image", data: PNG, mimeType: "image/png" };
const result = (...content) => ({ content });
const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

const object = (properties = {}, required = Object.keys(properties)) => ({ type: "object", properties, required });
const string = { type: "string" };
const elicit = (message, requestedSchema) => inputRequired.elicit({ message, requestedSchema });
const sample = (prompt, maxTokens = 100) =>
  inputRequired.createMessage({ messages: [{ role: "user", content: text(prompt) }], maxTokens });

// A tool that needs the responses to `inputRequests`.
const asking = (inputRequests, finish, inputSchema = object()) => ({
  inputSchema,
  async call(args, context) {
    const requests = inputRequests(args);
    const responses = context.mcpReq.inputResponses ?? {};
    if (Object.keys(requests).some((key) => !(key in responses))) {
      return inputRequired({ inputRequests: requests });
    }
    return result(text(finish(responses)));
  },
});

// A tool that needs the responses of several rounds, and signs its state.
const rounds = (steps, finish) => ({
  async call(_, context) {
    const responses = context.mcpReq.inputResponses ?? {};
    const done = context.mcpReq.requestState()?.step ?? -1;
    const isAnswered = done >= 0 && Object.keys(steps[done]).every((key) => key in responses);
    const next = isAnswered ? done + 1 : Math.max(done, 0);
    if (next === steps.length) {
      return result(text(finish));
    }
    return inputRequired({ inputRequests: steps[next], requestState: await state.mint({ step: next }, context) });
  },
});

const outcome = ({ form }) => `Elicitation completed: action=${form.action}, content=${JSON.stringify(form.content)}`;
const titled = (titles) => titles.map((title, index) => ({ const: `value${index + 1}`, title }));
const options = ["option1", "option2", "option3"];
const user = { user_name: elicit("What is your name?", object({ name: string })) };
const roots = { client_roots: inputRequired.listRoots() };

const tools = {
  test_simple_text: { call: () => result(text("This is a simple text response for testing.")) },
  test_image_content: { call: () => result(image) },
  test_audio_content: { call: () => result({ type: "audio", data: WAV, mimeType: "audio/wav" }) },
  test_embedded_resource: {
    call: () =>
      result({
        type: "resource",
        resource: {
          uri: "test://embedded-resource",
          mimeType: "text/plain",
          text: "This is an embedded resource content.",
        },
      }),
  },
  test_multiple_content_types: {
    call: () =>
      result(text("Multiple content types test:"), image, {
        type: "resource",
        resource: {
          uri: "test://mixed-content-resource",
          mimeType: "application/json",
          text: '{"test":"data","value":123}',
        },
      }),
  },
  test_error_handling: {
    call: () => ({ isError: true, ...result(text("This tool intentionally returns an error for testing")) }),
  },
  test_tool_with_logging: {
    async call(_, { mcpReq }) {
      await mcpReq.log("info", "Tool execution started");
      await pause();
      await mcpReq.log("info", "Tool processing data");
      await pause();
      await mcpReq.log("info", "Tool execution completed");
      return result(text("logged"));
    },
  },
  test_logging_tool: {
    async call(_, { mcpReq }) {
      await mcpReq.log("info", "only for clients that set a level");
      return result(text("logged"));
    },
  },
  test_tool_with_progress: {
    async call(_, { mcpReq }) {
      const progressToken = mcpReq._meta?.progressToken;
      for (const progress of [0, 50, 100]) {
        if (progressToken !== undefined) {
          const params = { progressToken, progress, total: 100, message: `${progress} of 100` };
          await mcpReq.notify({ method: "notifications/progress", params });
        }
        await pause();
      }
      return result(text("progressed"));
    },
  },
  test_reconnection: {
    async call(_, { http }) {
      http?.closeSSE?.();
      await pause();
      return result(text("reconnected"));
    },
  },
  test_sampling: asking(
    ({ prompt }) => ({ sample: sample(prompt) }),
    ({ sample }) => `LLM response: ${sample.content?.text}`,
    object({ prompt: string }),
  ),
  test_elicitation: asking(
    ({ message }) => ({ form: elicit(message, object({ username: string, email: string })) }),
    ({ form }) => `User response: action=${form.action}, content=${JSON.stringify(form.content)}`,
    object({ message: string }),
  ),
  test_elicitation_sep1034_defaults: asking(
    () => ({
      form: elicit(
        "Check the defaults",
        object(
          {
            name: { ...string, default: "John Doe" },
            age: { type: "integer", default: 30 },
            score: { type: "number", default: 95.5 },
            status: { ...string, enum: ["active", "inactive", "pending"], default: "active" },
            verified: { type: "boolean", default: true },
          },
          [],
        ),
      ),
    }),
    outcome,
  ),
  test_elicitation_sep1330_enums: asking(
    () => ({
      form: elicit(
        "Choose",
        object(
          {
            untitledSingle: { ...string, enum: options },
            titledSingle: { ...string, oneOf: titled(["First Option", "Second Option", "Third Option"]) },
            legacyEnum: {
              ...string,
              enum: ["opt1", "opt2", "opt3"],
              enumNames: ["Option One", "Option Two", "Option Three"],
            },
            untitledMulti: { type: "array", items: { ...string, enum: options } },
            titledMulti: {
              type: "array",
              items: { anyOf: titled(["First Choice", "Second Choice", "Third Choice"]) },
            },
          },
          [],
        ),
      ),
    }),
    outcome,
  ),
  json_schema_2020_12_tool: {
    inputSchema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      $defs: { address: { $anchor: "addressDef", ...object({ street: string, city: string }, []) } },
      ...object(
        {
          name: string,
          address: { $ref: "#/$defs/address" },
          contactMethod: { ...string, enum: ["phone", "email"] },
          phone: string,
          email: string,
        },
        [],
      ),
      allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
      if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
      then: { required: ["phone"] },
      else: { required: ["email"] },
      additionalProperties: false,
    },
    call: (args) => result(text(JSON.stringify(args))),
  },
  test_header: {
    inputSchema: object({ region: { ...string, "x-mcp-header": "Region" } }, []),
    call: ({ region }) => result(text(`region: ${region}`)),
  },
  test_missing_capability: {
    call(_, { mcpReq }) {
      if (!capabilities(mcpReq).sampling) {
        throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } });
      }
      return result(text("has it"));
    },
  },
  test_streaming_elicitation: asking(
    () => ({ form: elicit("Continue?", object({ ok: { type: "boolean" } })) }),
    outcome,
  ),
  test_trigger_tool_change: {
    call() {
      modern.notify.toolsChanged();
      return result(text("changed"));
    },
  },
  test_trigger_prompt_change: {
    call() {
      modern.notify.promptsChanged();
      return result(text("changed"));
    },
  },
  test_input_required_result_elicitation: asking(
    () => user,
    ({ user_name }) => `Hello, ${user_name.content?.name}!`,
  ),
  test_input_required_result_sampling: asking(
    () => ({ capital_question: sample("What is the capital of France?") }),
    ({ capital_question }) => `The answer is: ${capital_question.content?.text}`,
  ),
  test_input_required_result_list_roots: asking(
    () => roots,
    ({ client_roots }) => JSON.stringify(client_roots.roots),
  ),
  test_input_required_result_request_state: rounds(
    [{ confirm: elicit("Please confirm", object({ ok: { type: "boolean" } })) }],
    "state-ok",
  ),
  test_input_required_result_tampered_state: rounds(
    [{ confirm: elicit("Please confirm", object({ ok: { type: "boolean" } })) }],
    "state-ok",
  ),
  test_input_required_result_multiple_inputs: rounds(
    [{ ...user, greeting: sample("Generate a greeting", 50), ...roots }],
    "complete",
  ),
  test_input_required_result_multi_round: rounds(
    [
      { step1: elicit("Step 1: What is your name?", object({ name: string })) },
      { step2: elicit("Step 2: What is your favorite color?", object({ color: string })) },
    ],
    "complete",
  ),
  test_input_required_result_capabilities: {
    call(args, context) {
      const has = capabilities(context.mcpReq);
      const requests = {
        ...(has.elicitation && user),
        ...(has.sampling && { greeting: sample("Generate a greeting", 50) }),
        ...(has.roots && roots),
      };
      return asking(
        () => requests,
        () => "complete",
      ).call(args, context);
    },
  },
};

const capabilities = ({ envelope }) => envelope?.["io.modelcontextprotocol/clientCapabilities"] ?? {};

const messages = (...contents) => ({ messages: contents.map((content) => ({ role: "user", content })) });
const prompts = {
  test_simple_prompt: { get: () => messages(text("This is a simple prompt for testing.")) },
  test_prompt_with_arguments: {
    arguments: ["arg1", "arg2"],
    get: ({ arg1, arg2 }) => messages(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
  },
  test_prompt_with_embedded_resource: {
    arguments: ["resourceUri"],
    get: ({ resourceUri: uri }) =>
      messages(
        {
          type: "resource",
          resource: { uri, mimeType: "text/plain", text: "Embedded resource content for testing." },
        },
        text("Please process the embedded resource above."),
      ),
  },
  test_prompt_with_image: { get: () => messages(image, text("Please analyze the image above.")) },
  test_input_required_result_prompt: {
    get(_, { mcpReq }) {
      const response = mcpReq.inputResponses?.user_context;
      const request = elicit("What context should the prompt use?", object({ context: string }));
      return response
        ? messages(text(`Context: ${response.content?.context}`))
        : inputRequired({ inputRequests: { user_context: request } });
    },
  },
};

const resources = {
  "test://static-text": { mimeType: "text/plain", text: "This is the content of the static text resource." },
  "test://static-binary": { mimeType: "image/png", blob: PNG },
  "test://watched-resource": { mimeType: "text/plain", text: "watched" },
};

function read(uri) {
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  if (id !== undefined) {
    const data = { id, templateTest: true, data: `Data for ID: ${id}` };
    return { contents: [{ uri, mimeType: "application/json", text: JSON.stringify(data) }] };
  }
  if (!(uri in resources)) {
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, "Resource not found", { uri });
  }
  return { contents: [{ uri, ...resources[uri] }] };
}

const named = ([name, entry]) => ({ name, description: name.replaceAll("_", " "), ...entry });

function server() {
  const mcp = new McpServer(
    { name: "conformance", version: "1.0.0" },
    {
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { subscribe: true },
        completions: {},
        logging: {},
      },
      requestState: { verify: state.verify },
    },
  );
  for (const [name, { inputSchema = object(), call }] of Object.entries(tools)) {
    const [{ description }, schema] = [named([name, {}]), fromJsonSchema(inputSchema)];
    mcp.registerTool(name, { description, inputSchema: schema }, call);
  }
  const on = (method, answer) =>
    mcp.server.setRequestHandler(method, ({ params }, context) => answer(params ?? {}, context));
  // `McpServer` would turn every error into a result.
  on("tools/call", ({ name, arguments: args = {} }, context) => {
    if (!Object.hasOwn(tools, name)) {
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `unknown tool: ${name}`);
    }
    return tools[name].call(args, context);
  });
  on("prompts/list", () => ({
    prompts: Object.entries(prompts).map(([name, { arguments: names = [] }]) =>
      named([name, { arguments: names.map((name) => ({ name, description: name, required: true })) }]),
    ),
  }));
  on("prompts/get", ({ name, arguments: args = {} }, context) => prompts[name].get(args, context));
  on("resources/list", () => ({
    resources: Object.entries(resources).map(([uri, { mimeType }]) => ({
      uri,
      ...named([uri.slice(7), { mimeType }]),
    })),
  }));
  on("resources/templates/list", () => ({
    resourceTemplates: [{ uriTemplate: "test://template/{id}/data", ...named(["template", {}]) }],
  }));
  on("resources/read", ({ uri }) => read(uri));
  on("resources/subscribe", () => ({}));
  on("resources/unsubscribe", () => ({}));
  on("completion/complete", () => ({ completion: { values: ["test"], total: 1, hasMore: false } }));
  return mcp;
}

// Keeps the events of one session.
function eventStore() {
  const events = [];
  return {
    async storeEvent(stream, message) {
      return `${stream}:${events.push({ stream, message })}`;
    },
    async getStreamIdForEventId(id) {
      return id.slice(0, id.lastIndexOf(":"));
    },
    async replayEventsAfter(id, { send }) {
      const [stream, last] = [id.slice(0, id.lastIndexOf(":")), Number(id.slice(id.lastIndexOf(":") + 1))];
      for (const [index, event] of events.entries()) {
        if (index >= last && event.stream === stream && Object.keys(event.message).length) {
          await send(`${stream}:${index + 1}`, event.message);
        }
      }
      return stream;
    },
  };
}

const modern = createMcpHandler(server, { legacy: "reject" });
const respond = toNodeHandler(modern);
const sessions = new Map();

async function inSession(request, response, body) {
  const id = request.headers["mcp-session-id"];
  if (id !== undefined) {
    const transport = sessions.get(id);
    if (!transport) {
      response.writeHead(404, { "content-type": "application/json" });
      response.end('{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}');
      return;
    }
    await transport.handleRequest(request, response, body);
    return;
  }
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: eventStore(),
    retryInterval: 100,
    onsessioninitialized: (id) => sessions.set(id, transport),
    onsessionclosed: (id) => sessions.delete(id),
  });
  await server().connect(transport);
  await transport.handleRequest(request, response, body);
}

const isLocal = [localhostHostValidation(), localhostOriginValidation()];

const http = createServer(async (request, response) => {
  if (!isLocal.every((check) => check(request, response))) {
    return;
  }
  if (request.method !== "POST") {
    await inSession(request, response);
    return;
  }
  let body;
  try {
    body = JSON.parse(Buffer.concat(await request.toArray()).toString());
  } catch {
    response.writeHead(400, { "content-type": "application/json" });
    response.end('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}');
    return;
  }
  const isLegacy = await isLegacyRequest(await toWebRequest(request, body));
  await (isLegacy ? inSession : respond)(request, response, body);
});

http.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${http.address().port}/mcp`;
  console.log(JSON.stringify({ url, tools: Object.keys(tools) }));
});
