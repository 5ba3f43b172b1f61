//! Files that the step reads or writes, and that are not what they should be.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use runner_double::Program;

use super::Lives;
use crate::harness::{BINARY, Step, after, annotations, assert_explained, errors, ours};

/// A limit of files to 512 bytes, which fails as a full disk does: after a part of the text.
const FULL: &str = "ulimit -f 1";

/// The binary with at most 96 MiB of memory, and with a file `large` of 1 GiB while it runs.
fn beside_a_large_file() -> Program {
    let script = "truncate --size 1G large && (ulimit -d 98304; exec \"$0\" \"$@\"); code=$?; \
                  rm large; exit $code";
    Program::wrapped(["sh", "-c", script, BINARY])
}

fn with_config_file() -> Step {
    Step::new().input("config_file", "true")
}

#[test]
fn a_full_disk_leaves_neither_a_part_of_the_outputs_nor_a_file() {
    for (variable, earlier, name) in [
        ("GITHUB_OUTPUT", "earlier=1\n", "GITHUB_OUTPUT"),
        ("GITHUB_STATE", &*"x=y\n".repeat(128), "GITHUB_STATE"),
        ("GITHUB_ENV", "", "RUNNER_TEMP"),
    ] {
        let step = with_config_file().file("commands", earlier);
        let file = step.job.workspace().join("commands");
        let step = step.variable(variable, file.to_str().unwrap());
        // Only the large configuration file exceeds the limit.
        let step = match name {
            "GITHUB_OUTPUT" => step.input("config_file", "false"),
            _ => step,
        };
        let step = step.program(after(FULL));
        let errors = step.fail();
        let named = match name {
            "RUNNER_TEMP" => step.job.temp().to_str().unwrap(),
            _ => name,
        };
        assert!(errors.contains(named), "{errors}");
        assert_eq!(fs::read_to_string(&file).unwrap(), earlier, "{variable}");
        assert!(ours(&step.job).is_empty(), "{variable}");
    }
}

/// The post phase could not stop a gateway that it does not know.
#[test]
fn a_gateway_whose_state_cannot_be_saved_is_ended() {
    let step = Step::new()
        .input("connection", "gateway")
        .input("audit_file", "true");
    // Enough space for all but the last part of the state.
    let step = step.file("state", &format!("x={}\n", "y".repeat(380)));
    let state = step.job.workspace().join("state");
    let step = step.variable("GITHUB_STATE", state.to_str().unwrap());
    let lives = Lives::new(&step);
    let limit = ["sh", "-c", &format!("{FULL}; exec \"$@\""), "sh"].map(str::to_owned);
    let words = lives.words().into_iter().chain(limit);
    let step = step.program(Program::wrapped(words.chain([BINARY.to_owned()])));
    let errors = step.fail();
    assert!(errors.contains("`GITHUB_STATE`"), "{errors}");
    assert!(ours(&step.job).is_empty());
    lives.assert_over();
}

/// The runner follows a symlink too. What the file contains is kept.
#[test]
fn a_symlink_is_followed_and_its_file_appended_to() {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("commands");
    for variable in ["GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"] {
        fs::write(&file, "earlier=1\n").unwrap();
        let step = with_config_file();
        let link = step.job.workspace().join("link");
        symlink(&file, &link).unwrap();
        let step = step.variable(variable, link.to_str().unwrap());
        step.succeed();
        let text = fs::read_to_string(&link).unwrap();
        assert!(text.starts_with("earlier=1\n"), "{text}");
        assert!(text.len() > 20, "{text}");
        assert!(link.is_symlink());
    }
}

#[test]
fn a_missing_file_is_created() {
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("new");
    let step = with_config_file().variable("GITHUB_OUTPUT", path.to_str().unwrap());
    step.succeed();
    assert!(fs::read_to_string(&path).unwrap().contains("access_token"));
}

