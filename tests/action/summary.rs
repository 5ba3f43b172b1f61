//! The job summary.

use port_sandbox::{Sandbox, Tool};

use crate::harness::{Step, assert_snapshot};

#[test]
fn it_says_what_was_granted() {
    let run = Step::new()
        .input("allowed_tools", "list_blueprints, list_entities")
        .succeed();
    assert_snapshot!("summary", run.summary);
}

#[test]
fn it_says_what_was_held_back_and_why() {
    let run = Step::new()
        .input("allowed_tools", "get_page, run_*")
        .succeed();
    let held_back = run.summary.split("| Not granted").nth(1).unwrap();
    assert_snapshot!(held_back.trim_end(), @r"
     | Why |
    |---|---|
    | run\_action | changes something, and is granted by its name only |
    ");
}

#[test]
fn a_server_cannot_draw_in_it() {
    let hostile = Tool::new("get_all")
        .title("<img src=x onerror=alert(1)>")
        .description("a|b\n\n# Head\r\n[x](https://evil.example) <script> `c` www.evil.example @acme ![](y) \u{202e}\u{1b}[31m");
    let run = Step::against(Sandbox::builder().offer(hostile))
        .input("allowed_tools", "get_all")
        .succeed();
    let row = run.summary.lines().find(|line| line.contains("get\\_all"));
    assert_snapshot!(row.unwrap(), @r"| get\_all | does not say | a\|b \# Head \[x\](https&#58;//evil.example) &lt;script&gt; `c` www&#46;evil.example \@acme \!\[\](y) \[31m |");
}

#[test]
fn it_stays_below_githubs_limit_whatever_the_server_sends() {
    let long = "<&>".repeat(500_000);
    let sandbox = Sandbox::builder()
        .tools(12_000)
        .offer(Tool::new("get_all").description(long));
    let run = Step::against(sandbox).succeed();
    assert!(run.summary.len() < 1024 * 1024, "{}", run.summary.len());
    assert!(run.summary.contains("more | | |"));
}

#[test]
fn it_can_be_left_out() {
    assert_eq!(Step::new().input("summary", "false").succeed().summary, "");
}
