//! The ports and folders of pages, and those that stand in for them here.
//!
//! A reader has ports 7401 and 5001 and the folders of a machine to himself; tests share theirs. Every port behind an
//! address of this machine becomes another, at the same distance from its neighbours (a node's shards bind the ports
//! behind its first); `/etc/sinew` and `/var/lib/sinew` move into the page's own directory. What is printed is
//! translated back before it is compared.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

/// Where pages may have ports: the first of each hundred that they use.
const HUNDREDS: [u16; 3] = [5000, 7400, 8000];

/// The ports of one page: its hundreds, and one on which nothing but this page sits.
const SPAN: u16 = 301;

/// Below the ports that the kernel hands out by itself (32768 and up), above those of well-known programs.
const FIRST: u16 = 20_000;
const SPANS: u16 = 40;

/// How many ports behind a named one are taken, too: a node's shards, four by default at most.
const SHARDS: u16 = 4;

/// What stands before a port.
const BEFORE: [&str; 5] = ["127.0.0.1:", "0.0.0.0:", "localhost:", "[::1]:", "port = "];

/// The folders of packages.
const FOLDERS: [&str; 2] = ["/etc/sinew", "/var/lib/sinew"];

/// What stands in for what a page names.
#[derive(Debug)]
pub(crate) struct Places {
    first: u16,
    root: PathBuf,
    /// Keeps other pages, also in other test runs, off these ports.
    _mine: TcpListener,
}

impl Places {
    /// Finds free ports for those that `scripts` name, and puts folders below `root`.
    pub(crate) fn find(scripts: &str, root: &Path) -> Self {
        let named: BTreeSet<u16> = ports(scripts).map(|(_, _, port)| port).collect();
        let begin = (std::process::id() as u16).wrapping_mul(7) % SPANS;
        for turn in 0..SPANS {
            let first = FIRST + (begin + turn) % SPANS * SPAN;
            let Ok(mine) = TcpListener::bind(("127.0.0.1", first + SPAN - 1)) else { continue };
            let places = Self { first, root: root.to_owned(), _mine: mine };
            if named.iter().all(|port| is_free(places.stand_in(*port))) {
                return places;
            }
        }
        panic!("no free ports for {named:?} from {FIRST} on")
    }

    /// What is run in place of what a page says.
    pub(crate) fn translate(&self, script: &str) -> String {
        let mut text = String::new();
        let mut done = 0;
        for (begin, end, port) in ports(script) {
            text.push_str(&script[done..begin]);
            text.push_str(&self.stand_in(port).to_string());
            done = end;
        }
        text.push_str(&script[done..]);
        for folder in FOLDERS {
            text = text.replace(folder, &format!("{}{folder}", self.root.display()));
        }
        text
    }

    /// What a reader would see in place of what was printed here.
    pub(crate) fn translate_back(&self, printed: &str) -> String {
        let mut text = printed.replace(&self.root.display().to_string(), "");
        for (nth, hundred) in (0..).zip(HUNDREDS) {
            for port in 0..100 {
                let here = self.first + nth * 100 + port;
                text = text.replace(&here.to_string(), &(hundred + port).to_string());
            }
        }
        text
    }

    fn stand_in(&self, port: u16) -> u16 {
        let hundred = HUNDREDS.iter().position(|hundred| (*hundred..*hundred + 100).contains(&port));
        let Some(nth) = hundred else {
            panic!("port {port}: pages have ports within {HUNDREDS:?} and 99 more")
        };
        self.first + u16::try_from(nth).expect("there are three") * 100 + port % 100
    }
}

/// Begin, end and number of every port in a text.
fn ports(text: &str) -> impl Iterator<Item = (usize, usize, u16)> {
    let mut found: Vec<_> = BEFORE
        .iter()
        .flat_map(|before| text.match_indices(before).map(|(at, before)| at + before.len()))
        .filter_map(|begin| {
            let digits = text[begin..].bytes().take_while(u8::is_ascii_digit).count();
            let port = text[begin..begin + digits].parse().ok().filter(|port| *port != 0)?;
            Some((begin, begin + digits, port))
        })
        .collect();
    found.sort_unstable();
    found.into_iter()
}

fn is_free(port: u16) -> bool {
    (port..port + SHARDS).all(|port| {
        TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
    })
}

mod tests {
    use super::*;

    #[test]
    fn what_is_translated_there_and_back_is_the_same() {
        let script =
            "curl http://127.0.0.1:5001/ # \"127.0.0.1:7410\", port = 8080\ncat /etc/sinew/node.toml\n";
        let places = Places::find(script, Path::new("/somewhere/else"));

        let here = places.translate(script);

        assert!(!here.contains(":5001") && !here.contains(":7410") && !here.contains("8080"), "{here}");
        assert!(here.contains("cat /somewhere/else/etc/sinew/node.toml"), "{here}");
        assert_eq!(places.translate_back(&here), script);
    }

    #[test]
    fn neighbours_stay_neighbours_and_pages_have_ports_of_their_own() {
        let one = Places::find("127.0.0.1:7410 127.0.0.1:7420", Path::new("/a"));
        let other = Places::find("127.0.0.1:7410", Path::new("/b"));

        assert_eq!(one.stand_in(7410) + 10, one.stand_in(7420));
        assert!(one.stand_in(7410).abs_diff(other.stand_in(7410)) >= SPAN);
    }

    #[test]
    #[should_panic(expected = "port 9090")]
    fn a_port_that_could_be_anybodys_is_refused() {
        Places::find("127.0.0.1:9090", Path::new("/a"));
    }
}
