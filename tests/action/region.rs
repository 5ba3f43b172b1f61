//! The region of the credentials: which servers are asked, and which addresses belong together.

use fake_port::{Endpoint, FakePort, Fault};
use serde_json::json;

use crate::harness::{Step, annotations};

/// A step with the default servers. The first request to `endpoint`, in region `eu`, gets this fault.
fn failing_in_the_eu(endpoint: Endpoint, fault: Fault) -> Step {
    let step = Step::behind_a_proxy(FakePort::builder());
    step.port.fault(endpoint, fault);
    step
}

/// The hosts that received requests.
fn hosts(step: &Step) -> Vec<String> {
    let received = step.port.received();
    let host = |headers: &[(String, String)]| {
        let host = headers.iter().find(|(name, _)| name == "host");
        host.map(|(_, host)| host.trim_end_matches(":443").to_owned())
            .unwrap()
    };
    received
        .iter()
        .map(|request| host(&request.headers))
        .collect()
}

#[test]
fn auto_tries_the_eu_and_then_the_us() {
    let step = failing_in_the_eu(Endpoint::Rest, Fault::status(401).into());
    let run = step.succeed();
    let contacted = hosts(&step);
    assert_eq!(contacted[..2], ["api.port.io", "api.us.port.io"]);
    assert!(
        contacted[2..].iter().all(|host| host == "mcp.us.port.io"),
        "{contacted:?}"
    );
    assert_eq!(run.outputs["mcp_url"], "https://mcp.us.port.io/v1");
    assert_eq!(annotations(&run, "notice"), "", "nothing is wrong");
    let log = run.log();
    assert!(
        log.contains("belong to region `us`") && log.contains("Set `region: us`"),
        "{log}"
    );

    let step = Step::behind_a_proxy(FakePort::builder());
    let run = step.succeed();
    assert!(!hosts(&step).iter().any(|host| host.contains("us.")));
    assert_eq!(annotations(&run, "notice"), "");
}

#[test]
fn an_unknown_oauth_client_is_treated_as_a_401() {
    let error = json!({"error": "invalid_client"});
    let step = failing_in_the_eu(Endpoint::Oauth, Fault::status(400).json(error).into());
    step.input("auth_method", "oauth").succeed();
}

#[test]
fn a_401_from_both_regions_reports_both() {
    let step = failing_in_the_eu(Endpoint::Rest, Fault::status(401).into());
    step.port.fault(Endpoint::Rest, Fault::status(401));
    let errors = step.fail();
    assert!(
        errors.contains("with `region: eu`: Port rejected the credentials"),
        "{errors}"
    );
    assert!(
        errors.contains("with `region: us`: Port rejected the credentials"),
        "{errors}"
    );
    assert!(errors.contains("both regions rejected them"), "{errors}");
    assert_eq!(hosts(&step).len(), 2, "each region once");
}

#[test]
fn only_after_a_401_the_other_region_is_tried() {
    for status in [403, 422, 404, 418] {
        let step = failing_in_the_eu(Endpoint::Rest, Fault::status(status).into());
        step.fail();
        assert_eq!(hosts(&step), ["api.port.io"], "{status}");
    }
    let step = failing_in_the_eu(Endpoint::Rest, Fault::status(401).into());
    step.port.fault(Endpoint::Rest, Fault::status(403));
    let errors = step.fail();
    assert!(
        errors.contains("`region: us`: Port denied access"),
        "{errors}"
    );
}

#[test]
fn an_explicit_region_is_the_only_one() {
    for region in ["eu", "us"] {
        let step = failing_in_the_eu(Endpoint::Rest, Fault::status(401).into());
        let step = step.input("region", region);
        step.fail();
        assert_eq!(hosts(&step).len(), 1);
    }
    let errors = Step::behind_a_proxy(FakePort::builder())
        .input("region", "eu")
        .input("mcp_url", "https://mcp.us.port.io/v1")
        .fail();
    assert!(
        errors.contains("input `region` is `eu`, but `api_url` or `mcp_url` is in region `us`"),
        "{errors}"
    );
}

