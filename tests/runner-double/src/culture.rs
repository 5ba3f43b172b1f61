//! How .NET compares text with the data of ICU, in the culture of a runner (C.UTF-8).

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::{CodePointMapData, props::GraphemeClusterBreak};

/// The place of the first occurrence of a pattern of ASCII characters, as `string.IndexOf` finds it.
///
/// Characters without a weight in the collation can be inside an occurrence. An occurrence begins and
/// ends at the boundary of a user-perceived character: a combining mark after the last character of the
/// pattern belongs to that character, which is then another one.
pub(crate) fn find(text: &str, pattern: &str) -> Option<usize> {
    places(text, pattern).find(|at| is_at(text, *at, pattern))
}

/// The last occurrence, as `string.LastIndexOf` finds it.
pub(crate) fn rfind(text: &str, pattern: &str) -> Option<usize> {
    places(text, pattern)
        .filter(|at| is_at(text, *at, pattern))
        .last()
}

/// Whether a text that begins with the pattern also does so as `string.StartsWith` compares it.
pub(crate) fn begins_with(text: &str, pattern: &str) -> bool {
    text.starts_with(pattern) && is_at(text, 0, pattern)
}

/// Whether two texts are equal, as `string.Equals` compares them in a culture.
pub(crate) fn equal(left: &str, right: &str) -> bool {
    left == right || key(left) == key(right)
}

/// Whether two names are equal without regard to case, as `StringComparer.OrdinalIgnoreCase` compares
/// them.
pub(crate) fn same_name(left: &str, right: &str) -> bool {
    left.chars().map(upper).eq(right.chars().map(upper))
}

/// The upper case of a character. No character beyond ASCII has one in ASCII.
fn upper(character: char) -> char {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) if character.is_ascii() || !upper.is_ascii() => upper,
        _ => character,
    }
}

fn key(text: &str) -> String {
    let weighty: String = text.chars().filter(|c| !is_ignorable(*c)).collect();
    DecomposingNormalizerBorrowed::new_nfd()
        .normalize(&weighty)
        .into_owned()
}

fn places(text: &str, pattern: &str) -> impl Iterator<Item = usize> {
    let first = pattern.chars().next().expect("a pattern");
    text.match_indices(first).map(|(at, _)| at)
}

fn is_at(text: &str, at: usize, pattern: &str) -> bool {
    let (before, from) = text.split_at(at);
    let mut rest = from.chars();
    let all_match = pattern
        .chars()
        .all(|wanted| rest.find(|c| !is_ignorable(*c)) == Some(wanted));
    let is_prefixed = before
        .chars()
        .next_back()
        .is_some_and(|c| cluster(c) == GraphemeClusterBreak::Prepend);
    all_match && !is_prefixed && !is_extended(rest.as_str())
}

/// Whether the character before `rest` continues in it.
fn is_extended(rest: &str) -> bool {
    rest.chars()
        .take_while(|c| extends(*c))
        .any(|c| !is_ignorable(c))
}

fn extends(character: char) -> bool {
    let kinds = [
        GraphemeClusterBreak::Extend,
        GraphemeClusterBreak::SpacingMark,
        GraphemeClusterBreak::ZWJ,
    ];
    !character.is_ascii() && kinds.contains(&cluster(character))
}

fn cluster(character: char) -> GraphemeClusterBreak {
    CodePointMapData::<GraphemeClusterBreak>::new().get(character)
}

fn is_ignorable(character: char) -> bool {
    let after = IGNORABLE.partition_point(|(first, _)| *first <= character);
    after > 0 && character <= IGNORABLE[after - 1].1
}