#[test]
fn the_temporary_directory_can_be_a_symlink_but_not_the_home_of_a_user() {
    let step = with_config_file().file("real/x", "").file("home/x", "");
    let workspace = step.job.workspace().to_owned();
    let path = |name: &str| workspace.join(name).to_str().unwrap().to_owned();
    symlink("real", workspace.join("link")).unwrap();
    let step = step.variable("RUNNER_TEMP", &path("link"));
    let name = step.succeed().outputs["config_file"].clone();
    assert!(workspace.join("real").join(&name).is_file());
    assert_eq!(step.clean_up().exit, Some(0));
    assert!(!workspace.join("real").join(&name).exists());

    // The next steps would look for `_github_home/…` in a directory that does not exist.
    for temporary in ["missing", "real/x"] {
        let other = with_config_file()
            .variable("HOME", &path("home"))
            .variable("RUNNER_TEMP", &path(temporary));
        let errors = other.fail();
        assert!(errors.starts_with("no temporary directory"), "{errors}");
        assert!(other.port.received().is_empty());
    }
    assert_eq!(workspace.join("home").read_dir().unwrap().count(), 1);
}

#[test]
fn devices_links_and_large_files_are_not_read() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.json"), "{\"found\": 1}").unwrap();
    for input in ["base_config", "policy", "ca_certificate"] {
        for (path, expected) in [
            ("/dev/zero", "device"),
            ("/dev/stdin", "device"),
            ("zero", "device"),
            ("loop", "cannot be read"),
            ("secret", "outside the workspace"),
            ("../../../../../../etc/passwd", "outside the workspace"),
            ("large", "is larger than"),
            ("/proc/self/environ", "outside the workspace"),
        ] {
            let step = Step::new().program(beside_a_large_file());
            let workspace = step.job.workspace();
            symlink("/dev/zero", workspace.join("zero")).unwrap();
            symlink("loop", workspace.join("loop")).unwrap();
            symlink(outside.path().join("secret.json"), workspace.join("secret")).unwrap();
            let errors = step.input(input, path).fail();
            // A certificate may be anywhere, but no other text is ever used or quoted.
            let is_expected = match (input, expected) {
                ("ca_certificate", "outside the workspace") => {
                    errors.contains("contains no PEM certificate")
                }
                (_, "outside the workspace") => errors.contains(expected),
                _ => errors.contains(expected) || errors.contains("outside the workspace"),
            };
            assert!(is_expected, "{input}: {path}: {errors}");
            assert!(!errors.contains("found"), "{errors}");
        }
    }
}

#[test]
fn an_event_can_be_anything() {
    for path in [
        "/dev/zero",
        "/dev/stdin",
        "/dev/full",
        "/",
        "/missing",
        "/proc/self/mem",
        "large",
    ] {
        let step = Step::new()
            .input("client_secret", "")
            .program(beside_a_large_file());
        let path = step.job.workspace().join(path);
        let step = step.variable("GITHUB_EVENT_PATH", path.to_str().unwrap());
        let errors = step.fail();
        assert!(errors.contains("`client_secret` is empty"), "{errors}");
    }
}

