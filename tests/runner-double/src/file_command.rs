/// The names and values in the text of `GITHUB_OUTPUT`, `GITHUB_ENV`, or `GITHUB_STATE`.
///
/// The format is lines of `name=value`, or `name<<DELIMITER`, the lines of the value, and the
/// delimiter on a line of its own. In a line with both `=` and `<<`, the first one decides.
///
/// On Linux, a carriage return does not end a line: it is part of the value or the delimiter.
///
/// Source: `EnvFileKeyValuePairs` in `src/Runner.Worker/FileCommandManager.cs`.
///
/// # Errors
/// The runner's own message. The runner then fails the step, but keeps the pairs before it.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    read_pairs(text.strip_prefix('\u{feff}').unwrap_or(text)).collect()
}

/// The pairs up to the first malformed line.
pub(crate) fn read_pairs(text: &str) -> impl Iterator<Item = Result<(String, String), String>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let pair = loop {
            let (line, _) = next_line(&mut rest)?;
            if !line.is_empty() {
                break pair(line, &mut rest);
            }
        };
        if pair.is_err() {
            rest = "";
        }
        Some(pair)
    })
}

fn pair(line: &str, rest: &mut &str) -> Result<(String, String), String> {
    let (name, value) = match (line.split_once('='), line.split_once("<<")) {
        (Some((name, value)), heredoc)
            if heredoc.is_none_or(|(other, _)| name.len() < other.len()) =>
        {
            (name, value.to_owned())
        }
        (_, Some((name, delimiter))) if name.is_empty() || delimiter.is_empty() => {
            return Err(format!(
                "Invalid format '{line}'. Name must not be empty and delimiter must not be empty"
            ));
        }
        (_, Some((name, delimiter))) => (name, heredoc(rest, delimiter)?),
        _ => return Err(format!("Invalid format '{line}'")),
    };
    Ok((name.to_owned(), value))
}

fn heredoc(rest: &mut &str, delimiter: &str) -> Result<String, String> {
    let mut lines = Vec::new();
    loop {
        match next_line(rest) {
            None => {
                return Err(format!(
                    "Invalid value. Matching delimiter not found '{delimiter}'"
                ));
            }
            Some((line, _)) if line == delimiter => return Ok(lines.join("\n")),
            Some((_, false)) => return Err("Invalid value. EOF marker missing new line.".into()),
            Some((line, true)) => lines.push(line),
        }
    }
}

/// The next line, and whether it ends with a newline.
fn next_line<'a>(rest: &mut &'a str) -> Option<(&'a str, bool)> {
    if rest.is_empty() {
        return None;
    }
    let (line, tail, ended) = match rest.split_once('\n') {
        Some((line, tail)) => (line, tail, true),
        None => (*rest, "", false),
    };
    *rest = tail;
    Some((line, ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn one(text: &str) -> (String, String) {
        let pairs = pairs(text).expect(text);
        assert_eq!(pairs.len(), 1, "{text}");
        pairs.into_iter().next().expect("one pair")
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn the_first_of_equals_and_heredoc_decides() {
        assert_eq!(one("a=b<<c\n"), pair("a", "b<<c"));
        assert_eq!(one("a<<b=c\nvalue\nb=c\n"), pair("a", "value"));
        assert_eq!(one("a==b"), pair("a", "=b"));
        assert_eq!(one("a=<<b"), pair("a", "<<b"));
    }

    #[test]
    fn a_heredoc_keeps_inner_lines() {
        assert_eq!(
            one("a<<E\n\none\n E\nb=c\n\nE\n"),
            pair("a", "\none\n E\nb=c\n")
        );
        assert_eq!(one("a<<E\nE"), pair("a", ""));
        assert_eq!(one("a<<<E\nx\n<E\n"), pair("a", "x"));
    }

    #[test]
    fn empty_lines_and_a_byte_order_mark_are_skipped() {
        assert_eq!(
            pairs("\u{feff}\na=1\n\nb=\n").expect("pairs"),
            [pair("a", "1"), pair("b", "")]
        );
        assert_eq!(pairs("").expect("pairs"), []);
    }

    #[test]
    fn a_missing_delimiter_is_an_error() {
        assert_eq!(
            pairs("a<<E\nx\n").unwrap_err(),
            "Invalid value. Matching delimiter not found 'E'"
        );
        assert_eq!(
            pairs("a<<E").unwrap_err(),
            "Invalid value. Matching delimiter not found 'E'"
        );
        assert_eq!(
            pairs("a<<E\nx\nE ").unwrap_err(),
            "Invalid value. EOF marker missing new line."
        );
    }

    #[test]
    fn empty_names_and_delimiters_are_errors_only_in_a_heredoc() {
        let message = "Name must not be empty and delimiter must not be empty";
        assert!(pairs("<<E\nE\n").unwrap_err().ends_with(message));
        assert!(pairs("a<<\n\n").unwrap_err().ends_with(message));
        assert_eq!(one("=value"), pair("", "value"));
    }

    #[test]
    fn a_line_without_either_is_an_error() {
        assert_eq!(
            pairs("a=1\nnonsense\n").unwrap_err(),
            "Invalid format 'nonsense'"
        );
    }

    #[test]
    fn a_carriage_return_is_part_of_the_line() {
        assert_eq!(one("a=b\r\n"), pair("a", "b\r"));
        assert_eq!(one("a<<E\r\nx\r\nE\r\n"), pair("a", "x\r"));
        assert!(pairs("a<<E\nx\r\nE\r\n").is_err());
    }
}
