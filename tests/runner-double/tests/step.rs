//! Steps from start to end, with a shell script in the place of the action: `sh connect`
//! runs the file `connect` in the workspace.

use std::fs;
use std::path::Path;

use runner_double::{Conclusion, Finished, Job, Leak, Level, Phase, Place, Program};
use serde_json::json;

const SECRET: &str = "s3cr3t-tok3n-of-some-length";

fn shell() -> Program {
    Program::binary("/bin/sh")
}

fn write(job: &Job, entry_point: &str, script: &str) {
    fs::write(job.workspace().join(entry_point), script).expect("a script");
}

fn run(script: &str) -> Finished {
    let mut job = Job::new();
    job.tolerant();
    write(&job, "connect", script);
    job.step(&shell(), Phase::Main, &[("token", SECRET)])
}

fn leak(place: Place, form: &'static str) -> Leak {
    Leak { place, form }
}

#[test]
fn a_step_sees_the_runner_and_nothing_else() {
    let run = run(
        "env | cut -d= -f1 | sort; echo pwd=$PWD; echo workspace=$GITHUB_WORKSPACE; cat; exit 3",
    );
    assert_eq!(run.exit, Some(3));
    assert!(!run.succeeded());
    assert!(!run.stdout.contains("CARGO"), "{}", run.stdout);
    for name in [
        "CI",
        "GITHUB_EVENT_PATH",
        "GITHUB_WORKFLOW_REF",
        "HOME",
        "INPUT_TOKEN",
        "RUNNER_TEMP",
    ] {
        assert!(
            run.stdout.lines().any(|line| line == name),
            "{name} in {}",
            run.stdout
        );
    }
    let ends: Vec<_> = run
        .stdout
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    assert_eq!(ends[0].1, ends[1].1);
}

#[test]
fn variables_and_the_event_are_the_tests_to_choose() {
    let mut job = Job::new();
    job.event(&json!({"pull_request": {"head": {"repo": {"fork": true}}}}))
        .var("GITHUB_ACTOR", "dependabot[bot]")
        .without("RUNNER_TEMP");
    write(
        &job,
        "connect",
        "cat \"$GITHUB_EVENT_PATH\"; echo; echo \"$GITHUB_ACTOR,${RUNNER_TEMP-none}\"",
    );
    let run = job.step(&shell(), Phase::Main, &[]);
    assert_eq!(
        run.log(),
        "{\"pull_request\":{\"head\":{\"repo\":{\"fork\":true}}}}\ndependabot[bot],none\n"
    );
}

