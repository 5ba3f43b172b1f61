//! The binary action: the JavaScript in `binary/`, in a made-up release. Its binary is a shell script on a mirror, or the
//! real binary in a file.

#![cfg(unix)]

mod release;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fake_port::{Endpoint, Fault};
use runner_double::{Finished, Job, Phase, Running};
use tempfile::TempDir;

use crate::gateway::Gateway;
use crate::harness::{BINARY, Step, annotations, errors};
use crate::hostile::environment::{FORGED, forge};

use release::{FILE, Mirror, Release, script};

/// The secrets in the addresses below. No log may contain them.
const SECRETS: [&str; 3] = ["alice", "hunter2", "sesame"];

const ECHO: &str = "echo \"ran: $*\"";

/// A job that uses the binary action of the release.
struct BinaryAction {
    binary: Vec<u8>,
    mirror: Mirror,
    job: Job,
    release: Release,
    temp: TempDir,
}

impl BinaryAction {
    fn new() -> Self {
        Self::with_script(ECHO)
    }

    /// With a shell script as the binary of the release.
    fn with_script(commands: &str) -> Self {
        Self::with_binary(&script(commands))
    }

    fn with_binary(binary: &[u8]) -> Self {
        let mirror = Mirror::start(binary.to_owned());
        let address = mirror.url("");
        Self {
            release: Release::of(binary),
            temp: TempDir::new().unwrap(),
            job: Job::new(),
            binary: binary.to_owned(),
            mirror,
        }
        .variable("RUNNER_OS", "Linux")
        .variable("RUNNER_ARCH", "X64")
        .with_mirror(&address)
        .with_empty_temp()
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.job.var(name, value);
        self
    }

    fn with_mirror(self, mirror: &str) -> Self {
        self.variable("PORT_MCP_BINARIES", mirror)
    }

    /// With an empty `RUNNER_TEMP`.
    fn with_empty_temp(mut self) -> Self {
        self.temp = TempDir::new().unwrap();
        let temp = self.temp.path().to_str().unwrap().to_owned();
        self.variable("RUNNER_TEMP", &temp)
    }

    fn spawn(&self) -> Running {
        self.job.spawn(&self.release.program(), Phase::Main, &[])
    }

    fn post(&self) -> Finished {
        self.job.step(&self.release.program(), Phase::Post, &[])
    }

    fn run(&self) -> Finished {
        self.spawn().wait()
    }

    /// Runs a step that must fail and print only one annotation. Returns its text.
    fn fail(&self) -> String {
        only_error(&self.run())
    }

    /// As [`BinaryAction::fail`], and checks that the text contains none of the secrets.
    fn fail_without_secrets(&self) -> String {
        let text = self.fail();
        for secret in SECRETS {
            assert!(!text.contains(secret), "{text}");
        }
        text
    }

    /// The path of the binary that the action keeps.
    fn kept(&self) -> PathBuf {
        self.temp
            .path()
            .join(format!("{}-{FILE}", &self.release.digest[..16]))
    }

    /// The path of its copy.
    fn spare(&self) -> PathBuf {
        let kept = self.kept();
        let name = kept.file_name().unwrap();
        self.release.directory.path().join(name)
    }

