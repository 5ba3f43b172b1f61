"use strict";

// Without this state, the main phase failed before it ran the binary, and has reported why.
if (process.env.STATE_started) require("./binary.js").run("cleanup");
