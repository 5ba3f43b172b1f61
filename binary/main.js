"use strict";

require("./binary.js").run("connect");