    /// Writes a file to this path, as an earlier step may have done.
    fn with_kept(self, contents: &[u8], mode: u32) -> Self {
        fs::write(self.kept(), contents).unwrap();
        fs::set_permissions(self.kept(), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn assert_replaced(&self) {
        assert_ran(&self.run());
        assert_eq!(self.mirror.downloads(), 1);
        self.assert_only_kept();
        assert_ran(&self.run());
        assert_eq!(self.mirror.downloads(), 0, "the new file is kept");
    }

    fn assert_only_kept(&self) {
        assert_eq!(names(self.temp.path()), [self.kept()]);
        let metadata = fs::symlink_metadata(self.kept()).unwrap();
        assert!(metadata.is_file());
        assert_eq!(fs::read(self.kept()).unwrap(), self.binary);
    }
}

fn names(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn assert_ran(finished: &Finished) {
    assert_printed(finished, "ran: connect\n");
}

fn assert_printed(finished: &Finished, text: &str) {
    assert_eq!(finished.exit, Some(0), "{}", finished.log());
    assert_eq!(finished.stdout, text);
    assert_eq!(finished.stderr, "");
}

/// The text of the only annotation of a step that must have failed and printed nothing else.
fn only_error(finished: &Finished) -> String {
    assert_eq!(finished.exit, Some(1), "{}", finished.log());
    assert_eq!(finished.commands.len(), 1, "{}", finished.log());
    assert_eq!(finished.stdout.lines().count(), 1, "{}", finished.log());
    assert_eq!(finished.stderr, "");
    let text = errors(finished);
    let (text_and_hint, link) = text.rsplit_once("\nsee: ").unwrap();
    let page = "docs/troubleshooting.md#binary-action";
    assert!(
        text_and_hint.contains("\nhint: ") && link.ends_with(page),
        "{text}"
    );
    text
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn four_jobs_that_share_a_directory_all_run() {
    let mut action = BinaryAction::new();
    for _ in 0..15 {
        action = action.with_empty_temp();
        let jobs: Vec<Running> = (0..4).map(|_| action.spawn()).collect();
        for job in jobs {
            assert_ran(&job.wait());
        }
        action.assert_only_kept();
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn an_unfinished_download_does_not_affect_other_jobs() {
    let action = BinaryAction::new();
    let [whole, held] = ["", "/held"].map(|path| action.mirror.url(path));
    let action = action.with_mirror(&held);
    let first = action.spawn();
    action.mirror.requests.recv().unwrap();
    let action = action.with_mirror(&whole);
    for _ in 0..3 {
        assert_ran(&action.run());
    }
    action.mirror.resume.send(()).unwrap();
    assert_ran(&first.wait());
    action.assert_only_kept();
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_valid_file_is_not_downloaded_again() {
    let action = BinaryAction::new();
    assert_ran(&action.run());
    assert_eq!(action.mirror.downloads(), 1);
    assert_ran(&action.run());
    assert_eq!(action.mirror.downloads(), 0);
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_partial_file_is_replaced() {
    BinaryAction::new()
        .with_kept(&script(ECHO)[..1000], 0o755)
        .assert_replaced();
    BinaryAction::new().with_kept(b"", 0o755).assert_replaced();
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_changed_file_is_not_run_but_replaced() {
    let changed = b"#!/bin/sh\necho changed\n";
    BinaryAction::new()
        .with_kept(changed, 0o755)
        .assert_replaced();
    let changed = [&script(ECHO)[..], b"\0"].concat();
    BinaryAction::new()
        .with_kept(&changed, 0o755)
        .assert_replaced();
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_file_without_its_execute_bit_is_replaced() {
    BinaryAction::new()
        .with_kept(&script(ECHO), 0o644)
        .assert_replaced();
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn directories_and_links_are_replaced_and_links_are_not_followed() {
    let action = BinaryAction::new();
    fs::create_dir_all(action.kept().join("a/b")).unwrap();
    action.assert_replaced();

    let elsewhere = TempDir::new().unwrap();
    let (file, none) = (elsewhere.path().join("file"), elsewhere.path().join("none"));
    fs::write(&file, script(ECHO)).unwrap();
    for target in [&file, &none, elsewhere.path()] {
        let action = BinaryAction::new();
        symlink(target, action.kept()).unwrap();
        action.assert_replaced();
        assert_eq!(names(elsewhere.path()), [file.as_path()]);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o111, 0);
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_download_with_the_wrong_digest_is_rejected() {
    for kind in ["/other", "/empty"] {
        for left in [None, Some(&b"left"[..])] {
            let mut action = BinaryAction::new();
            if let Some(contents) = left {
                action = action.with_kept(contents, 0o755);
            }
            let address = action.mirror.url(kind);
            let action = action.with_mirror(&address);
            let text = action.fail();
            assert!(
                text.contains(&format!("expected {}", action.release.digest)),
                "{text}"
            );
            assert!(text.contains("It was not run."), "{text}");
            assert_eq!(action.mirror.downloads(), 1, "a download is not repeated");
        }
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn failed_downloads_leave_no_files() {
    for kind in ["/missing", "/other", "/empty"] {
        let action = BinaryAction::new();
        let address = action.mirror.url(kind);
        let action = action.with_mirror(&address);
        action.fail();
        assert!(names(action.temp.path()).is_empty(), "{kind}");
    }

    let action = BinaryAction::new();
    let address = action.mirror.url("/held");
    let action = action.with_mirror(&address);
    for signal in [Running::interrupt, Running::terminate] {
        let running = action.spawn();
        action.mirror.requests.recv().unwrap();
        signal(&running);
        let finished = running.wait();
        assert_eq!(finished.exit, Some(130));
        assert_eq!(finished.log(), "");
        assert!(names(action.temp.path()).is_empty());
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn credentials_of_a_mirror_are_not_shown() {
    let action = BinaryAction::new();
    let host = action.mirror.address.to_string();
    let mut action = action;
    for (kind, reason) in [
        ("missing", "error: 404"),
        ("other", "It was not run."),
        ("empty", "It was not run."),
    ] {
        for address in [
            format!("http://alice:hunter2@{host}/{kind}"),
            format!("http://alice@{host}/{kind}/"),
            format!("http://{host}/{kind}/sesame"),
            format!("http://{host}/{kind}?sig=hunter2"),
            format!("http://alice:hunter2%20%0A@{host}/{kind}/sesame/?sv=1&sig=hunter2"),
            format!("http://alice:hunter2[a-b{{@{host}/{kind}"),
        ] {
            action = action.with_mirror(&address);
            let text = action.fail_without_secrets();
            assert!(text.contains(reason), "{address}: {text}");
            assert!(text.contains(&host), "{address}: {text}");
        }
    }
    for (address, reason) in [
        (format!("https://alice:hunter2@{host}"), "curl: (35) "),
        ("file:///alice/hunter2?sesame".to_owned(), "curl: (37) "),
        (
            format!("http://alice:hunter2@{host}/#sesame"),
            "contains a `#`",
        ),
        (
            format!("sesame://alice:hunter2@{host}"),
            "curl: (1) Protocol … not supported",
        ),
        (format!("http://alice:hunter2@{host}0"), "curl: (3) "),
        (
            format!("http://alice:hunter2\n::error::x@{host}"),
            "curl: (3) ",
        ),
        (
            format!("http://alice:hunter2/sesame@{host}"),
            "curl exited with status 3\n",
        ),
        (
            format!("http://alice:hunter2?sesame@{host}"),
            "curl exited with status 3\n",
        ),
        (
            format!("http://alice:hunter2#sesame@{host}"),
            "contains a `#`",
        ),
        (
            format!("alice:hunter2@{host}/missing"),
            "curl exited with status 22\n",
        ),
        (
            format!("http://{host}/missing?alice@sesame"),
            "curl exited with status 22\n",
        ),
    ] {
        action = action.with_mirror(&address);
        let text = action.fail_without_secrets();
        assert!(text.contains(reason), "{address}: {text}");
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn credentials_of_a_proxy_are_not_shown() {
    for proxy in [
        "sesame://alice:hunter2@127.0.0.1:1",
        "sesame://alice:it'shunter2@127.0.0.1:1",
        "sesame://alice:a hunter2\nb@127.0.0.1:1",
        "sesame://alice:a' hunter2' b@127.0.0.1:1",
    ] {
        let text = BinaryAction::new()
            .variable("http_proxy", proxy)
            .fail_without_secrets();
        assert!(text.contains(": curl: ("), "{proxy}: {text}");
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn an_annotation_contains_no_command() {
    let name = "50%0A\r\n::error::x\n##[add-mask]Linux";
    let text = BinaryAction::new().variable("RUNNER_OS", name).fail();
    assert!(text.contains(name), "{text:?}");
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn the_mirror_receives_the_credentials_and_the_query_of_its_address() {
    let action = BinaryAction::new();
    let address = format!(
        "http://alice:hunter2@{}/files/?sv=1&sig=a/b%2B",
        action.mirror.address
    );
    let action = action.with_mirror(&address);
    assert_ran(&action.run());
    let head = action.mirror.requests.recv().unwrap();
    let line = format!("GET /files/{FILE}?sv=1&sig=a/b%2B HTTP/1.1\r\n");
    assert!(head.starts_with(&line), "{head}");
    assert!(head.contains("Basic YWxpY2U6aHVudGVyMg=="), "{head}");
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn missing_variables_of_the_runner_are_named() {
    let all = ["RUNNER_OS", "RUNNER_ARCH", "RUNNER_TEMP"];
    for name in all {
        let empty = BinaryAction::new().variable(name, "").fail();
        let mut unset = BinaryAction::new();
        unset.job.without(name);
        assert_eq!(unset.fail(), empty);
        assert!(
            empty.starts_with(&format!("Not set: `{name}`\n")),
            "{empty}"
        );
    }
    let mut action = BinaryAction::new();
    for name in all {
        action.job.without(name);
    }
    let text = action.fail();
    assert!(
        text.starts_with("Not set: `RUNNER_OS`, `RUNNER_ARCH`, `RUNNER_TEMP`\n"),
        "{text}"
    );
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn the_post_phase_runs_the_kept_binary() {
    let action = BinaryAction::new();
    assert_ran(&action.run());
    assert_printed(&action.post(), "ran: cleanup\n");
    assert_eq!(action.mirror.downloads(), 1);
    action.assert_only_kept();
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn the_post_phase_replaces_a_binary_that_a_step_has_changed() {
    let elsewhere = TempDir::new().unwrap();
    let copy = elsewhere.path().join("copy");
    let changes: [&dyn Fn(&Path); 5] = [
        &|kept| fs::remove_file(kept).unwrap(),
        &|kept| fs::write(kept, "#!/bin/sh\necho changed\n").unwrap(),
        &|kept| fs::set_permissions(kept, fs::Permissions::from_mode(0o644)).unwrap(),
        &|kept| {
            fs::rename(kept, &copy).unwrap();
            symlink(&copy, kept).unwrap();
        },
        &|kept| {
            fs::remove_file(kept).unwrap();
            fs::create_dir_all(kept.join("a")).unwrap();
        },
    ];
    for change in changes {
        let action = BinaryAction::new();
        assert_ran(&action.run());
        change(&action.kept());
        fs::remove_file(action.spare()).unwrap();
        assert_printed(&action.post(), "ran: cleanup\n");
        assert_eq!(action.mirror.downloads(), 2);
        action.assert_only_kept();
    }

    let action = BinaryAction::new();
    assert_ran(&action.run());
    fs::remove_file(action.kept()).unwrap();
    fs::write(action.spare(), "#!/bin/sh\necho changed\n").unwrap();
    let address = action.mirror.url("/missing");
    let text = only_error(&action.with_mirror(&address).post());
    assert!(text.contains("could not be downloaded"), "{text}");
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn the_post_phase_needs_no_network() {
    for is_cached in [false, true] {
        let action = BinaryAction::new();
        assert_ran(&action.run());
        if is_cached {
            // Another call in the job.
            fs::remove_file(action.spare()).unwrap();
            assert_ran(&action.run());
        }
        let address = action.mirror.url("/missing");
        let action = action.with_empty_temp().with_mirror(&address);
        action.mirror.downloads();
        assert_printed(&action.post(), "ran: cleanup\n");
        assert_eq!(action.mirror.downloads(), 0);
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_broken_download_is_repeated() {
    for path in ["/silent", "/short"] {
        let action = BinaryAction::new();
        let address = action.mirror.url(path);
        let action = action.with_mirror(&address);
        assert_ran(&action.run());
        assert_eq!(action.mirror.downloads(), 3);
        action.assert_only_kept();
        let action = BinaryAction::new();
        let address = action.mirror.url(&format!("{path}/always"));
        let action = action.with_mirror(&address);
        let text = action.fail();
        assert!(text.contains("could not be downloaded"), "{text}");
        assert_eq!(action.mirror.downloads(), 3);
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn every_failure_is_an_annotation() {
    let action = BinaryAction::new();
    let bin = TempDir::new().unwrap();
    let curl = bin.path().join("curl");
    fs::write(&curl, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).unwrap();
    let search_path = std::env::var("PATH").unwrap();
    let search_path = format!("{}:{search_path}", bin.path().display());
    let text = action.variable("PATH", &search_path).fail();
    assert!(text.contains("curl wrote no file"), "{text}");

    let action = BinaryAction::new();
    let state = "const fs = require('fs'); const append = fs.appendFileSync; \
                 fs.appendFileSync = (file, ...rest) => { if (file === process.env.GITHUB_STATE) \
                 throw Object.assign(new Error('x'), { code: 'ENOSPC' }); return append(file, ...rest); };";
    let main = action.release.directory.path().join("main.js");
    let text = fs::read_to_string(&main).unwrap();
    fs::write(&main, format!("{state}\n{text}")).unwrap();
    let text = action.fail();
    assert!(
        text.starts_with("The state of the step could not be saved (ENOSPC)"),
        "{text}"
    );
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_mirror_with_spaces_around_it_counts_and_one_with_a_fragment_does_not() {
    let action = BinaryAction::new();
    let address = format!(" {}\n", action.mirror.url(""));
    assert_ran(&action.with_mirror(&address).run());
    let action = BinaryAction::new();
    let address = action.mirror.url("/#x");
    let text = action.with_mirror(&address).fail();
    assert!(
        text.contains("`PORT_MCP_BINARIES` contains a `#`"),
        "{text}"
    );
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn the_post_phase_does_not_repeat_an_error() {
    let [missing, other] = ["/missing", "/other"].map(|path| {
        let action = BinaryAction::new();
        let address = action.mirror.url(path);
        action.with_mirror(&address)
    });
    let platform = BinaryAction::new().variable("RUNNER_ARCH", "RISCV64");
    for action in [missing, other, platform] {
        action.fail();
        action.mirror.downloads();
        assert_printed(&action.post(), "");
        assert_eq!(action.mirror.downloads(), 0);
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn the_post_phase_cleans_up_after_a_failed_main_phase() {
    let action = BinaryAction::with_script("echo \"ran: $*\"; [ $1 = cleanup ] || exit 7");
    let main = action.run();
    assert_eq!((main.exit, main.log()), (Some(7), "ran: connect\n"));
    assert_printed(&action.post(), "ran: cleanup\n");
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn no_binary_for_the_commit_or_the_platform() {
    let action = BinaryAction::new().variable("RUNNER_ARCH", "RISCV64");
    let text = action.fail();
    let expected = "No binary for Linux on RISCV64 (available: linux-x64)\n";
    assert!(text.starts_with(expected), "{text}");
    fs::remove_file(action.release.directory.path().join("assets")).unwrap();
    let text = action.fail();
    assert!(text.starts_with("No binary for this commit\n"), "{text}");
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_missing_directory_is_an_error() {
    let mut action = BinaryAction::new();
    let missing = action.temp.path().join("missing");
    action = action.variable("RUNNER_TEMP", missing.to_str().unwrap());
    let text = action.fail();
    let expected = format!(
        "The directory in `RUNNER_TEMP` is not writable: {}\n",
        missing.display()
    );
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_binary_that_cannot_run_is_an_error() {
    let action = BinaryAction::with_script("kill -9 $$");
    let text = action.fail();
    assert!(
        text.starts_with("The binary was ended by SIGKILL\n"),
        "{text}"
    );

    let text = BinaryAction::with_binary(b"#!/no/such/shell\n").fail();
    assert!(
        text.starts_with("The binary could not be started: "),
        "{text}"
    );
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_missing_curl_is_an_error() {
    let search_path = std::env::var_os("PATH").unwrap();
    let node = std::env::split_paths(&search_path)
        .map(|directory| directory.join("node"))
        .find(|path| path.exists())
        .unwrap();
    let only_node = TempDir::new().unwrap();
    symlink(node, only_node.path().join("node")).unwrap();
    let action = BinaryAction::new().variable("PATH", only_node.path().to_str().unwrap());
    let text = action.fail();
    assert!(
        text.contains(": curl could not be started (ENOENT)\n"),
        "{text}"
    );
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn signals_reach_the_binary() {
    // A shell would run its traps only between commands.
    let action = BinaryAction::with_binary(
        b"#!/usr/bin/env node\n\
        const end = (text, status) => { console.log(text); process.exit(status); };\n\
        process.on('SIGINT', () => end('interrupted', 130));\n\
        process.on('SIGTERM', () => end('terminated', 7));\n\
        setInterval(() => {}, 1000);\n\
        console.log('ready: ' + process.argv[2]);\n",
    );
    for (signal, text, status) in [
        (Running::interrupt as fn(&Running), "interrupted", 130),
        (Running::terminate, "terminated", 7),
    ] {
        for phase in [Phase::Main, Phase::Post] {
            let running = action.job.spawn(&action.release.program(), phase, &[]);
            running.wait_for_line("ready: ");
            signal(&running);
            let finished = running.wait();
            assert_eq!(finished.exit, Some(status));
            assert!(finished.log().ends_with(&format!("\n{text}\n")));
        }
    }

    // A signal can also arrive before the binary has its own handlers.
    let action = BinaryAction::with_script("echo ready; exec sleep 600");
    for signal in [Running::interrupt, Running::terminate] {
        let running = action.spawn();
        running.wait_for_line("ready");
        signal(&running);
        let finished = running.wait();
        assert_eq!((finished.exit, finished.log()), (Some(130), "ready\n"));
    }
}

/// A step with the real binary, which the action takes from a file.
struct RealBinary {
    step: Step,
    _release: Release,
    temp: TempDir,
}

impl RealBinary {
    fn new() -> Self {
        let binary = BINARY;
        let release = Release::of(&fs::read(binary).unwrap());
        symlink(binary, release.directory.path().join(FILE)).unwrap();
        let mirror = format!("file://{}", release.directory.path().display());
        // Outside of the job, so that the search for secrets does not read the binary after each step.
        let temp = TempDir::new().unwrap();
        let step = Step::new()
            .program(release.program())
            .variable("RUNNER_TEMP", temp.path().to_str().unwrap())
            .variable("PORT_MCP_BINARIES", &mirror);
        Self {
            step,
            _release: release,
            temp,
        }
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn the_post_phase_removes_the_configuration_file() {
    let real = RealBinary::new();
    let step = real.step.input("config_file", "true");
    let run = step.succeed();
    let file = real.temp.path().join(&run.outputs["config_file"]);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        run.outputs["mcp_config"]
    );
    let post = step.clean_up();
    assert_eq!(
        (post.exit, post.log()),
        (Some(0), "Removed the MCP configuration file.\n")
    );
    assert!(!file.exists());
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn a_cancelled_job_leaves_no_file() {
    for signal in [Running::interrupt, Running::terminate] {
        let real = RealBinary::new();
        let step = real.step.input("config_file", "true");
        let step = step.variable("RUNNER_DEBUG", "1");
        step.port.fault(Endpoint::Rest, Fault::Hang);
        let running = step.spawn();
        running.wait_for_line("requesting a token");
        signal(&running);
        let finished = running.wait();
        assert_eq!(finished.exit, Some(130));
        assert!(finished.outputs.is_empty());
        assert_eq!(step.clean_up().exit, Some(0));
        assert_eq!(names(real.temp.path()).len(), 1, "only the binary is kept");
    }
}

#[tokio::test]
#[ignore = "requires Node.js 20 or later"]
async fn the_post_phase_stops_the_gateway_and_reports_the_calls() {
    let RealBinary {
        step,
        _release,
        temp: _temp,
    } = RealBinary::new();
    let gateway = Gateway::of(step);
    let session = gateway.open().await;
    gateway.call(&session, "list_blueprints").await;
    gateway.call(&session, "delete_entity").await;
    let post = gateway.step.clean_up();
    assert_eq!(post.exit, Some(0), "{}", post.log());
    assert_eq!(
        annotations(&post, "warning"),
        "The gateway rejected calls of tools that are not granted: `delete_entity` (1)."
    );
    for row in [
        "| `list_blueprints` | 1 | 0 | 0 |",
        "| `delete_entity` | 0 | 0 | 1 |",
    ] {
        assert!(post.summary.contains(row), "{}", post.summary);
    }
    let ping = gateway.http.get(gateway.url()).send().await;
    assert!(ping.is_err(), "it is gone");
}

/// As in the other forms (`hostile::environment`), all at once.
#[test]
#[ignore = "requires Node.js 20 or later"]
fn variables_of_an_earlier_step_change_nothing() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let address = trap.local_addr().unwrap().to_string();
    let forge_all = |step: &Step| {
        // The double finds Node.js and `curl` by it.
        for (name, value) in FORGED.iter().filter(|(name, _)| *name != "PATH") {
            forge(step, name, &value.replace("{trap}", &address));
        }
    };
    for is_before in [true, false] {
        let RealBinary {
            step,
            _release,
            temp: _temp,
        } = RealBinary::new();
        let step = step
            .input("connection", "gateway")
            .input("allowed_tools", "list_blueprints");
        if is_before {
            forge_all(&step);
        }
        let run = step.run();
        assert_eq!(run.exit, Some(0), "{}", run.log());
        if !is_before {
            forge_all(&step);
        }
        let post = step.clean_up();
        assert_eq!(post.exit, Some(0), "{}", post.log());
        assert!(
            post.log().contains("Stopped the gateway."),
            "{}",
            post.log()
        );
        assert!(trap.accept().is_err(), "a connection to another address");
    }
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn curl_reads_no_configuration_of_an_earlier_step() {
    let real = RealBinary::new();
    let home = TempDir::new().unwrap();
    let file = home.path().join("elsewhere");
    fs::write(
        home.path().join(".curlrc"),
        format!("output = {}\n", file.display()),
    )
    .unwrap();
    let step = real
        .step
        .variable("CURL_HOME", home.path().to_str().unwrap());
    step.succeed();
    assert!(!file.exists());
}

#[test]
#[ignore = "requires Node.js 20 or later"]
fn an_error_names_what_would_end_the_runner() {
    let mut action = BinaryAction::new();
    let missing = action.temp.path().join("missing-\u{1f600}");
    action = action.variable("RUNNER_TEMP", missing.to_str().unwrap());
    let text = action.fail();
    assert!(text.contains("missing-\u{2039}U+1F600\u{203a}\n"), "{text}");
}
