//! What is checked, and what was found: stable ids for scripts, a sentence and a remedy for people.
//!
//! The id of a check is the heading of its section in `docs/reference/checks.md`; a test keeps both the same.

use serde::Serialize;

/// Where every check has its section.
const PAGE: &str = "docs/reference/checks.md";

/// How wide the ids are, for the column behind them.
const ID_WIDTH: usize = 20;

/// One thing that is looked at. The order is that of the report: what comes first explains what comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    ConfigNode,
    ConfigController,
    StateRights,
    CertificateDates,
    PortsFree,
    PortsPrivileged,
    UdpBuffers,
    FilesLimit,
    ClockSynchronised,
    ClockSkew,
    NodeRunning,
    ControllerReachable,
    VersionsAgree,
    PeersReachable,
}

impl Check {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 14] = [
        Self::ConfigNode,
        Self::ConfigController,
        Self::StateRights,
        Self::CertificateDates,
        Self::PortsFree,
        Self::PortsPrivileged,
        Self::UdpBuffers,
        Self::FilesLimit,
        Self::ClockSynchronised,
        Self::ClockSkew,
        Self::NodeRunning,
        Self::ControllerReachable,
        Self::VersionsAgree,
        Self::PeersReachable,
    ];

    /// Its id; never used again for anything else.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::ConfigNode => "config-node",
            Self::ConfigController => "config-controller",
            Self::StateRights => "state-rights",
            Self::CertificateDates => "certificate-dates",
            Self::PortsFree => "ports-free",
            Self::PortsPrivileged => "ports-privileged",
            Self::UdpBuffers => "udp-buffers",
            Self::FilesLimit => "files-limit",
            Self::ClockSynchronised => "clock-synchronised",
            Self::ClockSkew => "clock-skew",
            Self::NodeRunning => "node-running",
            Self::ControllerReachable => "controller-reachable",
            Self::VersionsAgree => "versions-agree",
            Self::PeersReachable => "peers-reachable",
        }
    }

    pub(crate) fn pass(self, what: impl Into<String>) -> Finding {
        self.finding(Outcome::Pass, what, "")
    }

    /// Not looked at: what says why, or what would be needed.
    pub(crate) fn skip(self, what: impl Into<String>) -> Finding {
        self.finding(Outcome::Skip, what, "")
    }

    pub(crate) fn warn(self, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        self.finding(Outcome::Warn, what, remedy)
    }

    pub(crate) fn fail(self, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        self.finding(Outcome::Fail, what, remedy)
    }

    fn finding(self, outcome: Outcome, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            check: self.id(),
            outcome,
            what: what.into(),
            remedy: remedy.into(),
            docs: format!("{PAGE}#{}", self.id()),
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it should be.
    Pass,
    /// It works, and somebody should look.
    Warn,
    /// It does not work, or will not.
    Fail,
    /// Could not be looked at, or does not apply.
    Skip,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }

    /// Its colour, as SGR.
    const fn paint(self) -> &'static str {
        match self {
            Self::Pass => "32",
            Self::Warn => "33",
            Self::Fail => "1;31",
            Self::Skip => "2",
        }
    }
}

/// What one check found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// The check's id.
    pub(crate) check: &'static str,
    pub(crate) outcome: Outcome,
    /// What is there.
    pub(crate) what: String,
    /// What to do about it; empty when there is nothing to do.
    pub(crate) remedy: String,
    /// Where more is said.
    pub(crate) docs: String,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) api_version: &'static str,
    /// Version of this program.
    pub(crate) version: &'static str,
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.findings.iter().filter(|finding| finding.outcome == outcome).count()
    }

    /// For a person: a line for each finding, and below what is not in order what to do. Lines are broken to fit
    /// `width`.
    pub(crate) fn text(&self, width: usize, colored: bool) -> String {
        let mut page = String::new();
        let room = width.saturating_sub(ID_WIDTH + 8).max(30);
        for finding in &self.findings {
            let (outcome, id) = (finding.outcome, finding.check);
            let word = if colored {
                format!("\x1b[{}m{}\x1b[0m", outcome.paint(), outcome.word())
            } else {
                outcome.word().to_owned()
            };
            let troubled = matches!(outcome, Outcome::Warn | Outcome::Fail);
            let more = [format!("→ {}", finding.remedy), format!("see {}", finding.docs)];
            let more = more.iter().filter(|_| troubled).flat_map(|text| wrap(text, room));
            let lines = wrap(&finding.what, room).into_iter().chain(more);
            for (index, line) in lines.enumerate() {
                let (word, id) = if index == 0 { (word.as_str(), id) } else { ("    ", "") };
                page.push_str(format!("{word}  {id:ID_WIDTH$}  {line}").trim_end());
                page.push('\n');
            }
        }
        let [pass, warn, fail, skip] =
            [Outcome::Pass, Outcome::Warn, Outcome::Fail, Outcome::Skip].map(|outcome| self.count(outcome));
        page.push_str(&format!("\n{pass} passed, {warn} to look at, {fail} failed, {skip} skipped\n"));
        page
    }
}

/// Breaks a text between words. Line breaks of its own stay.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for part in text.lines() {
        let mut line = String::new();
        for word in part.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_its_section_and_every_section_its_check() {
        let file = format!("{}/{PAGE}", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(&file).expect("the page is there");
        let sections = page.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'));
        let sections: BTreeSet<&str> = sections.collect();
        let checks: BTreeSet<&str> = Check::ALL.into_iter().map(Check::id).collect();

        assert_eq!(checks.len(), Check::ALL.len(), "two checks have one id");
        assert_eq!(sections, checks, "in {file}");
    }

    #[test]
    fn a_finding_that_wants_something_done_says_what_and_where_to_read_on() {
        let findings = vec![
            Check::ConfigNode.pass("it reads"),
            Check::PortsFree.fail("127.0.0.1:80 is taken by nginx (pid 7)", "stop it, or choose another"),
        ];
        let report = Report { api_version: "sinew/v1", version: "0.1.0", findings };

        let text = report.text(70, false);

        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "pass  config-node           it reads");
        assert_eq!(lines[1], "FAIL  ports-free            127.0.0.1:80 is taken by nginx (pid 7)");
        assert_eq!(lines[2].trim(), "→ stop it, or choose another");
        assert_eq!(lines[3].trim(), "see docs/reference/checks.md#ports-free");
        assert_eq!(*lines.last().expect("a last line"), "1 passed, 0 to look at, 1 failed, 0 skipped");
        assert!(report.text(70, true).contains("\x1b[1;31mFAIL\x1b[0m"));
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one\ntwo", 7), ["one", "two"]);
        assert_eq!(wrap("/a/very/long/path here", 7), ["/a/very/long/path", "here"]);
    }
}
