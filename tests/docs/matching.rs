//! Whether what was printed is what a page shows.
//!
//! `...` alone on a line stands for any lines, none included; `[..]` for anything within a line. Columns are as wide as
//! what stands in them, so runs of spaces count as one; what stands at the end of a line counts for nothing.

/// Whether `printed` is what `shown` says.
pub(crate) fn is_shown(shown: &str, printed: &str) -> bool {
    let shown: Vec<String> = shown.lines().map(single_spaced).collect();
    let printed: Vec<String> = printed.lines().map(single_spaced).collect();
    lines(&shown, &printed)
}

fn single_spaced(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.join(" ")
}

fn lines(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((any, rest)) if any == "..." => (0..=printed.len()).any(|from| lines(rest, &printed[from..])),
        Some((first, rest)) => {
            printed.split_first().is_some_and(|(line, after)| within(first, line) && lines(rest, after))
        }
    }
}

/// Each piece between two `[..]` must come, in order; the first at the beginning, the last at the end.
fn within(shown: &str, printed: &str) -> bool {
    let mut pieces = shown.split("[..]");
    let Some(mut rest) = printed.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_but_for_spaces_is_shown() {
        assert!(is_shown("NAME  STATE\nn1    up\n", "NAME STATE \nn1   up\n"));
        assert!(is_shown("", ""));
    }

    #[test]
    fn what_differs_is_not_shown() {
        for (shown, printed) in
            [("a\n", "b\n"), ("a\n", "a\nb\n"), ("a\nb\n", "a\n"), ("", "a\n"), ("a b\n", "ab\n")]
        {
            assert!(!is_shown(shown, printed), "{shown:?} {printed:?}");
        }
    }

    #[test]
    fn wildcards_stand_for_anything_in_their_place() {
        for (shown, printed) in [
            ("first at [..]\n", "first at 12:00\n"),
            ("[..] first [..]\n", "53 first one\n"),
            ("a\n...\nz\n", "a\nz\n"),
            ("a\n...\nz\n", "a\nb\nz\nz\n"),
            ("...\n", ""),
            ("a[..]b[..]a\n", "abba\n"),
        ] {
            assert!(is_shown(shown, printed), "{shown:?} {printed:?}");
        }
        for (shown, printed) in [
            ("first at [..]\n", "second at 12:00\n"),
            ("[..] up\n", "n1 down\n"),
            ("a\n...\nz\n", "a\nz\nb\n"),
            ("aba[..]a\n", "aba\n"),
        ] {
            assert!(!is_shown(shown, printed), "{shown:?} {printed:?}");
        }
    }
}
