//! Runs a vector, and compares.

mod expected;

use std::collections::{BTreeMap, HashMap};

use expected::{Compare, annotation, texts};
use runner_double::{Conclusion, Finished, Job, Phase, Program};
use serde_json::{Map, Value, json};

/// The results of the runner that differ from those of the double.
pub(crate) fn differences(vector: &Value) -> Vec<String> {
    let mut job = job(vector);
    let program = program(vector);
    let own: Vec<_> = [texts(&vector["step_env"]), texts(&vector["secrets"])].concat();
    let own = own
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    job.step_env(own.clone());
    let main = job.step(&program, Phase::Main, &[]);
    if main.crashed() {
        let mut compare = Compare::new(vector, &job);
        compare.value("conclusion", &json!("crash"));
        return compare.differences;
    }
    job.step_env([]);
    let later = later_variables(&job, vector);
    job.step_env(own);
    let post = vector
        .get("post")
        .map(|_| job.step(&program, Phase::Post, &[]));

    let mut compare = Compare::new(vector, &job);
    if post.as_ref().is_some_and(Finished::crashed) {
        compare.value("conclusion", &json!("crash"));
        return compare.differences;
    }
    compare.value("conclusion", &conclusion(&main));
    compare.lines("log", main.log_lines());
    compare.list(
        "annotations",
        main.annotations.iter().map(annotation).collect(),
    );
    compare.map("outputs", &main.outputs);
    compare.map("env", &environment(&main, &later));
    compare.value("path", &path(&main, &later));
    let posted = post.as_ref().map(Finished::published_summary);
    let summary = main.published_summary() + &posted.unwrap_or_default();
    compare.text("summary", &summary);
    compare_job(&mut compare, &main, vector);
    if let Some(post) = &post {
        compare.value("post_conclusion", &conclusion(post));
        let first = "Post job cleanup.".to_owned();
        let lines: Vec<String> = [first]
            .into_iter()
            .chain(post.log_lines().to_vec())
            .collect();
        compare.lines("post_log", &lines);
        compare.list(
            "post_annotations",
            post.annotations.iter().map(annotation).collect(),
        );
    }
    compare.differences
}

fn job(vector: &Value) -> Job {
    let mut job = Job::new();
    job.tolerant().var("GITHUB_ACTION", "v");
    for (_, secret) in texts(&vector["secrets"]) {
        job.secret(&secret);
    }
    if vector["debug"] == true {
        job.var("RUNNER_DEBUG", "1");
    }
    job
}

fn program(vector: &Value) -> Program {
    let script = vector["script"].as_str().expect("a script");
    match vector["post"].as_str() {
        Some(post) => Program::shell(script, post),
        None => Program::run(script),
    }
}

fn conclusion(finished: &Finished) -> Value {
    match finished.conclusion {
        Conclusion::Success => json!("success"),
        Conclusion::Failure => json!("failure"),
        Conclusion::Crash => json!("crash"),
    }
}

/// The variables of a later step, unless it could not be observed. Its shell does not pass on names that are none in a shell, except if the
/// vector has such names.
fn later_variables(job: &Job, vector: &Value) -> HashMap<String, String> {
    let unknown = vector["not_observed"].as_array();
    if unknown.is_some_and(|names| names.contains(&json!("env"))) {
        return HashMap::new();
    }
    let is_name = |name: &String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let mut names = vector["env"].as_object().into_iter().flat_map(Map::keys);
    let script = if names.all(is_name) {
        "/usr/bin/env -0"
    } else {
        "/bin/cat /proc/$$/environ"
    };
    let later = job.step(&Program::run(script), Phase::Main, &[]);
    let variables = later.stdout.split('\0');
    variables
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The variables of a step that a later step had.
fn environment(main: &Finished, later: &HashMap<String, String>) -> BTreeMap<String, String> {
    let reaches = |(name, value): &(&String, &String)| {
        let value = value.split('\0').next().unwrap_or_default();
        *name != "PATH" && later.get(*name).is_some_and(|later| later == value)
    };
    let variables = main.env.iter().filter(reaches);
    variables
        .map(|(name, _)| (name.clone(), later[name].clone()))
        .collect()
}

fn path(main: &Finished, later: &HashMap<String, String>) -> Value {
    if main.env.contains_key("PATH") {
        json!({"whole": later.get("PATH")})
    } else {
        let directories = main.path.iter().flat_map(|path| path.split(':'));
        json!(directories.collect::<Vec<_>>())
    }
}

fn compare_job(compare: &mut Compare, main: &Finished, vector: &Value) {
    let Some(names) = vector["job_outputs"].as_array() else {
        return;
    };
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    let passed = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), main.job_output(name)?.to_owned())));
    compare.map("job", &passed.collect());
    compare.lines("job_log", &main.job_log(&names));
}