#[test]
fn files_carry_outputs_variables_state_and_the_summary() {
    let run = run(r#"
        printf 'a<<E\none\ntwo\nE\nb=c<<d\n' >> "$GITHUB_OUTPUT"
        echo 'NAME=value' >> "$GITHUB_ENV"
        echo 'id=7' >> "$GITHUB_STATE"
        echo '/opt/bin' >> "$GITHUB_PATH"
        echo "::add-mask::$INPUT_TOKEN"
        printf '# Done\n%s\n' "$INPUT_TOKEN" >> "$GITHUB_STEP_SUMMARY""#);
    assert_eq!(run.outputs["a"], "one\ntwo");
    assert_eq!(run.outputs["b"], "c<<d");
    assert_eq!(run.env["NAME"], "value");
    assert_eq!(run.state["id"], "7");
    assert_eq!(run.path, ["/opt/bin"]);
    assert_eq!(run.published_summary(), "# Done\n***\n");
}

#[test]
fn the_post_phase_receives_state_variables_and_masks_of_main() {
    let job = Job::new();
    write(
        &job,
        "connect",
        "echo id=7 >> $GITHUB_STATE; echo NAME=x >> $GITHUB_ENV; echo \"::add-mask::$INPUT_TOKEN\"",
    );
    write(
        &job,
        "cleanup",
        "echo \"$STATE_id,$NAME,$INPUT_TOKEN\"; test ! -s \"$GITHUB_STATE\"",
    );
    let inputs = [("token", SECRET)];
    assert!(job.step(&shell(), Phase::Main, &inputs).succeeded());
    let post = job.step(&shell(), Phase::Post, &inputs);
    assert_eq!(post.log(), "7,x,***\n");
    assert!(post.succeeded());
}

#[test]
fn an_unreadable_output_file_fails_the_step_with_the_runners_message() {
    let run = run("printf 'a=1\\nb<<E\\nvalue\\n' >> $GITHUB_OUTPUT");
    let reason = "Invalid value. Matching delimiter not found 'E'";
    let first = "Unable to process file command 'output' successfully.";
    assert_eq!(run.command_errors, [format!("{first} {reason}")]);
    assert_eq!(run.log(), format!("##[error]{first}\n##[error]{reason}\n"));
    assert_eq!((run.exit, run.conclusion), (Some(0), Conclusion::Failure));
    assert_eq!(run.outputs["a"], "1");
}

#[test]
fn a_variable_needs_a_name() {
    let run = run("echo '=value' >> $GITHUB_ENV");
    let reason = "Value cannot be null. (Parameter 'name')";
    assert!(run.command_errors[0].ends_with(reason));
    assert!(!run.succeeded());
}

#[test]
fn a_cut_emoji_kills_the_runner() {
    let run = run(
        "echo a=1 >> $GITHUB_OUTPUT; echo summary >> $GITHUB_STEP_SUMMARY
        printf '::warning::%255s\\360\\237\\230\\200\\n' x",
    );
    assert!(run.crashed() && !run.succeeded());
    assert_eq!((run.exit, run.log()), (Some(0), ""));
    assert!(run.outputs.is_empty() && run.annotations.is_empty());
    assert_eq!(
        (run.published_summary(), run.job_output("a")),
        (String::new(), None)
    );
    assert!(run.stdout.contains("::warning::"));
}

#[test]
#[should_panic(expected = "the step ends the runner")]
fn a_crash_fails_a_test_that_does_not_expect_it() {
    let program = Program::run("printf '::error::%255s\\360\\237\\230\\200\\n' x");
    let _ = Job::new().step(&program, Phase::Main, &[]);
}

#[test]
#[should_panic(expected = "a mask does not hide")]
fn an_unmasked_title_fails_a_test_that_does_not_expect_it() {
    let program = Program::run("echo ::add-mask::a-secret; echo ::notice title=a-secret::x");
    let _ = Job::new().step(&program, Phase::Main, &[]);
}

#[test]
#[should_panic(expected = "the runner has crashed in an earlier step")]
fn no_step_runs_after_a_crash() {
    let mut job = Job::new();
    job.tolerant();
    let script = "printf '::error::%255s\\360\\237\\230\\200\\n' x";
    let program = Program::shell(script, "true");
    assert!(job.step(&program, Phase::Main, &[]).crashed());
    let _ = job.step(&program, Phase::Post, &[]);
}

#[test]
fn a_failure_counts_as_a_success_with_continue_on_error() {
    let mut job = Job::new();
    job.continue_on_error(true);
    let program = Program::shell("exit 1", "exit 2");
    for phase in [Phase::Main, Phase::Post] {
        let run = job.step(&program, phase, &[]);
        assert_eq!(
            (run.conclusion, run.succeeded()),
            (Conclusion::Success, false)
        );
    }
}

#[test]
fn a_mask_does_not_reach_titles_and_files() {
    let run = run("echo \"::add-mask::$INPUT_TOKEN\"
        echo \"::notice title=$INPUT_TOKEN::a\"
        echo \"::notice file=$INPUT_TOKEN::b\"
        echo \"::notice title=T,file=f::$INPUT_TOKEN\"");
    let shown: Vec<&str> = run
        .unmasked_annotations()
        .into_iter()
        .map(|annotation| annotation.message.as_str())
        .collect();
    assert_eq!(shown, ["a", "b"]);
    assert_eq!(run.annotations[2].message, "***");
    assert_eq!(run.annotations[2].level, Level::Notice);
}

#[test]
fn variables_of_earlier_steps_win_over_the_image_and_lose_to_the_runner_and_the_state() {
    let job = Job::new();
    write(
        &job,
        "connect",
        "printf 'LEVEL=x\\nSTATE_id=forged\\nSTATE_other=y\\nCI=z\\nGITHUB_SHA=0\\n' >> $GITHUB_ENV
        echo id=7 >> $GITHUB_STATE",
    );
    write(
        &job,
        "cleanup",
        "echo \"$LEVEL,$BASE,$STATE_id,$STATE_other,$CI,${#GITHUB_SHA}\"",
    );
    let program = shell().with_image_variables([("LEVEL", "info"), ("BASE", "b"), ("CI", "no")]);
    assert!(job.step(&program, Phase::Main, &[]).succeeded());
    let post = job.step(&program, Phase::Post, &[]);
    assert_eq!(post.log(), "x,b,7,y,z,40\n");
}

#[test]
fn a_variable_for_nodejs_is_refused_and_the_step_succeeds() {
    let run = run("printf 'NODE_OPTIONS=--inspect\\nA=b\\n' >> $GITHUB_ENV");
    assert!(run.succeeded());
    assert_eq!(run.annotations[0].level, Level::Error);
    assert_eq!(run.env.keys().collect::<Vec<_>>(), ["A"]);
}

#[test]
fn a_step_gets_variables_that_no_document_lists() {
    let run = run(
        "echo \"$ACTIONS_RUNTIME_TOKEN\"; echo \"$RUNNER_TOOL_CACHE $RUNNER_WORKSPACE\"
        test -f \"$GITHUB_ARTIFACTS\"; test -f \"$GITHUB_ARTIFACTS_LIST\"",
    );
    assert!(run.succeeded(), "{}", run.log());
    assert!(run.log().starts_with("***\n/opt/hostedtoolcache /"));
}

#[test]
fn directories_for_the_search_path_reach_actions_outside_of_a_container() {
    let job = Job::new();
    let first = job.step(
        &Program::run("printf '/opt/a\\n/opt/b\\n' >> $GITHUB_PATH"),
        Phase::Main,
        &[],
    );
    assert_eq!(first.path, ["/opt/b", "/opt/a"]);
    let show = Program::run("echo \"$PATH\"");
    let next = job.step(&show, Phase::Main, &[]);
    assert!(next.log().starts_with("/opt/b:/opt/a:/"));
    write(&job, "connect", "echo \"$PATH\"");
    let container = job.step(&shell(), Phase::Main, &[]);
    assert!(!container.log().contains("/opt/a"));
}

#[test]
fn stderr_comes_first_so_a_mask_on_stdout_comes_too_late() {
    let run = run(
        "echo \"::add-mask::$INPUT_TOKEN\"; echo \"got $INPUT_TOKEN\"; echo \"got $INPUT_TOKEN\" >&2",
    );
    assert_eq!(run.log(), format!("got {SECRET}\ngot ***\n"));
}

#[test]
fn a_secret_of_the_repository_is_masked_from_the_start() {
    let mut job = Job::new();
    job.secret(SECRET);
    write(
        &job,
        "connect",
        "echo \"$INPUT_TOKEN\" >&2; echo token=$INPUT_TOKEN >> $GITHUB_OUTPUT; echo url=u >> $GITHUB_OUTPUT",
    );
    let run = job.step(&shell(), Phase::Main, &[("token", SECRET)]);
    assert_eq!(run.log(), "***\n");
    assert_eq!(run.job_output("token"), None);
    assert_eq!(run.job_output("url"), Some("u"));
}

#[test]
fn every_leak_is_found() {
    let run = run(r#"
        echo "::add-mask::$INPUT_TOKEN"
        echo "token: $INPUT_TOKEN"
        printf 'user:%s@host' "$INPUT_TOKEN" | base64 -w0 >&2
        echo "token=$INPUT_TOKEN" >> "$GITHUB_OUTPUT"
        echo "header=Bearer $INPUT_TOKEN" >> "$GITHUB_STATE"
        echo "TOKEN=$INPUT_TOKEN" >> "$GITHUB_ENV"
        echo "/opt/$INPUT_TOKEN" >> "$GITHUB_PATH"
        printf '%s' "$INPUT_TOKEN" | od -An -tx1 | tr -d ' \n' >> "$GITHUB_STEP_SUMMARY"
        echo "$INPUT_TOKEN" > "$RUNNER_TEMP/config.json"
        mkdir -p "$HOME/.agent"; echo "$INPUT_TOKEN" > "$HOME/.agent/config"
        echo "$INPUT_TOKEN" > token.txt"#);
    let file = |path: &str| Place::File(Path::new(path).to_owned());
    assert_eq!(
        run.leaks(SECRET),
        [
            leak(Place::Stdout(2), "in the clear"),
            leak(Place::Stderr(1), "within base64"),
            leak(Place::Output("token".into()), "in the clear"),
            leak(Place::State("header".into()), "in the clear"),
            leak(Place::Env("TOKEN".into()), "in the clear"),
            leak(Place::Path, "in the clear"),
            leak(Place::Summary, "hexadecimal"),
            leak(file("_temp/_github_home/.agent/config"), "in the clear"),
            leak(file("_temp/config.json"), "in the clear"),
            leak(file("catalog/token.txt"), "in the clear"),
        ]
    );
}

#[test]
fn base64url_is_a_leak_that_no_mask_hides() {
    let run = run("echo '::add-mask::>>>???>>>'; echo 'eyI-Pj4_Pz8-Pj4ifQ'");
    assert!(run.log().contains("eyI-Pj4_Pz8-Pj4ifQ"));
    assert_eq!(
        run.leaks(">>>???>>>"),
        [leak(Place::Stdout(2), "within base64url")]
    );
}

#[test]
fn a_secret_of_several_lines_is_found_across_lines() {
    let run = run("printf 'x\\nfirst\\nsecond\\n'");
    assert_eq!(
        run.leaks("first\nsecond"),
        [leak(Place::Stdout(2), "in the clear")]
    );
}

#[test]
fn a_file_that_the_test_put_there_is_no_leak_and_one_that_outlives_the_clean_up_is() {
    let job = Job::new();
    write(&job, "base.json", SECRET);
    write(&job, "touched.json", "");
    write(&job, "connect", "echo $INPUT_TOKEN > touched.json");
    write(&job, "cleanup", "true");
    let touched = leak(Place::File("catalog/touched.json".into()), "in the clear");
    for phase in [Phase::Main, Phase::Post] {
        let run = job.step(&shell(), phase, &[("token", SECRET)]);
        assert_eq!(
            run.leaks(SECRET),
            std::slice::from_ref(&touched),
            "{phase:?}"
        );
    }
}

#[test]
fn a_leak_does_not_repeat_the_secret() {
    let run = run("echo $INPUT_TOKEN");
    let leaks = run.leaks(SECRET);
    assert_eq!(leaks[0].to_string(), "line 1 of stdout (in the clear)");
    assert!(!format!("{leaks:?}").contains(SECRET));
}

#[test]
fn a_running_step_can_be_watched_and_stopped() {
    let job = Job::new();
    let script = "trap 'echo stopped; echo by=$1 >> $GITHUB_OUTPUT; exit 143' TERM
        trap 'echo interrupted; exit 130' INT
        echo 'ready to serve'; while :; do :; done";
    write(&job, "connect", script);

    let running = job.spawn(&shell(), Phase::Main, &[]);
    assert_eq!(running.wait_for_line("ready"), "ready to serve");
    running.terminate();
    let run = running.wait();
    assert_eq!(
        (run.exit, run.log()),
        (Some(143), "ready to serve\nstopped\n")
    );
    assert_eq!(run.outputs["by"], "");

    let running = job.spawn(&shell(), Phase::Main, &[]);
    running.wait_for_line("ready");
    running.interrupt();
    assert_eq!(running.wait().exit, Some(130));
}

#[test]
fn a_step_that_a_signal_ends_has_no_exit_status() {
    let job = Job::new();
    write(&job, "connect", "echo ready; while :; do :; done");
    let running = job.spawn(&shell(), Phase::Main, &[]);
    running.wait_for_line("ready");
    running.terminate();
    assert_eq!(running.wait().exit, None);
}

#[test]
#[should_panic(expected = "no line with \"ready\"")]
fn a_line_that_never_comes_is_reported_with_the_output() {
    let job = Job::new();
    write(&job, "connect", "echo done");
    let running = job.spawn(&shell(), Phase::Main, &[]);
    running.wait_for_line("ready");
}

#[test]
fn an_image_is_taken_only_if_named() {
    assert!(Program::image_from("A_VARIABLE_THAT_NOBODY_SETS").is_none());
}