/// The saved state as another program could change it: nothing but a file of ours is removed, and no other
/// server receives the key.
#[test]
fn a_changed_state_removes_nothing_else() {
    let step = Step::new().file("port-mcp-precious", "x");
    let (temp, workspace) = (step.job.temp().to_owned(), step.job.workspace().to_owned());
    fs::create_dir(temp.join("port-mcp-directory")).unwrap();
    fs::write(temp.join("foreign"), "x").unwrap();
    symlink(
        workspace.join("port-mcp-precious"),
        temp.join("port-mcp-link"),
    )
    .unwrap();
    let mut step = step;
    for name in [
        "foreign",
        "..",
        "../catalog",
        "/",
        "port-mcp-directory",
        "port-mcp-directory/..",
        "../catalog/port-mcp-precious",
        workspace.join("port-mcp-precious").to_str().unwrap(),
        "port-mcp-link",
        &*"port-mcp-x".repeat(10_000),
    ] {
        step = step.variable("STATE_config_file", name);
        let post = step.clean_up();
        assert_eq!(post.exit, Some(0), "{name}");
        let warnings = annotations(&post, "warning");
        let expected = "The saved state names the configuration file ";
        assert!(warnings.starts_with(expected), "{warnings}");
        assert!(workspace.join("port-mcp-precious").exists(), "{name}");
        assert!(temp.join("foreign").exists() && temp.join("port-mcp-directory").exists());
    }
    // A name of the right form: a link itself is removed, and a directory is not.
    let name = "port-mcp-0123456789abcdef.json";
    fs::rename(temp.join("port-mcp-link"), temp.join(name)).unwrap();
    step = step.variable("STATE_config_file", name);
    assert_eq!(step.clean_up().exit, Some(0));
    assert!(!temp.join(name).is_symlink());
    assert!(workspace.join("port-mcp-precious").exists());
    fs::rename(temp.join("port-mcp-directory"), temp.join(name)).unwrap();
    let post = step.clean_up();
    assert_eq!(post.exit, Some(1));
    assert_explained(&post);
    assert!(errors(&post).starts_with("could not remove port-mcp-"));

    for url in [
        "http://192.0.2.1/v1",
        "https://example.com/",
        "x",
        "file:///",
    ] {
        let step = Step::new()
            .variable("STATE_gateway_url", url)
            .variable("STATE_gateway_stop_key", "aaaaaaaaaaaaaaaaaaaaaaaa");
        let post = step.clean_up();
        assert_eq!(post.exit, Some(0));
        let warning = annotations(&post, "warning");
        let expected =
            "The saved state of this step does not name its gateway (`gateway_url` is not its URL)";
        assert!(warning.starts_with(expected), "{warning}");
    }
}

/// A file system with 4 KiB, or one that cannot be written, which is gone with the step. Its files are listed
/// before.
fn mounted(step: Step, at: &Path, script: &str) -> Step {
    let at = at.to_str().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=4k tmpfs '{at}' && {{ {script}; }} && {{ \"$0\" \"$@\"; code=$?; }}; \
         ls -A '{at}' >left; exit $code"
    );
    step.program(Program::wrapped([
        "unshare", "--mount", "sh", "-c", &script, BINARY,
    ]))
}

#[test]
#[ignore = "requires root"]
fn a_real_disk_is_full_or_read_only() {
    // The variable, what is on the file system before, and what the error names.
    for (variable, script, before) in [
        ("RUNNER_TEMP", "head -c 4096 /dev/zero >x", "x\n"),
        ("RUNNER_TEMP", "mount -o remount,ro .", ""),
        ("GITHUB_OUTPUT", "head -c 4000 /dev/zero >file", "file\n"),
        (
            "GITHUB_OUTPUT",
            "touch file && mount -o remount,ro .",
            "file\n",
        ),
        ("GITHUB_STATE", "head -c 4096 /dev/zero >file", "file\n"),
        ("GITHUB_STATE", "mount -o remount,ro .", ""),
        (
            "GITHUB_STEP_SUMMARY",
            "head -c 4096 /dev/zero >file",
            "file\n",
        ),
    ] {
        let step = with_config_file();
        let small = step.job.workspace().join("small");
        fs::create_dir(&small).unwrap();
        let value = match variable {
            "RUNNER_TEMP" => small.clone(),
            _ => small.join("file"),
        };
        let step = step.variable(variable, value.to_str().unwrap());
        let script = format!("cd small && {script} && cd ..");
        let step = mounted(step, &small, &script);
        let run = step.run();
        let is_summary = variable == "GITHUB_STEP_SUMMARY";
        assert_eq!(run.exit, Some(i32::from(!is_summary)), "{}", run.log());
        let text = if is_summary {
            annotations(&run, "warning")
        } else {
            errors(&run)
        };
        assert!(text.contains(small.to_str().unwrap()), "{variable}: {text}");
        assert!(text.contains("hint:"), "{text}");
        let listed = fs::read_to_string(step.job.workspace().join("left")).unwrap();
        assert_eq!(listed, before, "{variable}");
        assert_eq!(ours(&step.job).len(), usize::from(is_summary), "{variable}");
    }
}
