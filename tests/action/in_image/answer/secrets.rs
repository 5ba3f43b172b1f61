//! The search for secrets in an answer, and in the error of an agent.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::*;

/// Every secret of the job, in every common disguise.
#[test]
fn a_disguised_secret_is_not_passed_on() {
    let secrets = BTreeMap::from([
        ("token", TOKEN),
        (
            "client secret",
            r#"kJ8+vQ2/xT6&nB4=mR0%wL9"zC3-sF7_hD1~gY5.pA8"#,
        ),
        ("github.token", "ghs_c4Rw9ZqK2mXv7TbN0sYhF5uJgL8pDe3AoV1i"),
        ("POLICY_TOKEN", "github_pat_11ABCDEFG0hIjKlMnOpQrS_tUvWxYz"),
    ]);
    let all = secrets.values().copied().collect::<Vec<_>>().join("\n");
    let disguises: [fn(&str) -> String; 12] = [
        str::to_owned,
        |secret| BASE64_STANDARD.encode(secret),
        |secret| BASE64_STANDARD.encode(BASE64_STANDARD.encode(secret)),
        |secret| secret.bytes().map(|b| format!("{b:02x}")).collect(),
        |secret| secret.bytes().map(|b| format!("{b:02X}:")).collect(),
        |secret| secret.chars().rev().collect(),
        |secret| secret.chars().map(|c| format!("{c} ")).collect(),
        |secret| secret.chars().map(|c| format!("{c}\n")).collect(),
        |secret| secret.bytes().map(|b| format!("{b} ")).collect(),
        |secret| secret.bytes().map(|b| format!("%{b:02x}")).collect(),
        str::to_uppercase,
        |secret| {
            format!(
                "first {}, then {}",
                &secret[..secret.len() / 2],
                &secret[secret.len() / 2..]
            )
        },
    ];
    for (name, secret) in secrets {
        for (number, disguise) in disguises.iter().enumerate() {
            let answer = format!("Of course:\n\n{}\n", disguise(secret));
            let (_, run) = run_step("codex", answer.as_bytes(), &all);
            assert_eq!(run.exit, Some(1), "{name}, disguise {number}");
            assert!(errors(&run).starts_with("the agent's answer contains a secret of this job"));
            assert!(
                !run.stdout
                    .lines()
                    .any(|line| !line.starts_with("::add-mask::") && line.contains(secret))
            );
        }
    }
    assert_eq!(
        passed_on("codex", "An ordinary answer of 12 services, 0x2f and QUJD."),
        "An ordinary answer of 12 services, 0x2f and QUJD."
    );
}

/// docs/security.md states the lengths.
#[test]
fn a_secret_in_pieces_is_not_passed_on() {
    let secret = "ghs_c4Rw9ZqK2mXv7TbN0sYhF5uJgL8pDe3AoV1i";
    let separators: [fn(usize) -> String; 5] = [
        |number| format!("\n{number}. "),
        |number| format!(" |\n| {number} | row | "),
        |number| format!("\", \"key_{number}\": \""),
        |number| format!("\nPart {number}: "),
        |_| "\n".to_owned() + &"and then ".repeat(3),
    ];
    for length in 4..=12 {
        for (number, separator) in separators.iter().enumerate() {
            let pieces = secret.as_bytes().chunks(length).enumerate();
            let answer: String = pieces
                .map(|(number, piece)| separator(number + 1) + std::str::from_utf8(piece).unwrap())
                .collect();
            for answer in [answer.chars().rev().collect(), answer] {
                let (_, run) = run_step("codex", answer.as_bytes(), secret);
                assert_eq!(run.exit, Some(1), "{length}, {number}: {answer}");
            }
        }
    }
    // Pieces in another order, and the words of a secret in a sentence.
    let words = "blue-team-workflow";
    for answer in [
        "The tokens begin with ghs_, c4Rw and 9ZqK are no words, and 7TbN is one.",
        "The workflow of the team is blue. A blue service has a team.",
    ] {
        let (_, run) = run_step("codex", answer.as_bytes(), &format!("{secret}\n{words}"));
        assert_eq!(run.exit, Some(0), "{}", run.log());
    }
}