#[test]
fn addresses_of_two_regions_are_an_error() {
    let errors = Step::behind_a_proxy(FakePort::builder())
        .input("api_url", "https://api.port.io")
        .input("mcp_url", "https://mcp.us.port.io/v1")
        .fail();
    assert!(
        errors.contains("is in region `eu`, but `mcp_url` is in region `us`"),
        "{errors}"
    );
}

#[test]
fn a_custom_address_requires_the_other_address_or_a_region() {
    for (given, missing) in [("api_url", "mcp_url"), ("mcp_url", "api_url")] {
        let step =
            || Step::behind_a_proxy(FakePort::builder()).input(given, "https://port.acme.example");
        let errors = step().fail();
        assert!(
            errors.contains(&format!(
                "the custom `{given}` does not determine the region"
            )),
            "{errors}"
        );
        assert!(
            errors.contains(&format!("or set `{missing}` too")),
            "{errors}"
        );
        let run = step().input("region", "us").run();
        assert!(!run.log().contains("does not determine the region"));
    }
}

#[test]
fn custom_servers_require_a_region_if_the_policy_limits_regions() {
    let text = "version: 1\nrules:\n- allow: {tools: ['*'], regions: [eu], servers: [127.0.0.1]}\n";
    let port = || FakePort::builder().policy_file("acme/.github", "p.yml", "main", text);
    let step = || Step::against(port()).input("policy", "acme/.github/p.yml@main");
    assert!(
        step()
            .fail()
            .contains("a custom server without `region` is not allowed by")
    );
    step().input("region", "eu").succeed();
    step().input("region", "us").fail();
}

#[test]
fn an_address_of_another_service_is_an_error() {
    for (input, url, what) in [
        ("api_url", "https://app.getport.io", "Port's web app"),
        ("api_url", "https://app.us.port.io/v1", "Port's web app"),
        ("api_url", "https://mcp.port.io/v1", "Port's MCP server"),
        ("mcp_url", "https://api.us.port.io/v1", "Port's REST API"),
        ("mcp_url", "https://app.port.io", "Port's web app"),
    ] {
        let errors = Step::behind_a_proxy(FakePort::builder())
            .input(input, url)
            .fail();
        assert!(
            errors.contains(&format!("input `{input}` is the address of {what}")),
            "{errors}"
        );
    }
}

#[test]
fn all_names_of_ports_hosts_are_known() {
    let text = "version: 1\nrules:\n- allow: {tools: ['*'], regions: [eu]}\n";
    for (api, mcp, region) in [
        ("", "https://mcp.getport.io/v1", "eu"),
        ("https://api.getport.io", "https://mcp.port.io", "eu"),
        ("https://api.port.io./v1", "", "eu"),
        (
            "https://api.us.getport.io/v1",
            "https://mcp.us.port.io/v1",
            "us",
        ),
        ("", "https://mcp.us.getport.io", "us"),
        ("https://API.US.PORT.IO", "", "us"),
    ] {
        let port = || FakePort::builder().policy_file("acme/.github", "p.yml", "main", text);
        let step = Step::behind_a_proxy(port())
            .input("api_url", api)
            .input("mcp_url", mcp);
        let run = step.succeed();
        assert!(
            run.log().contains(&format!(", region `{region}`).")),
            "{api} {mcp}: {}",
            run.log()
        );
        let step = step.input("policy", "acme/.github/p.yml@main");
        if region == "eu" {
            step.succeed();
        } else {
            assert!(step.fail().contains("`region: us` is not allowed by"));
        }
    }
}

#[test]
fn no_request_is_sent_to_a_region_that_the_policy_does_not_allow() {
    let text = "version: 1\nrules:\n- allow: {tools: ['*'], regions: [us]}\n";
    let port = FakePort::builder().policy_file("acme/.github", "port-mcp.yml", "main", text);
    let step = Step::behind_a_proxy(port).input("policy", "acme/.github/port-mcp.yml@main");
    step.succeed();
    let hosts = step.port.tunneled();
    assert!(
        !hosts.iter().any(|host| host.starts_with("api.port.io")),
        "{hosts:?}"
    );
    assert!(
        hosts.contains(&"api.us.port.io:443".to_owned()),
        "{hosts:?}"
    );
}
