//! Takes secrets out of a text: those that are known, and whatever looks like one.
//!
//! Too much is taken rather than too little: whoever helps can ask for more, and nobody can take back what was sent.

/// Hexadecimal digits in a row that may be a key or a token: those of ours have 64.
const HEX_MIN: usize = 32;

/// What stands in the place of what was taken.
const REDACTED: &str = "[redacted]";

/// How a join token begins.
const TOKEN: &str = "sinew1.";

/// Keys of configurations and logs whose values are nobody's business, as part of the key's name. `token_file` and
/// its like name a place, not a secret.
const SECRET_KEYS: [&str; 5] = ["password", "passwd", "secret", "private_key", "authorization"];

/// Takes secrets out of texts.
pub(super) struct Redactor {
    /// Secrets as they are, the longest first.
    known: Vec<String>,
}

impl Redactor {
    /// One that knows these secrets.
    pub(super) fn new(mut known: Vec<String>) -> Self {
        // Nothing shorter is a secret of ours, and would leave holes in every text.
        known.retain(|secret| secret.len() >= 16);
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { known }
    }

    /// The text without them.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.known {
            text = text.replace(secret.as_str(), REDACTED);
        }
        let text = without_keys(&text);
        let mut clean = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            clean.push_str(&without_hex(&without_values(&without_tokens(line))));
        }
        clean
    }
}

/// Without the private keys of PEM.
fn without_keys(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    let mut clean = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(at);
        clean.push_str(before);
        let label = block[BEGIN.len()..].split("-----").next().unwrap_or_default();
        let end = format!("-----END {label}-----");
        let length = block.find(&end).map_or(block.len(), |at| at + end.len());
        if label.contains("PRIVATE KEY") {
            clean.push_str(REDACTED);
        } else {
            clean.push_str(&block[..length]);
        }
        rest = &block[length..];
    }
    clean + rest
}

/// Without join tokens.
fn without_tokens(line: &str) -> String {
    let mut parts = line.split(TOKEN);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end =
            part.find(|c: char| !(c.is_ascii_alphanumeric() || "-_=".contains(c))).unwrap_or(part.len());
        clean.push_str(TOKEN);
        clean.push_str(REDACTED);
        clean.push_str(&part[end..]);
    }
    clean
}

/// Without the values of keys that say that they are secret: `key = "value"`, `"key":"value"`, `Key: value`.
fn without_values(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let found = SECRET_KEYS.iter().filter_map(|key| Some(lower.find(key)? + key.len())).min();
    let Some(after) = found else { return line.to_owned() };
    let Some(sign) = line[after..].find(['=', ':']).map(|at| after + at + 1) else { return line.to_owned() };
    let value = line[sign..].trim_start();
    let start = line.len() - value.len();
    let end = match value.strip_prefix(['"', '\'']) {
        Some(quoted) => quoted.find(['"', '\'']).map_or(line.trim_end().len(), |at| start + 1 + at + 1),
        None => line.trim_end().len(),
    };
    let tail = &line[end.max(start)..];
    format!("{}{REDACTED}{}", &line[..start], without_values(tail))
}

/// Without long runs of hexadecimal digits.
fn without_hex(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut run = String::new();
    for c in line.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_hexdigit() {
            run.push(c);
            continue;
        }
        // Numbers and names are not taken for keys: those have digits and letters.
        let mixed =
            run.contains(|c: char| c.is_ascii_digit()) && run.contains(|c: char| c.is_ascii_alphabetic());
        clean.push_str(if run.len() >= HEX_MIN && mixed { REDACTED } else { &run });
        run.clear();
        if c != '\0' {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str) -> String {
        Redactor::new(vec!["correct-horse-battery".into(), "short".into()]).clean(text)
    }

    #[test]
    fn known_secrets_are_taken_wherever_they_stand() {
        assert_eq!(clean("a correct-horse-battery, short"), "a [redacted], short");
    }

    #[test]
    fn tokens_are_taken_and_what_follows_them_is_not() {
        let text = "# token: sinew1.eyJ0cnVzdF9kb21haW4iOiJtIn0_-x\nstate = \"/s\"\n";

        assert_eq!(clean(text), "# token: sinew1.[redacted]\nstate = \"/s\"\n");
    }

    #[test]
    fn private_keys_are_taken_and_certificates_are_not() {
        let text = "a\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n\
                    -----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\nb\n-----BEGIN EC PRIVATE KEY-----\nMH";

        let clean = clean(text);

        assert!(clean.contains("MIIB") && clean.contains("\nb\n"), "{clean}");
        assert!(!clean.contains("MIGH") && !clean.contains("MH"), "also one that is cut: {clean}");
    }

    #[test]
    fn hexadecimal_keys_are_taken_and_numbers_and_words_are_not() {
        let key = "0123456789abcdef0123456789ABCDEF";

        assert_eq!(clean(&format!("key {key}.")), "key [redacted].");
        let fine = format!("at {} n1 revision {} deadbeef", "1".repeat(40), u64::MAX);
        assert_eq!(clean(&fine), fine);
    }

    #[test]
    fn values_of_keys_that_call_themselves_secret_are_taken() {
        for (text, expected) in [
            ("db_password = \"x y\" # mine\n", "db_password = [redacted] # mine\n"),
            ("{\"secret\":\"abc\",\"node\":\"n1\"}", "{\"secret\":[redacted],\"node\":\"n1\"}"),
            ("Authorization: Bearer abc\n", "Authorization: [redacted]\n"),
            ("a_secret='1', b_secret='2'", "a_secret=[redacted], b_secret=[redacted]"),
            ("token_file = \"/run/token\"\n", "token_file = \"/run/token\"\n"),
            ("the secret is safe", "the secret is safe"),
        ] {
            assert_eq!(clean(text), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_a_key_never_survives(before in ".{0,60}", after in ".{0,60}") {
            let key = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
            let clean = clean(&format!("{before}{key}{after}"));
            prop_assert!(!clean.contains(key));
        }
    }
}
