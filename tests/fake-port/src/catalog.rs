//! Port's tools, and the small software catalog behind them.

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

use crate::offers::{Kind, Offer, Role};

/// Every tool. An identity with the role Builder sees all of them.
#[rustfmt::skip]
pub(crate) fn offers() -> Vec<Offer> {
    vec![
        read("list_blueprints", "List blueprints", "Lists the blueprints of the catalog with their properties and relations.",
            &["identifiers?: array"]),
        read("list_entities", "List entities", "Lists or counts entities of a blueprint, filtered by a query.",
            &["blueprintIdentifier: string", "identifiers?: array", "query?: object", "countOnly?: boolean", "limit?: integer"]),
        read("list_scorecards", "List scorecards", "Lists scorecards, all or those of one blueprint.",
            &["blueprintIdentifier?: string"]),
        read("list_actions", "List actions", "Lists the self-service actions that can be run.",
            &["blueprintIdentifier?: string"]),
        read("get_action_permissions", "Get action permissions", "Gets who may run and who approves an action.",
            &["actionIdentifier: string"]),
        read("track_action_run", "Track action run", "Gets the status and the log of an action run.",
            &["runId: string"]),
        read("list_workflows", "List workflows", "Lists workflows with their triggers.", &[]),
        read("get_workflow_run", "Get workflow run", "Gets the status of a workflow run, node by node.",
            &["runId: string"]),
        read("list_self_service_triggers", "List self-service triggers", "Lists the workflow triggers that can be run by hand.", &[]),
        read("describe_user_details", "Describe user details", "Describes the identity behind the token: organization, role, teams.", &[]),
        read("load_skill", "Load skill", "Loads the instructions of a skill by its name.",
            &["name: string"]),
        read("search_port_knowledge_sources", "Search knowledge sources", "Searches Port's documentation and the organization's own.",
            &["query: string"]),
        read("simulate_blueprint_permissions", "Simulate blueprint permissions", "Tells what a role could do with a blueprint's entities.",
            &["blueprintIdentifier: string", "role: string"]),
        read("list_integrations", "List integrations", "Lists the installed integrations and their state.", &[]),
        read("test_integration_mapping", "Test integration mapping", "Evaluates a mapping against a sample without saving it.",
            &["mapping: object", "sample: object"]),
        read("get_integration_sync_metrics", "Get sync metrics", "Gets the latest resync metrics of an integration.",
            &["integrationIdentifier: string"]),
        read("get_page", "Get page", "Gets a page with its widgets.",
            &["identifier: string"]),
        read("get_sidebar", "Get sidebar", "Gets the folders and pages of the catalog's sidebar.", &[]),
        read("list_plugins", "List plugins", "Lists the installed plugins.", &[]),

        execute("run_action", "Run action", "Runs a self-service action with the given inputs.",
            &["actionIdentifier: string", "entityIdentifier?: string", "properties?: object"]),
        execute("trigger_run", "Trigger workflow run", "Starts a workflow through its self-service trigger.",
            &["triggerIdentifier: string", "inputs?: object"]),

        write("upsert_blueprint", "Create or update blueprint", "Creates a blueprint or replaces its definition.",
            &["blueprint: object"]),
        write("upsert_entity", "Create or update entity", "Creates an entity or merges properties into it.",
            &["blueprintIdentifier: string", "entity: object"]),
        write("upsert_scorecard", "Create or update scorecard", "Creates a scorecard or replaces its rules.",
            &["blueprintIdentifier: string", "scorecard: object"]),
        write("upsert_action", "Create or update action", "Creates a self-service action or replaces its definition.",
            &["action: object"]),
        write("upsert_workflow", "Create or update workflow", "Creates a workflow or replaces its nodes.",
            &["workflow: object"]),
        write("upsert_page", "Create or update page", "Creates a page or replaces its widgets.",
            &["page: object"]),
        write("update_action_permissions", "Update action permissions", "Changes who may run and who approves an action.",
            &["actionIdentifier: string", "permissions: object"]),
        write("update_integration_mapping", "Update integration mapping", "Changes how an integration maps its data.",
            &["integrationIdentifier: string", "mapping: object"]),
        write("trigger_auto_discovery", "Trigger auto-discovery", "Starts a discovery run that may add entities.", &[]),
        write("move_page", "Move page", "Moves a page or a folder within the sidebar.",
            &["identifier: string", "parent?: string"]),
        delete("delete_blueprint", "Delete blueprint", "Deletes a blueprint that no entity uses.",
            &["identifier: string"]),
        delete("delete_entity", "Delete entity", "Deletes an entity, with its dependents if asked.",
            &["blueprintIdentifier: string", "identifier: string", "deleteDependents?: boolean"]),
        delete("delete_scorecard", "Delete scorecard", "Deletes a scorecard.",
            &["blueprintIdentifier: string", "identifier: string"]),
        delete("delete_action", "Delete action", "Deletes a self-service action.",
            &["identifier: string"]),
    ]
}

fn read(name: &'static str, title: &str, description: &'static str, takes: &[&str]) -> Offer {
    offer(Kind::Read, false, name, title, description, takes)
}

