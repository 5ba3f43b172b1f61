//! The gateway as a container: what the action requests of a Docker engine, which is a stub here. `tests/e2e/run` uses a
//! real one.

mod stub;

use runner_double::Finished;
use serde_json::{Value, json};

use crate::harness::{Step, annotations, assert_snapshot};

pub(crate) use stub::{Engine, Hostile, Request, State, frame, numbered};
use stub::{EngineFault, IMAGE_LABEL, NAMED, OWN, own};

/// The JSON with sorted keys: the order of labels is random.
fn sorted(mut value: Value) -> String {
    value.sort_all_objects();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn engines_of_different_ages_start_the_gateway() {
    for versions in [["1.12", "1.41"], ["1.44", "1.52"]] {
        let engine = Engine::start().with(|state| state.versions = versions);
        let run = engine.step().succeed();
        assert!(run.outputs["mcp_url"].starts_with("http://127.0.0.1:"));
        let requests = engine.requests();
        assert!(requests.iter().any(|request| request == "GET /version"));
        assert!(engine.removed().is_empty(), "{requests:?}");
    }
}

/// The engine lists the container of the step as running a moment after its process has started.
#[test]
fn only_running_containers_are_searched() {
    let engine = Engine::start().with(|state| state.lists_late = true);
    let step = engine.step();
    step.succeed();
    let requests = engine.requests();
    let searched: Vec<&String> = requests
        .iter()
        .filter(|request| request.ends_with("/changes"))
        .collect();
    assert_eq!(
        searched,
        [
            "GET /containers/other/changes",
            &format!("GET /containers/{OWN}/changes")
        ]
    );
}

#[test]
fn a_gateway_has_only_the_rights_that_it_needs() {
    let engine = Engine::start();
    let step = engine.step();
    let run = step.succeed();
    let mut created = engine.created();
    let labels = created["Labels"].as_object_mut().unwrap();
    let end = labels["port-mcp-action.gateway.end"].as_str().unwrap();
    assert!(end.parse::<u64>().unwrap() > 1_700_000_000, "{end}");
    labels["port-mcp-action.gateway.end"] = json!("[END]");
    let mount = labels["port-mcp-action.gateway.mount"].as_str().unwrap();
    assert!(mount.starts_with("/srv/runner-1/"), "{mount}");
    labels["port-mcp-action.gateway.mount"] = json!("[MOUNT]");
    assert_snapshot!("engine_create", sorted(created.clone()));
    // Nothing secret is where `docker inspect` shows it.
    let text = created.to_string();
    for secret in [step.port.client_secret(), &*run.outputs["access_token"]] {
        assert!(!text.contains(secret));
    }
    assert!(engine.handed_over()["key"] == run.outputs["access_token"].as_str());
}

#[test]
fn a_gateway_has_the_network_of_its_step() {
    for (network, job_container, url, publishes) in [
        ("host", "", "http://127.0.0.1:[PORT]/v1", false),
        ("bridge", "", "http://127.0.0.1:49321/v1", true),
        ("github_network_1", "", "http://127.0.0.1:49321/v1", true),
        ("github_network_1", "c1", "http://[NAME]:8787/v1", true),
        ("container:c1", "c1", "http://127.0.0.1:0/v1", false),
    ] {
        let engine = Engine::start().with(|state| state.network = network);
        let step = engine.step().input("job_container", job_container);
        let run = step
            .variable("https_proxy", "http://127.0.0.1:9")
            .input("verify", "false")
            .succeed();
        let name = run.state["gateway_name"].clone();
        assert!(name.starts_with(NAMED), "{name}");
        let shown = run.outputs["mcp_url"].replace(&name, "[NAME]");
        let port = shown.rsplit([':', '/']).nth(1).unwrap();
        assert_eq!(shown, url.replace("[PORT]", port));
        let in_containers = if publishes {
            "http://172.18.0.3:8787/v1"
        } else {
            ""
        };
        assert_eq!(run.outputs["mcp_url_in_containers"], in_containers);
        let created = engine.created();
        let host = &created["HostConfig"];
        assert_eq!(host["NetworkMode"], network);
        let binding = json!([{"HostIp": "127.0.0.1"}]);
        let bindings = host["PortBindings"].get("8787/tcp");
        assert_eq!(bindings, publishes.then_some(&binding), "{host}");
        let aliases = &created["NetworkingConfig"]["EndpointsConfig"][network]["Aliases"];
        let has_names = network == "github_network_1";
        assert_eq!(aliases.is_array(), has_names, "{aliases}");
        let is_shared = network.starts_with("container:");
        for (setting, value) in own(&engine.state.lock().unwrap())["HostConfig"]
            .as_object()
            .unwrap()
        {
            let expected = if is_shared && setting != "NetworkMode" {
                &Value::Null
            } else {
                value
            };
            assert_eq!(&host[setting], expected, "{network}: {setting}");
        }
        let place = engine.handed_over()["placement"].clone();
        let listen = if publishes {
            "0.0.0.0:8787"
        } else {
            "127.0.0.1:0"
        };
        assert_eq!(place["listen"], listen);
        let hosts = place["hosts"].to_string();
        assert_eq!(
            hosts.contains(&format!("{name}:8787")),
            publishes,
            "{hosts}"
        );
        for known in [
            "127.0.0.1:49321",
            "host.docker.internal:49321",
            "172.18.0.3:8787",
        ] {
            assert_eq!(hosts.contains(known), publishes, "{hosts}");
        }
        let exempt = &run.env["NO_PROXY"];
        assert_eq!(exempt.contains("172.18.0.3"), publishes, "{exempt}");
        assert_eq!(exempt.contains(&name), url.contains("[NAME]"), "{exempt}");
    }
}

/// A gateway with these labels of the step, as the list of containers shows it.
pub(crate) fn listed(id: &str, state: &str, labels: &Value) -> Value {
    let mut all = json!({
        "port-mcp-action.gateway": "port-mcp-0123456789abcdef",
        "port-mcp-action.gateway.end": "4102444800",
    });
    for (name, value) in labels.as_object().unwrap() {
        all[format!("port-mcp-action.gateway.{name}")] = value.clone();
    }
    labeled(id, state, &all)
}

/// A gateway with these labels, as the list of containers shows it.
pub(crate) fn labeled(id: &str, state: &str, labels: &Value) -> Value {
    let name = labels["port-mcp-action.gateway"].as_str().unwrap();
    json!({
        "Id": id,
        "State": state,
        "Names": [format!("/{name}")],
        "Command": "/port-mcp gateway",
        "Labels": labels,
    })
}

#[test]
fn what_earlier_jobs_have_left_is_removed() {
    let engine = Engine::start();
    let step = engine.step();
    step.succeed();
    let created = engine.created();
    let of = |name: &str| created["Labels"][format!("port-mcp-action.gateway.{name}")].clone();
    let own = |change: &[(&str, &str)]| {
        let names = ["mount", "run", "attempt", "job", "step"];
        let mut labels = json!({});
        for name in names {
            labels[name] = of(name);
        }
        for (name, value) in change {
            labels[*name] = json!(value);
        }
        labels
    };
    let elsewhere = ("mount", "/srv/runner-2/_temp");
    engine.state.lock().unwrap().gateways = vec![
        listed("same-job", "running", &own(&[("step", "other")])),
        listed("same-job-ended", "exited", &own(&[("step", "other")])),
        listed("earlier-attempt", "running", &own(&[("attempt", "0")])),
        listed("earlier-job", "running", &own(&[("job", "before")])),
        listed("earlier-run", "running", &own(&[("run", "1")])),
        listed("other-runner", "running", &own(&[elsewhere])),
        listed("other-runner-starting", "created", &own(&[elsewhere])),
        listed("other-runner-ended", "exited", &own(&[elsewhere])),
        listed(
            "other-runner-outlived",
            "running",
            &own(&[elsewhere, ("end", "1700000000")]),
        ),
    ];
    step.succeed();
    assert_eq!(
        engine.removed(),
        [
            "earlier-attempt",
            "earlier-job",
            "earlier-run",
            "other-runner-ended",
            "other-runner-outlived"
        ]
    );
}

/// Its own post phase may be reading its log.
#[test]
fn a_gateway_that_has_just_ended_is_kept() {
    let now = humantime::format_rfc3339(std::time::SystemTime::now()).to_string();
    let engine = Engine::start().with(|state| {
        let elsewhere = json!({"mount": "/srv/runner-2/_temp"});
        state.gateways = vec![listed("ended", "exited", &elsewhere)];
        state.ended = json!({"Running": false, "FinishedAt": now});
    });
    engine.step().succeed();
    assert!(engine.removed().is_empty());
}

/// Runs the main phase, then the post phase with this gateway and these others.
fn stopped(engine: &Engine, step: &Step, others: &[Value]) -> Finished {
    step.succeed();
    clean_up(engine, step, others)
}

/// Runs the post phase with the gateway that the main phase has created, and these others.
pub(crate) fn clean_up(engine: &Engine, step: &Step, others: &[Value]) -> Finished {
    let mut state = engine.state.lock().unwrap();
    let labels = state.created["Labels"].clone();
    state.gateways = vec![labeled("ours", "running", &labels)];
    state.gateways.extend(others.iter().cloned());
    state.requests.clear();
    drop(state);
    step.clean_up()
}

#[test]
fn the_post_phase_stops_its_own_gateway_and_reads_the_counts_in_its_log() {
    let engine = Engine::start().with(|state| {
        state.ended = json!({"Running": true});
        state.log = "{\"event\":\"counts\",\"tool\":\"list_blueprints\",\"counts\":{\"calls\":3,\"errors\":1,\"rejected\":0,\"slowest\":12}}\n\
             {\"event\":\"counts\",\"tool\":\"delete_entity\",\"counts\":{\"calls\":0,\"errors\":0,\"rejected\":2,\"slowest\":0}}\n\
             {\"event\":\"stop\",\"sessions\":1,\"rejected\":4,\"renewals\":1}\n"
            .to_owned();
    });
    let other = listed("other", "running", &json!({"mount": "/srv/runner-2"}));
    let step = engine.step();
    let finished = stopped(&engine, &step, &[other]);
    assert_eq!(finished.exit, Some(0), "{}", finished.log());
    let requests = engine.requests();
    let changes: Vec<&String> = requests
        .iter()
        .filter(|request| !request.starts_with("GET"))
        .collect();
    assert_eq!(
        changes,
        ["POST /containers/ours/stop", "DELETE /containers/ours"]
    );
    let log = finished.log();
    assert!(
        log.contains("Sessions: 1, calls: 3, errors: 1, rejected messages: 6, token renewals: 1.")
    );
    let warnings = annotations(&finished, "warning");
    assert!(warnings.contains("`delete_entity` (2)"), "{warnings}");
    assert!(
        finished.summary.contains("| `list_blueprints` |"),
        "{}",
        finished.summary
    );
}

#[test]
fn the_post_phase_reads_in_the_log_why_no_agent_connected() {
    let engine = Engine::start().with(|state| {
        state.stops();
        state.log = "{\"event\":\"session_failed\",\"reason\":\"x\",\"count\":1}\n\
             {\"event\":\"stop\",\"sessions\":0,\"failed\":3,\"last_failure\":{\"reason\":\"the MCP server denied access (403 Forbidden)\",\"hint\":\"ask\"},\"rejected\":0,\"renewals\":0}\n"
            .to_owned();
    });
    let step = engine.step();
    let warnings = annotations(&stopped(&engine, &step, &[]), "warning");
    let expected = "Failed attempts: 3. The last one: the MCP server denied access (403 Forbidden)\nhint: ask\nsee: ";
    assert!(warnings.contains(expected), "{warnings}");
}

#[test]
fn the_post_phase_works_without_the_saved_state() {
    let engine = Engine::start().with(State::stops);
    let step = engine.step().variable("STATE_gateway_name", "");
    let finished = stopped(&engine, &step, &[]);
    assert!(finished.log().contains("Stopped the gateway. Sessions: 1"));
    assert_eq!(engine.removed(), ["ours"]);
}

#[test]
fn the_post_phase_says_how_a_gateway_ended() {
    for (ended, expected) in [
        (
            json!({"Running": false, "ExitCode": 137, "OOMKilled": true}),
            "ran out of memory",
        ),
        (
            json!({"Running": false, "ExitCode": 137, "OOMKilled": false}),
            "exited with code 137",
        ),
        (
            json!({"Running": false, "ExitCode": 0}),
            "another program stopped it",
        ),
    ] {
        let engine = Engine::start().with(|state| state.ended = ended);
        let step = engine.step();
        let finished = stopped(&engine, &step, &[]);
        assert_eq!(finished.exit, Some(0));
        let warnings = annotations(&finished, "warning");
        assert!(warnings.contains(expected), "{warnings}");
        assert_eq!(engine.removed(), ["ours"]);
    }
    let engine = Engine::start();
    let step = engine.step();
    step.succeed();
    let warnings = annotations(&step.clean_up(), "warning");
    assert!(warnings.contains("its container was removed"), "{warnings}");

    let engine = Engine::start().with(|state| state.ended = json!({"Status": "created"}));
    let step = engine.step();
    let finished = stopped(&engine, &step, &[]);
    assert_eq!(annotations(&finished, "warning"), "");
    assert_eq!(engine.removed(), ["ours"]);
}

#[test]
fn the_log_says_that_gateway_lifetime_ended_the_gateway() {
    let engine = Engine::start().with(|state| {
        state.ended = json!({"Running": false, "ExitCode": 0});
        state.log = "{\"event\":\"session\",\"session\":\"s1\"}\n\
             {\"event\":\"expired\"}\n\
             {\"event\":\"counts\",\"tool\":\"list_entities\",\"counts\":{\"calls\":3,\"errors\":1,\"rejected\":0,\"slowest\":12}}\n\
             {\"event\":\"stop\",\"end\":\"gateway_lifetime\",\"sessions\":1,\"rejected\":0,\"renewals\":0}\n"
            .to_owned();
    });
    let step = engine.step().input("gateway_lifetime", "1h");
    step.succeed();
    let post = clean_up(&engine, &step, &[]);
    assert_eq!(
        annotations(&post, "warning"),
        "The gateway ended `1h` after its start (`gateway_lifetime`), before the job did, so later calls failed.\n\
         hint: set `gateway_lifetime` to the time limit of the job"
    );
    assert!(
        post.summary.contains("| `list_entities` | 3 | 1 | 0 |"),
        "{}",
        post.summary
    );
}

/// The engine killed the container, so the log has no last lines, and its last one is not whole.
#[test]
fn the_log_of_a_killed_container_is_reported() {
    let engine = Engine::start().with(|state| {
        state.ended = json!({"Running": false, "ExitCode": 137, "OOMKilled": true});
        state.log = "{\"url\":\"http://0.0.0.0:8787/v1\"}\n\
             {\"event\":\"session\",\"session\":\"s1\"}\n\
             {\"event\":\"call\",\"tool\":\"list_entities\",\"outcome\":\"error\",\"milliseconds\":7}\n\
             {\"event\":\"rejection\",\"tool\":\"delete_entity\",\"method\":\"tools/call\"}\n\
             {\"event\":\"rejection\",\"method\":\"prompts/list\"}\n\
             {\"event\":\"call\",\"to"
            .to_owned();
    });
    let step = engine.step();
    step.succeed();
    let post = clean_up(&engine, &step, &[]);
    let warnings = annotations(&post, "warning");
    assert!(
        warnings.contains("its container ran out of memory"),
        "{warnings}"
    );
    assert!(warnings.contains("`delete_entity` (1)"), "{warnings}");
    assert!(
        post.summary
            .contains("| `list_entities` | 1 | 1 | 0 | 7 ms |"),
        "{}",
        post.summary
    );
    assert!(
        post.log()
            .contains("Sessions: 1, calls: 1, errors: 1, rejected messages: 2"),
        "{}",
        post.log()
    );
}

#[test]
fn the_post_phase_says_what_it_could_not_do() {
    let engine = Engine::start().with(|state| state.ended = json!({"Running": true}));
    let step = engine.step();
    let warnings = annotations(&stopped(&engine, &step, &[]), "warning");
    let expected = "The gateway was stopped, but the numbers of its calls are incomplete: its log";
    assert!(warnings.starts_with(expected), "{warnings}");
    assert_eq!(engine.removed(), ["ours"]);

    let engine = Engine::start().with(|state| {
        state.ended = json!({"Running": true});
        state.fault = Some(EngineFault::CannotRemove);
    });
    let step = engine.step();
    let warnings = annotations(&stopped(&engine, &step, &[]), "warning");
    let expected = "The gateway could not be stopped. If it still runs, it ends at `gateway_lifetime`: the Docker engine could not remove a container: device or resource busy";
    assert!(warnings.starts_with(expected), "{warnings}");
}

#[test]
fn a_container_that_belongs_to_no_gateway_of_the_step_is_never_stopped() {
    let engine = Engine::start();
    let step = engine.step();
    step.succeed();
    // The saved state can be forged by an earlier step: the labels decide.
    let foreign = json!({"mount": "/srv/runner-2"});
    engine.state.lock().unwrap().gateways = vec![listed("victim", "running", &foreign)];
    let step = step.variable("STATE_gateway_name", "port-mcp-0123456789abcdef");
    step.clean_up();
    assert!(engine.removed().is_empty());
    assert!(
        !engine
            .requests()
            .iter()
            .any(|request| request.ends_with("/stop"))
    );
}

/// Labels are copied with an image, or with the settings of a container.
#[test]
fn a_container_of_somebody_else_with_the_labels_of_a_gateway_is_never_touched() {
    let engine = Engine::start();
    let step = engine.step();
    step.succeed();
    let labels = engine.created()["Labels"].clone();
    let gateway = labeled("ours", "exited", &labels);
    let mut foreign = vec![];
    for (property, value) in [
        ("Names", json!(["/database"])),
        ("Names", json!([])),
        ("Names", Value::Null),
        ("Command", json!("/bin/sh -c /port-mcp gateway")),
        ("Command", json!("/port-mcp")),
        ("Command", Value::Null),
    ] {
        let mut other = gateway.clone();
        other["Id"] = json!(format!("foreign-{}", foreign.len()));
        other[property] = value;
        foreign.push(other);
    }
    // Its name is its label, but no name of a gateway.
    let mut named = labels;
    named["port-mcp-action.gateway"] = json!("database");
    foreign.push(labeled("foreign-named", "exited", &named));
    let mut podman = gateway.clone();
    podman["Id"] = json!("podman");
    podman["Command"] = json!("gateway");

    // The post phase.
    clean_up(&engine, &step, &foreign);
    let changes = |engine: &Engine| -> Vec<String> {
        let requests = engine.requests().into_iter();
        requests
            .filter(|request| !request.starts_with("GET"))
            .collect()
    };
    assert_eq!(changes(&engine), ["DELETE /containers/ours"]);

    // The main phase of the next job.
    let mut state = engine.state.lock().unwrap();
    state.requests.clear();
    state.gateways = foreign;
    state.gateways.extend([gateway, podman]);
    drop(state);
    step.variable("GITHUB_RUN_ID", "2").succeed();
    assert_eq!(engine.removed(), ["ours", "podman"]);
}

/// Who builds another image from ours replaces the labels of `org.opencontainers.image`.
#[test]
fn the_image_has_a_label_of_its_own() {
    let dockerfile = include_str!("../../Dockerfile");
    assert!(dockerfile.contains(&format!("LABEL {IMAGE_LABEL}=")));
}

#[test]
fn without_a_usable_engine_the_error_says_what_to_do() {
    let mut texts = Vec::new();
    for fault in [
        EngineFault::CannotCreate,
        EngineFault::EndsAtOnce,
        EngineFault::NotFound,
        EngineFault::PublishesNothing,
        EngineFault::NoResponse,
    ] {
        let engine = Engine::start().with(|state| state.fault = Some(fault));
        if fault == EngineFault::PublishesNothing {
            engine.state.lock().unwrap().network = "bridge";
        }
        let step = engine.step();
        texts.push(match fault {
            EngineFault::NoResponse => step.input("timeout", "1s").fail(),
            _ => step.fail(),
        });
        let requests = engine.requests();
        let is_created = requests.contains(&"POST /containers/create".to_owned());
        assert_eq!(engine.removed().len(), usize::from(is_created));
    }
    let engine = Engine::start().with(|state| state.mount = "/elsewhere".into());
    texts.push(engine.step().input("audit_file", "true").fail());
    assert_snapshot!("engine_errors", texts.join("\n\n"));
}
