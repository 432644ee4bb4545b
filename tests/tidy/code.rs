//! What a source says, as far as the rules ask: the paths it names and the items it makes public.
//!
//! A real lexer reads it, so that text in strings and comments counts for nothing and the insides of
//! macros count like anything else. Types are not resolved: a path is what stands there, with `use` trees
//! spelled out. Two views come out of one reading: with tests, and without (`shipped`).

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What a source says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Every path, e.g. `std::fs::read`; a glob ends in `*`. A name alone is a path of one.
    pub(crate) paths: Vec<Named>,
    /// Every item with a visibility: `fn`, `struct`, `mod` and so on, and its name.
    pub(crate) public: Vec<Item>,
    /// Modules in files of their own that are declared under `#[cfg(test)]`.
    pub(crate) test_modules: Vec<String>,
    /// Why the source could not be lexed.
    pub(crate) error: Option<String>,
}

/// A path and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: String,
    pub(crate) line: usize,
}

/// A public item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) line: usize,
}

/// Reads a source: without its tests, and with them.
pub(crate) fn lex(text: &str) -> (Facts, Facts) {
    match text.parse::<TokenStream>() {
        Ok(stream) => {
            let view = |with_tests| {
                let mut reader = Reader { facts: Facts::default(), with_tests };
                reader.read(stream.clone());
                reader.facts
            };
            (view(false), view(true))
        }
        Err(error) => {
            let facts = Facts { error: Some(error.to_string()), ..Facts::default() };
            (facts.clone(), facts)
        }
    }
}

struct Reader {
    facts: Facts,
    with_tests: bool,
}

impl Reader {
    fn read(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += match token {
                TokenTree::Punct(p) if p.as_char() == '#' => self.attribute(&tokens[at..]),
                TokenTree::Ident(ident) if *ident == "pub" => self.visible(&tokens[at..]),
                TokenTree::Ident(_) => self.path("", &tokens[at..]),
                TokenTree::Group(group) => {
                    self.read(group.stream());
                    1
                }
                _ => 1,
            };
        }
    }

    /// Reads an attribute and, when it is `#[cfg(test)]`, the item behind it. Tells how many tokens that was.
    fn attribute(&mut self, tokens: &[TokenTree]) -> usize {
        let inner = usize::from(is_punct(tokens.get(1), '!'));
        let Some(group) = group(tokens.get(1 + inner), Delimiter::Bracket) else { return 1 };
        if !is_cfg_test(group.stream()) {
            self.read(group.stream());
            return 2 + inner;
        }
        // `#![cfg(test)]` makes everything that follows it a test.
        let len = if inner == 1 { tokens.len() - 3 } else { item_len(&tokens[2..]) };
        let item = &tokens[2 + inner..2 + inner + len];
        if let Some(name) = file_module(item) {
            self.facts.test_modules.push(name);
        }
        if self.with_tests {
            self.read(item.iter().cloned().collect());
        }
        2 + inner + len
    }

    /// Notes the item behind a visibility; its tokens are read as any others.
    fn visible(&mut self, tokens: &[TokenTree]) -> usize {
        let mut rest = tokens[1..].iter();
        let mut kind = None;
        for token in &mut rest {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis && kind.is_none() => {}
                TokenTree::Ident(ident) => {
                    let word = ident.to_string();
                    match word.as_str() {
                        "struct" | "enum" | "trait" | "type" | "union" | "fn" | "mod" | "static"
                        | "const" => {
                            kind = Some(word);
                        }
                        "async" | "unsafe" | "extern" | "mut" => {}
                        _ => {
                            if let Some(kind) = kind {
                                let line = ident.span().start().line;
                                self.facts.public.push(Item { kind, name: word, line });
                            }
                            break;
                        }
                    }
                }
                TokenTree::Literal(_) => {}
                _ => break,
            }
        }
        1
    }

    /// Reads a path, and the tree of a `use` behind it. Tells how many tokens that was.
    fn path(&mut self, prefix: &str, tokens: &[TokenTree]) -> usize {
        let line = tokens[0].span().start().line;
        let mut path = prefix.to_owned();
        let mut at = 0;
        while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
            let ident = ident.to_string();
            if ident != "self" || path.is_empty() {
                path = if path.is_empty() { ident } else { format!("{path}::{ident}") };
            }
            at += 1;
            if !(is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')) {
                break;
            }
            at += 2;
            if let Some(tree) = group(tokens.get(at), Delimiter::Brace) {
                self.use_tree(&path, tree);
                return at + 1;
            }
            if is_punct(tokens.get(at), '*') {
                path.push_str("::*");
                at += 1;
                break;
            }
        }
        self.facts.paths.push(Named { path, line });
        at
    }

    fn use_tree(&mut self, prefix: &str, tree: &Group) {
        let tokens: Vec<TokenTree> = tree.stream().into_iter().collect();
        for branch in tokens.split(|token| is_punct(Some(token), ',')) {
            match branch.first() {
                Some(TokenTree::Ident(_)) => {
                    self.path(prefix, branch);
                }
                Some(TokenTree::Punct(p)) if p.as_char() == '*' => {
                    let line = p.span().start().line;
                    self.facts.paths.push(Named { path: format!("{prefix}::*"), line });
                }
                _ => {}
            }
        }
    }
}