fn execute(name: &'static str, title: &str, description: &'static str, takes: &[&str]) -> Offer {
    offer(Kind::Execute, true, name, title, description, takes)
}

fn write(name: &'static str, title: &str, description: &'static str, takes: &[&str]) -> Offer {
    offer(Kind::Write, false, name, title, description, takes)
}

fn delete(name: &'static str, title: &str, description: &'static str, takes: &[&str]) -> Offer {
    offer(Kind::Write, true, name, title, description, takes)
}

fn offer(
    kind: Kind,
    destructive: bool,
    name: &'static str,
    title: &str,
    description: &'static str,
    takes: &[&str],
) -> Offer {
    let tool = Tool::new(name, description, schema(takes)).with_title(title);
    Offer {
        kind,
        tool: tool.with_annotations(hints(kind, destructive)),
    }
}

/// The annotations of a tool of this kind.
pub(crate) fn hints(kind: Kind, destructive: bool) -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(matches!(kind, Kind::Read))
        .destructive(destructive)
}

/// The JSON Schema of parameters such as `name: string` and `limit?: integer`.
pub(crate) fn schema(takes: &[&str]) -> JsonObject {
    let mut properties = JsonObject::new();
    let mut required = Vec::new();
    for parameter in takes {
        let (name, kind) = parameter
            .split_once(": ")
            .expect("a parameter is written as name: type");
        let name = name.strip_suffix('?').unwrap_or_else(|| {
            required.push(name);
            name
        });
        let of = match kind {
            "array" => json!({"type": "array", "items": {"type": "string"}}),
            _ => json!({"type": kind}),
        };
        properties.insert(name.to_owned(), of);
    }
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("required".to_owned(), json!(required));
    schema
}

/// The result of a tool for an identity with this role.
pub(crate) fn call(role: Role, name: &str, arguments: &JsonObject) -> Value {
    match name {
        "list_blueprints" => json!({"blueprints": blueprints()}),
        "list_entities" => {
            let blueprint = arguments.get("blueprintIdentifier").unwrap_or(&Value::Null);
            let entities: Vec<_> = entities()
                .into_iter()
                .filter(|entity| entity["blueprint"] == *blueprint)
                .collect();
            match arguments.get("countOnly") {
                Some(Value::Bool(true)) => json!({"count": entities.len()}),
                _ => json!({"entities": entities}),
            }
        }
        "list_actions" => json!({"actions": [
            {"identifier": "scaffold_service", "title": "Scaffold a service", "trigger": {"operation": "CREATE", "blueprintIdentifier": "service"}},
            {"identifier": "restart_service", "title": "Restart a service", "trigger": {"operation": "DAY-2", "blueprintIdentifier": "service"}},
        ]}),
        "list_scorecards" => json!({"scorecards": [
            {"identifier": "production_readiness", "title": "Production readiness", "blueprint": "service", "levels": ["Basic", "Bronze", "Silver", "Gold"]},
        ]}),
        "describe_user_details" => json!({
            "organization": {"id": "org_fakePort7Yq2LmXc", "name": "Fake Port"},
            "user": {"type": "machine", "roles": role.names()},
        }),
        "run_action" | "trigger_run" => json!({
            "ok": true,
            "run": {"id": "r_fake1Zk8Qw", "status": "IN_PROGRESS"},
        }),
        _ => json!({"ok": true, "arguments": arguments}),
    }
}

fn blueprints() -> Value {
    json!([
        {
            "identifier": "service",
            "title": "Service",
            "schema": {"properties": {
                "language": {"type": "string"},
                "tier": {"type": "string", "enum": ["critical", "standard"]},
            }},
            "relations": {"environment": {"target": "environment", "many": true}},
        },
        {
            "identifier": "environment",
            "title": "Environment",
            "schema": {"properties": {"region": {"type": "string"}}},
            "relations": {},
        },
        {
            "identifier": "zendesk_ticket",
            "title": "Zendesk ticket",
            "schema": {"properties": {
                "status": {"type": "string"},
                "priority": {"type": "string"},
            }},
            "relations": {"service": {"target": "service", "many": false}},
        },
    ])
}

fn entities() -> Vec<Value> {
    vec![
        json!({
            "identifier": "checkout", "title": "Checkout", "blueprint": "service",
            "properties": {"language": "Rust", "tier": "critical"},
            "relations": {"environment": ["staging", "production"]},
        }),
        json!({
            "identifier": "mailer", "title": "Mailer", "blueprint": "service",
            "properties": {"language": "Go", "tier": "standard"},
            "relations": {"environment": ["production"]},
        }),
        json!({
            "identifier": "staging", "title": "Staging", "blueprint": "environment",
            "properties": {"region": "eu-west-1"}, "relations": {},
        }),
        json!({
            "identifier": "production", "title": "Production", "blueprint": "environment",
            "properties": {"region": "eu-central-1"}, "relations": {},
        }),
        json!({
            "identifier": "zendesk_4711", "title": "Payment fails with a gift card", "blueprint": "zendesk_ticket",
            "properties": {"status": "open", "priority": "high"},
            "relations": {"service": "checkout"},
        }),
    ]
}
