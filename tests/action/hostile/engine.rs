//! A Docker engine that does not respond, sends signals, or lies. It is the stub of `crate::engine`.

use std::sync::{Arc, OnceLock};

use fake_port::{Endpoint, Fault};
use runner_double::Running;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::engine::{Engine, Hostile, Request, frame, labeled, listed, numbered};
use crate::gateway::Gateway;
use crate::harness::{Step, annotations, assert_explained, errors};

fn at(request: &Request, hostile: Hostile) -> Engine {
    Engine::start().with(|state| state.hostile = Some((request.clone(), hostile)))
}

/// The requests of a step that succeeds.
fn requests() -> Vec<Request> {
    let engine = Engine::start();
    let step = engine.step();
    step.succeed();
    numbered(&engine.requests())
}

/// Runs the main phase, and then the post phase with the container that the main phase left.
fn run_both(engine: &Engine, step: &Step) -> Option<i32> {
    let run = step.run();
    assert_explained(&run);
    clean_up(engine, step);
    run.exit
}

/// A container that was created is removed, by the main phase or by the post phase.
fn clean_up(engine: &Engine, step: &Step) {
    let mut state = engine.state.lock().unwrap();
    let is_created = state.requests.iter().any(|sent| sent.ends_with("/create"));
    let labels = state.created_labels();
    if is_created && !labels.is_null() {
        state.gateways = vec![labeled("ours", "running", &labels)];
    }
    state.hostile = None;
    drop(state);
    let post = step.clean_up();
    assert_eq!(post.exit, Some(0), "{}", post.log());
    let is_removed = !engine.removed().is_empty();
    assert!(is_removed || labels.is_null(), "{:?}", engine.requests());
}

#[test]
fn a_signal_at_any_request_leaves_no_container() {
    for request in requests() {
        for signal in [Signal::TERM, Signal::INT] {
            let id = Arc::new(OnceLock::new());
            let engine = at(&request, Hostile::Signal(Arc::clone(&id), signal));
            let step = engine.step();
            let running: Running = step.spawn();
            let process = i32::try_from(running.id()).unwrap();
            id.set(Pid::from_raw(process).unwrap()).unwrap();
            let run = running.wait();
            // A response at the same moment can end the step first.
            assert!(
                matches!(run.exit, Some(130 | 0)),
                "{request:?}: {}",
                run.log()
            );
            assert_eq!(run.outputs.is_empty(), run.exit == Some(130), "{request:?}");
            clean_up(&engine, &step);
        }
    }
}

#[test]
fn an_engine_that_stalls_ends_the_step_at_its_timeout() {
    let requests = requests();
    // The step continues without what it asked about another container, and without removing old gateways.
    let needless = [
        ("GET /containers/json".to_owned(), 2),
        ("GET /containers/other/changes".to_owned(), 1),
    ];
    assert!(needless.iter().all(|request| requests.contains(request)));
    std::thread::scope(|scope| {
        for request in &requests {
            let is_needless = needless.contains(request);
            scope.spawn(move || {
                let engine = at(request, Hostile::Stall);
                let timeout = if is_needless { "20s" } else { "2s" };
                let step = engine.step().input("timeout", timeout);
                let run = step.run();
                assert_explained(&run);
                assert_eq!(
                    run.exit,
                    Some(i32::from(!is_needless)),
                    "{request:?}: {}",
                    run.log()
                );
                let expected = "the Docker engine did not respond within";
                assert!(
                    is_needless || errors(&run).contains(expected),
                    "{}",
                    run.log()
                );
                clean_up(&engine, &step);
            });
        }
    });
}

#[test]
fn responses_that_are_no_responses() {
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n";
    let garbage: [(&str, &str, usize); 6] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ngarbage", "", 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull", "", 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "", 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", "", 0),
        ("garbage", "", 0),
        (large, "    ", 26_214_400),
    ];
    let requests = requests();
    for (head, text, times) in garbage {
        for request in &requests {
            if head == large && !request.0.starts_with("GET") {
                continue;
            }
            let engine = at(request, Hostile::Respond(head, text, times));
            let step = engine.step().input("timeout", "5s");
            let exit = run_both(&engine, &step);
            assert!(matches!(exit, Some(0 | 1)), "{request:?}: {head}: {exit:?}");
        }
    }
}

