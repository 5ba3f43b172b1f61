//! The words of the command line in messages that are written for a step.

/// The inputs that the command line has, and their names there.
const NAMES: &[(&str, &str)] = &[
    ("client_id", "PORT_CLIENT_ID"),
    ("client_secret", "PORT_CLIENT_SECRET"),
    ("github_token", "GITHUB_TOKEN"),
    ("region", "--region"),
    ("api_url", "--api-url"),
    ("mcp_url", "--mcp-url"),
    ("auth_method", "--auth-method"),
    ("ca_certificate", "--ca-certificate"),
    ("timeout", "--timeout"),
    ("allowed_tools", "--allowed-tools"),
    ("read_only", "--read-only"),
    ("allowed_actions", "--allowed-actions"),
    ("policy", "--policy"),
    ("environment", "--environment"),
];

/// Inputs whose names are words of their own: only with a value do they mean the input.
const WORDS: &[(&str, &str)] = &[("agent", "--agent"), ("connection", "--connection")];

/// Other words for a step, and what they are in a terminal.
const PHRASES: &[(&str, &str)] = &[
    ("input `", "`"),
    (" (does `actions/checkout` run before this step?)", ""),
    ("the path of a file in the workspace", "the path of a file"),
    ("run the job again", "try again"),
    (
        "use an expression, such as `${{ secrets.NAME }}` or `${{ env.NAME }}`",
        "set the variable to the value itself",
    ),
    (
        "write the expression in the workflow, and store only the value as the secret",
        "set the variable to the value itself",
    ),
    (
        "store each credential as a secret of its own",
        "set each of the two variables to one value",
    ),
    ("another error of this step", "another error"),
];

/// What precedes a name in backticks that is not an input, although it can look like one.
const FOREIGN: &[&str] = &[
    "tool ",
    "pattern ",
    "rule ",
    "action ",
    "condition ",
    "key ",
    "(",
];

/// What precedes a list of such names, up to the end of the line.
const LISTS: &[&str] = &[
    "which allows ",
    "available tools: ",
    "also use: ",
    "cannot distinguish these tools from others",
    "never granted: ",
];

/// A message in the words of the command line: names of inputs become options and variables.
pub(super) fn words(text: &str) -> String {
    let with_options = |line: &str| {
        let starts = LISTS.iter().filter_map(|list| line.find(list));
        let (own, list) = line.split_at(starts.min().unwrap_or(line.len()));
        format!("{}{list}", options_in(own))
    };
    PHRASES
        .iter()
        .fold(text.to_owned(), |text, (of_step, of_terminal)| {
            text.replace(of_step, of_terminal)
        })
        .split('\n')
        .map(with_options)
        .collect::<Vec<String>>()
        .join("\n")
}

/// Text in which options replace the inputs in backticks.
fn options_in(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (number, part) in text.split('`').enumerate() {
        let is_quoted = number % 2 == 1;
        let is_foreign = FOREIGN.iter().any(|before| shown.ends_with(before));
        if number > 0 {
            shown.push('`');
        }
        match option(part).filter(|_| is_quoted && !is_foreign) {
            Some(option) => shown.push_str(&option),
            None => shown.push_str(part),
        }
    }
    shown
}

/// The option that `quoted` means: an input, or an input with its value.
fn option(quoted: &str) -> Option<String> {
    let (name, value) = match quoted.split_once(": ") {
        Some((name, value)) => (name, Some(value)),
        None => (quoted, None),
    };
    let words = WORDS.iter().filter(|_| value.is_some());
    let (_, option) = NAMES
        .iter()
        .chain(words)
        .find(|(input, _)| *input == name)?;
    Some(match value {
        None => (*option).to_owned(),
        Some(value) => format!("{option} {value}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_become_options() {
        for (of_step, of_terminal) in [
            (
                "input `region` is `x`\nhint: use `eu`",
                "`--region` is `x`\nhint: use `eu`",
            ),
            ("set `read_only: false`", "set `--read-only false`"),
            (
                "check `client_secret`, `api_url`",
                "check `PORT_CLIENT_SECRET`, `--api-url`",
            ),
            (
                "tool `timeout` is not available",
                "tool `timeout` is not available",
            ),
            ("set `connection: gateway`", "set `--connection gateway`"),
            ("condition `environment`", "condition `environment`"),
            ("a `b", "a `b"),
            (
                "`read_only: false` is not allowed by rule 1 (`policy`), which allows `region` and `x`\nhint: set `region: eu`",
                "`--read-only false` is not allowed by rule 1 (`policy`), which allows `region` and `x`\nhint: set `--region eu`",
            ),
        ] {
            assert_eq!(words(of_step), of_terminal);
        }
    }
}