/// The characters without a weight: the first and the last of each range.
///
/// Source: a sweep over all characters with ICU 72.
const IGNORABLE: [(char, char); 86] = [
    ('\u{0}', '\u{8}'),
    ('\u{e}', '\u{1f}'),
    ('\u{7f}', '\u{84}'),
    ('\u{86}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{488}', '\u{489}'),
    ('\u{591}', '\u{5af}'),
    ('\u{5bd}', '\u{5bd}'),
    ('\u{5c4}', '\u{5c5}'),
    ('\u{600}', '\u{605}'),
    ('\u{610}', '\u{61a}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{640}', '\u{640}'),
    ('\u{6d6}', '\u{6dd}'),
    ('\u{6df}', '\u{6e4}'),
    ('\u{6e7}', '\u{6e8}'),
    ('\u{6ea}', '\u{6ed}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{740}', '\u{740}'),
    ('\u{743}', '\u{744}'),
    ('\u{747}', '\u{74a}'),
    ('\u{7fa}', '\u{7fa}'),
    ('\u{890}', '\u{891}'),
    ('\u{898}', '\u{89d}'),
    ('\u{8ca}', '\u{8e2}'),
    ('\u{8ea}', '\u{8ef}'),
    ('\u{8f3}', '\u{8f3}'),
    ('\u{951}', '\u{952}'),
    ('\u{f18}', '\u{f19}'),
    ('\u{f35}', '\u{f35}'),
    ('\u{f37}', '\u{f37}'),
    ('\u{f3e}', '\u{f3f}'),
    ('\u{f86}', '\u{f87}'),
    ('\u{fc6}', '\u{fc6}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{17d3}', '\u{17d3}'),
    ('\u{180a}', '\u{180f}'),
    ('\u{1a7f}', '\u{1a7f}'),
    ('\u{1b6b}', '\u{1b73}'),
    ('\u{1cd0}', '\u{1ce8}'),
    ('\u{1cf4}', '\u{1cf4}'),
    ('\u{1cf7}', '\u{1cf9}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{2d7f}', '\u{2d7f}'),
    ('\u{a670}', '\u{a672}'),
    ('\u{a8e0}', '\u{a8f1}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{fe21}', '\u{fe21}'),
    ('\u{fe23}', '\u{fe26}'),
    ('\u{fe28}', '\u{fe28}'),
    ('\u{fe2a}', '\u{fe2d}'),
    ('\u{fe2f}', '\u{fe2f}'),
    ('\u{fe73}', '\u{fe73}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{102e0}', '\u{102e0}'),
    ('\u{10efd}', '\u{10eff}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{11366}', '\u{1136c}'),
    ('\u{11370}', '\u{11374}'),
    ('\u{13430}', '\u{13440}'),
    ('\u{13447}', '\u{13455}'),
    ('\u{16fe4}', '\u{16fe4}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1cf00}', '\u{1cf2d}'),
    ('\u{1cf30}', '\u{1cf46}'),
    ('\u{1d165}', '\u{1d169}'),
    ('\u{1d16d}', '\u{1d182}'),
    ('\u{1d185}', '\u{1d18b}'),
    ('\u{1d1aa}', '\u{1d1ad}'),
    ('\u{1d242}', '\u{1d244}'),
    ('\u{1da00}', '\u{1da36}'),
    ('\u{1da3b}', '\u{1da6c}'),
    ('\u{1da75}', '\u{1da75}'),
    ('\u{1da84}', '\u{1da84}'),
    ('\u{1da9b}', '\u{1da9f}'),
    ('\u{1daa1}', '\u{1daaf}'),
    ('\u{1e8d0}', '\u{1e8d6}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
    ('\u{e0100}', '\u{e01ef}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_without_a_weight_can_be_inside() {
        assert_eq!(find("warning:\u{ad}:d", "::"), Some(7));
        assert_eq!(find("warning:\0:d", "::"), Some(7));
        assert_eq!(find("x\u{200d}##[a]", "##["), Some(4));
        assert_eq!(find("warning:\u{301}:d", "::"), None);
    }

    #[test]
    fn a_mark_after_the_last_character_belongs_to_it() {
        for mark in [
            '\u{301}',
            '\u{1f3fb}',
            '\u{e33}',
            '\u{ff9e}',
            '\u{93f}',
            '\u{16fe4}',
        ] {
            let ignorable = mark == '\u{16fe4}';
            assert_eq!(find(&format!("::{mark}x"), "::").is_some(), ignorable);
        }
        assert_eq!(find("::\u{fe0f}x", "::"), Some(0));
        assert_eq!(find("::\u{fe0f}\u{301}x", "::"), None);
        assert_eq!(find("::\u{ad}\u{301}x", "::"), Some(0));
        assert_eq!(find("::\u{301}::", "::"), Some(4));
    }

    #[test]
    fn a_sign_that_belongs_to_the_next_character_hides_it() {
        assert_eq!(find("\u{600}::", "::"), None);
    }

    #[test]
    fn the_last_occurrence_is_found() {
        assert_eq!(rfind("a&b&c", "&"), Some(3));
        assert_eq!(rfind("a&b&\u{301}c", "&"), Some(1));
    }

    #[test]
    fn equal_texts_can_differ_in_composition_and_in_ignorable_characters() {
        assert!(equal("é", "e\u{301}"));
        assert!(equal("a\u{ad}b", "ab"));
        assert!(!equal("a", "A"));
    }

    #[test]
    fn names_are_equal_in_any_case_but_not_across_ascii() {
        assert!(same_name("Äb-c", "äB-C"));
        for (left, right) in [("k", "\u{212a}"), ("s", "ſ"), ("i", "ı"), ("I", "İ")] {
            assert!(!same_name(left, right), "{left} {right}");
        }
    }
}