fn is_punct(token: Option<&TokenTree>, expected: char) -> bool {
    matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == expected)
}

fn group(token: Option<&TokenTree>, delimiter: Delimiter) -> Option<&Group> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group),
        _ => None,
    }
}

/// Whether an attribute is `cfg` with `test` in it, other than inside a `not`.
fn is_cfg_test(attribute: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = attribute.into_iter().collect();
    let [TokenTree::Ident(name), TokenTree::Group(condition)] = tokens.as_slice() else { return false };
    *name == "cfg" && asks_for_test(condition)
}

fn asks_for_test(condition: &Group) -> bool {
    let tokens: Vec<TokenTree> = condition.stream().into_iter().collect();
    tokens.iter().enumerate().any(|(i, token)| match token {
        TokenTree::Ident(ident) => *ident == "test",
        TokenTree::Group(inner) => {
            let named = i.checked_sub(1).and_then(|before| tokens.get(before));
            matches!(named, Some(TokenTree::Ident(name)) if *name == "all") && asks_for_test(inner)
        }
        _ => false,
    })
}

/// How many tokens an item, field or arm takes: up to its body, its semicolon or its comma.
fn item_len(tokens: &[TokenTree]) -> usize {
    let mut ends_at_semicolon = false;
    let mut ends_at_comma = true;
    for (i, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) => {
                let word = word.to_string();
                ends_at_semicolon |= word == "use" || word == "let";
                ends_at_comma &= !["fn", "struct", "enum", "impl", "trait", "type"].contains(&word.as_str());
            }
            TokenTree::Punct(p) if p.as_char() == ';' => return i + 1,
            TokenTree::Punct(p) if p.as_char() == ',' && ends_at_comma => return i + 1,
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace && !ends_at_semicolon => {
                return i + 1;
            }
            _ => {}
        }
    }
    tokens.len()
}

/// The name, when an item is `mod name;`.
fn file_module(item: &[TokenTree]) -> Option<String> {
    match item {
        [.., TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Punct(end)]
            if *word == "mod" && end.as_char() == ';' =>
        {
            Some(name.to_string())
        }
        _ => None,
    }
}

mod tests {
    use super::*;

    fn paths(facts: &Facts) -> Vec<&str> {
        facts.paths.iter().map(|named| named.path.as_str()).filter(|path| path.contains("::")).collect()
    }

    #[test]
    fn a_use_tree_is_spelled_out() {
        let (facts, _) = lex("use std::{fs::{self, File}, net::*, env as e};\nuse a::b;");

        assert_eq!(paths(&facts), ["std::fs", "std::fs::File", "std::net::*", "std::env", "a::b"]);
        assert_eq!(facts.paths.last().map(|named| named.line), Some(2));
    }

    #[test]
    fn macros_count_and_strings_and_comments_do_not() {
        let (facts, _) = lex("// std::env::var\nfn f() { select! { _ = a::b() => \"std::fs::read\" } }");

        assert_eq!(paths(&facts), ["a::b"]);
    }

    #[test]
    fn tests_do_not_ship() {
        let (shipped, all) = lex("
            use a::kept;
            #[cfg(test)] use b::{c, d};
            #[cfg(test)] #[allow(x::y)] mod tests { fn f<A, B>() { e::f(); } }
            #[cfg(all(test, unix))] fn g<A, B>() -> [u8; 3] { h::i() }
            struct S { #[cfg(test)] j: k::l, m: n::kept }
            #[cfg(test)] mod files;
            #[cfg(not(test))] fn o() { p::kept() }
        ");

        assert_eq!(paths(&shipped), ["a::kept", "n::kept", "p::kept"]);
        assert_eq!(paths(&all).len(), 9);
        assert_eq!(all.test_modules, ["files"]);
    }

    #[test]
    fn a_whole_file_of_tests_does_not_ship() {
        let (shipped, all) = lex("//! Lab.\n#![cfg(test)]\nuse std::fs;");

        assert_eq!((paths(&shipped).len(), paths(&all).len()), (0, 1));
    }

    #[test]
    fn public_items_are_named_with_their_kind() {
        let (facts, _) = lex("
            pub struct A(pub u8); pub(crate) const fn b() {} pub const C: u8 = 1; fn private() {}
            pub async fn d() {} pub use e::F; pub struct G { pub h: u8 } pub unsafe extern \"C\" fn i() {}
        ");

        let items: Vec<_> = facts.public.iter().map(|i| format!("{} {}", i.kind, i.name)).collect();
        assert_eq!(items, ["struct A", "fn b", "const C", "fn d", "struct G", "fn i"]);
    }

    #[test]
    fn a_source_that_cannot_be_lexed_says_so() {
        assert!(lex("fn f( {").1.error.is_some());
    }
}