/// The header of a token is the same in the tokens of all jobs.
#[test]
fn the_header_of_a_token_is_no_secret() {
    let header = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9";
    let payload = "eyJpc3MiOiJnaXRodWIiLCJleHAiOjE3OTYwODMyMDB9";
    let signature = "Qm7xT2vK9pLwR4nZ8cYh-sJ1dFg5PaE3uBt6_iVo0XqMkNzHyW";
    let token = format!("ghs_1234567_{header}.{payload}.{signature}");
    let bearer = format!("Bearer {header}.{payload}.{signature}");
    for secret in [&token, &bearer] {
        let run = |answer: &str| run_step("codex", answer.as_bytes(), secret).1;
        for answer in [
            format!("A token begins with `{header}`."),
            format!("A token begins with `ghs_1234567_{header}.` and ends with a signature."),
            "eyJhbGciOiJIUzI1NiJ9 is another header.".to_owned(),
        ] {
            let run = run(&answer);
            assert_eq!(run.exit, Some(0), "{answer}: {}", run.log());
            assert_eq!(run.outputs["answer"], answer);
        }
        for part in [payload, signature, &payload[20..], &signature[..24]] {
            let reversed: String = part.chars().rev().collect();
            for answer in [part, &reversed, &part.to_uppercase()] {
                assert_eq!(run(answer).exit, Some(1), "{answer}");
            }
        }
        let failed = json!([{"type": "result", "is_error": true, "result": format!("invalid header {header}")}]);
        let (_, run) = run_step("claude-code", failed.to_string().as_bytes(), secret);
        let errors = errors(&run);
        assert!(
            errors.starts_with(&format!("the agent failed: invalid header {header}\n")),
            "{errors}"
        );
    }
}

/// The lines around a key are in every key, and brackets are in every text.
#[test]
fn the_public_lines_of_a_key_are_no_secrets() {
    let lines = [
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
        "MzEfYyjiWA4R4hA7TbN0sYhF5uJgL8pDe3AoV1ic4Rw9ZqK2mXv7Qm7xT2vK9pLw",
        "R4nZ8cYhsJ1dFg5PaE3uBt6iVo0XqMk=",
    ];
    let [begin, end] = ["BEGIN", "END"].map(|word| format!("-----{word} PRIVATE KEY-----"));
    let pem = format!("{begin}\n{}\n{end}", lines.join("\n"));
    let json = json!({"type": "service_account", "private_key": format!("{pem}\n")});
    let json = serde_json::to_string_pretty(&json).unwrap();
    let public = format!(
        "Write `{begin}`, then the key, and then `{end}`:\n{{\n  \"private_key\": \"{begin}\\n...\\n{end}\\n\"\n}}"
    );
    for secrets in [&pem, &json, &pem.replace('\n', "\r\n")] {
        let run = |answer: &str| run_step("codex", answer.as_bytes(), secrets).1;
        let passed = run(&public);
        assert_eq!(passed.exit, Some(0), "{}", passed.log());
        assert_eq!(passed.outputs["answer"], public);
        for line in ["{", "}", &begin, &end] {
            assert!(!passed.masks.iter().any(|mask| mask == line), "{line}");
        }
        for line in lines {
            let reversed: String = line.chars().rev().collect();
            for answer in [line, &reversed, &line[8..28]] {
                assert_eq!(
                    run(&format!("{public}\n{answer}")).exit,
                    Some(1),
                    "{answer}"
                );
            }
        }
    }
    // Of punctuation alone, a long secret is one.
    let (_, run) = run_step("codex", b"It is {[(<$%&?!>)]}.", "{[(<$%&?!>)]}");
    assert_eq!(run.exit, Some(1));
}

#[test]
fn an_error_is_searched_like_an_answer() {
    let error = |text: &str| {
        let result =
            json!({"type": "result", "subtype": "success", "is_error": true, "result": text});
        rejected("claude-code", json!([result]).to_string().as_bytes())
    };
    let reversed: String = TOKEN.chars().rev().collect();
    let errors = error(&reversed);
    assert!(
        errors.starts_with("the agent failed, and its error contains a secret of this job"),
        "{errors}"
    );
    assert!(error(TOKEN).starts_with("the agent failed: ***"));
    for text in ["\u{feff}", "\0", "\u{200b} \n"] {
        let errors = rejected("codex", text.as_bytes());
        assert!(errors.contains("the file is empty"), "{errors}");
    }
}

#[test]
fn a_notice_says_that_an_answer_was_not_searched() {
    let (_, run) = run_with("codex", b"Hello.", &[], &[]);
    assert_eq!(run.exit, Some(0));
    assert!(annotations(&run, "notice").contains("The answer was not searched for secrets"));
}