#[test]
fn a_container_that_is_no_gateway() {
    let endless = [vec![1, 0, 0, 0, 255, 255, 255, 255], vec![b'x'; 4096]].concat();
    for (output, expected) in [
        (
            frame("{\"url\":\"http://192.0.2.1:1/v1\"}\n"),
            "it replied that it listens at http://192.0.2.1:1/v1",
        ),
        (
            frame("{\"url\":\"http://localhost.example.com/v1\"}\n"),
            "it replied that it listens at",
        ),
        (
            frame("{\"url\":\"file:///etc/passwd\"}\n"),
            "it replied that it listens at",
        ),
        (
            frame("{\"error\":\"no\\n::add-path::/x\"}\n"),
            "the gateway could not start: ",
        ),
        (frame("garbage\n"), "it exited without replying"),
        (frame(&"x".repeat(100_000)), "it exited without replying"),
        (vec![b'x'; 4096], "the gateway could not start"),
        (endless, "the gateway could not start"),
        (frame("").repeat(512), "the gateway could not start: "),
    ] {
        let engine = Engine::start().with(|state| state.output = Some(output));
        let step = engine.step();
        let run = step.run();
        assert_eq!(run.exit, Some(1), "{}", run.log());
        assert_explained(&run);
        assert!(errors(&run).contains(expected), "{}", run.log());
        assert!(run.path.is_empty());
        assert_eq!(engine.removed().len(), 1);
    }
}

#[test]
fn a_port_that_was_not_requested_is_not_used() {
    let binding = |ip: &str, port: &str| json!({"8787/tcp": [{"HostIp": ip, "HostPort": port}]});
    for ports in [
        json!({}),
        json!({"8787/tcp": null}),
        json!({"8787/tcp": []}),
        json!({"8787/udp": [{"HostIp": "127.0.0.1", "HostPort": "1"}]}),
        binding("0.0.0.0", "49321"),
        binding("192.0.2.1", "49321"),
        binding("127.0.0.1", ""),
        binding("127.0.0.1", "65536"),
        binding("127.0.0.1", "80@192.0.2.1"),
        binding("127.0.0.1", "80/x?y#"),
    ] {
        let shown = ports.to_string();
        let engine = Engine::start().with(|state| {
            state.network = "bridge";
            state.ports = Some(ports);
        });
        let errors = engine.step().fail();
        let expected = "the Docker engine did not publish the port";
        assert!(errors.contains(expected), "{shown}: {errors}");
        assert_eq!(engine.removed().len(), 1);
    }
}

/// Gateways of other jobs: many, and with labels that no gateway has.
#[test]
fn foreign_gateways_do_not_matter() {
    let labels =
        json!({"mount": "/x\n::error::y", "run": "\u{0}\r\n", "end": "99999999999999999999999"});
    let engine = Engine::start().with(|state| {
        let many = (0..10_000).map(|number| listed(&format!("id{number}"), "running", &labels));
        state.gateways = many.collect::<Vec<Value>>();
        state.gateways.push(json!({}));
        state
            .gateways
            .push(json!({"Id": "x\n::error::y", "Labels": {"port-mcp-action.gateway": ""}}));
        state.gateways.push(listed(
            "x\n::error::z/../..",
            "exited",
            &json!({"end": "1"}),
        ));
    });
    let step = engine.step().variable("RUNNER_DEBUG", "1");
    let run = step.succeed();
    assert_eq!(annotations(&run, "error"), "");
    assert!(engine.removed().iter().all(|id| !id.starts_with("id")));
    assert_eq!(step.clean_up().exit, Some(0));
}

#[tokio::test]
async fn the_client_of_a_killed_gateway_gets_an_error() {
    let engine = Engine::start();
    let gateway = Gateway::of(engine.step());
    let session = gateway.open().await;
    let port = &gateway.step.port;
    port.fault(Endpoint::Mcp, Fault::Hang);
    let body =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_entities"}}"#;
    let request = gateway.http.post(gateway.url()).headers(session);
    let call = tokio::spawn(request.body(body).send());
    let is_sent = || {
        let received = port.received();
        received
            .iter()
            .any(|request| request.body.contains("tools/call"))
    };
    while !is_sent() {
        tokio::task::yield_now().await;
    }
    engine.state.lock().unwrap().kill_gateways();
    let response = call.await.unwrap();
    let ended = match response {
        Ok(response) => response.text().await.is_err(),
        Err(_) => true,
    };
    assert!(ended);
}
