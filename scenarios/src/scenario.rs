//! A scenario: what runs where, who calls whom and how often, what goes wrong and when, and what must be
//! true of it all.
//!
//! Values of these types come from [`crate::file::parse`] and are right by construction: every name that
//! is referred to exists, events happen in order and make sense (nothing returns that was not killed),
//! every expectation has the event it speaks of and a window to be judged in. No other module checks any
//! of this again; a lookup that finds nothing is a mistake of ours.
//!
//! Times of events and loads count from the moment the load begins, when the mesh is up.

use std::fmt;
use std::time::Duration;

use sinew_transport_core::ids::{EndpointId, NodeName, ServiceName, Zone};

/// One rehearsal, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What reports call it.
    pub name: String,
    /// What everything random in the load begins with.
    pub seed: u64,
    /// What runs where.
    pub topology: Topology,
    /// Who calls whom and how often.
    pub loads: Vec<Load>,
    /// What happens, in order of time.
    pub events: Vec<Event>,
    /// What must be true.
    pub expectations: Vec<Expectation>,
}

/// What runs where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The agents.
    pub nodes: Vec<Node>,
    /// The services and their endpoints.
    pub services: Vec<Service>,
    /// Where applications enter the mesh.
    pub listeners: Vec<Listener>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Where it is.
    pub zone: Option<Zone>,
    /// Whether it runs from the beginning; otherwise a [`Action::Start`] starts it.
    pub started: bool,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// What its programs do.
    pub behaviour: Behaviour,
    /// Its endpoints, at most one on a node.
    pub endpoints: Vec<Endpoint>,
}

/// What a demo service does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers framed requests with their id, its own name and the payload: what the load speaks.
    EchoId,
    /// Answers HTTP/1.1 with its name and the time.
    Http,
    /// Speaks first, then answers each line.
    Line,
}

impl Behaviour {
    /// The word for it in files and on command lines.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::EchoId => "echo-id",
            Self::Http => "http",
            Self::Line => "line",
        }
    }

    /// All of them.
    pub const ALL: [Self; 3] = [Self::EchoId, Self::Http, Self::Line];
}

impl std::str::FromStr for Behaviour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|b| b.word() == text).ok_or_else(|| {
            let known = Self::ALL.map(|b| format!("`{}`", b.word())).join(", ");
            format!("`{text}` is not a behaviour; use one of {known}")
        })
    }
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The node, and the place on it.
    pub id: EndpointId,
    /// How long it takes before it answers.
    pub latency: Duration,
    /// Whether its node's own configuration has it; otherwise an [`Action::Apply`] declares it.
    pub configured: bool,
}

/// Where applications enter the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// How loads refer to it.
    pub name: String,
    /// The agent that listens.
    pub node: NodeName,
    /// The service that is called.
    pub service: ServiceName,
    /// The service for which the caller speaks: `as` in files.
    pub speaks_for: ServiceName,
}

/// A stream of requests at a fixed rate, whatever the answers do (open loop).
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Its name.
    pub name: String,
    /// The listener that it calls.
    pub listener: String,
    /// Requests a second.
    pub rate: f64,
    /// When it begins. Where it enters at a node that is started in an event, this counts from the moment that
    /// node is ready.
    pub start: Duration,
    /// For how long requests are due.
    pub duration: Duration,
    /// What it does about connections.
    pub connections: Connections,
    /// The least and the most bytes of a request's payload.
    pub payload: (usize, usize),
    /// How long a request may take before it counts as failed.
    pub timeout: Duration,
}

impl Load {
    /// How many requests it makes.
    #[must_use]
    pub fn requests(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the rate is positive and the product is limited where files are read"
        )]
        let requests = (self.rate * self.duration.as_secs_f64()).floor() as u64;
        requests
    }
}

/// What a load does about connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// A new TCP connection for each request.
    New,
    /// This many, kept, requests taking turns on them.
    Kept(u16),
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// How expectations and reports refer to it.
    pub name: String,
    /// When.
    pub at: Duration,
    /// What.
    pub action: Action,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// An endpoint takes this much longer than it is declared to.
    Slow {
        /// Which.
        endpoint: EndpointId,
        /// How much longer.
        by: Duration,
    },
    /// The agent gets SIGKILL.
    Kill {
        /// Whose.
        node: NodeName,
    },
    /// The killed agent is started again with its state directory and configuration.
    Return {
        /// Whose.
        node: NodeName,
    },
    /// An agent that has not run yet is started: it joins.
    Start {
        /// Whose.
        node: NodeName,
    },
    /// The controller gets SIGKILL.
    KillController,
    /// The killed controller is started again with its state directory and ports.
    ReturnController,
    /// An operator declares an endpoint that its node's configuration lacks: `sinew apply --wait`.
    Apply {
        /// Its service.
        service: ServiceName,
        /// Which.
        endpoint: EndpointId,
    },
    /// The agent gets SIGSTOP.
    Pause {
        /// Whose.
        node: NodeName,
    },
    /// The agent gets SIGCONT.
    Continue {
        /// Whose.
        node: NodeName,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow { endpoint, by } => {
                write!(f, "endpoint {endpoint} becomes {} slower", humantime::format_duration(*by))
            }
            Self::Kill { node } => write!(f, "node {node} is killed (SIGKILL)"),
            Self::Return { node } => write!(f, "node {node} is started again"),
            Self::Start { node } => write!(f, "node {node} is started for the first time"),
            Self::KillController => f.write_str("the controller is killed (SIGKILL)"),
            Self::ReturnController => f.write_str("the controller is started again"),
            Self::Apply { service, endpoint } => {
                write!(f, "endpoint {endpoint} of {service} is declared (sinew apply)")
            }
            Self::Pause { node } => write!(f, "node {node} is stopped (SIGSTOP)"),
            Self::Continue { node } => write!(f, "node {node} continues (SIGCONT)"),
        }
    }
}

/// Something that must be true.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// What reports and exit messages call it.
    pub name: String,
    /// What is checked.
    pub check: Check,
}

/// What is checked. Each is defined where it is judged: [`crate::judge`].
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// At most so many failed requests.
    Failed {
        /// The most.
        at_most: u64,
        /// Whether those in flight to a killed node when it died are left out.
        except_in_flight_to_killed: bool,
    },
    /// At most so many bytes that differ from what was sent.
    WrongBytes {
        /// The most.
        at_most: u64,
    },
    /// New connections leave an endpoint that became slow.
    SlowShare {
        /// The `slow` event.
        event: String,
        /// The least share of new connections that go elsewhere, 0 to 1.
        at_least: f64,
        /// From how long after the event on.
        within: Duration,
    },
    /// A killed node gets no more picks.
    DeadPicks {
        /// The `kill` event.
        event: String,
        /// The most.
        at_most: u64,
        /// From how long after the event on.
        within: Duration,
    },
    /// A node that returned gets its share again.
    ShareBack {
        /// The `return` event.
        event: String,
        /// The least part of the share that it had before it was killed, 0 to 1.
        at_least: f64,
        /// From how long after the event on.
        within: Duration,
    },
    /// An endpoint that was declared gets a share.
    ShareGained {
        /// The `apply` event.
        event: String,
        /// The least part of an even share, 0 to 1.
        at_least: f64,
        /// From how long after the event on.
        within: Duration,
    },
    /// A load that begins while an endpoint is slow avoids it from its first connection.
    FirstPicks {
        /// The `slow` event.
        event: String,
        /// The load's position.
        load: usize,
        /// How many of its first connections are counted.
        first: usize,
        /// The most of them that may go to the slow endpoint, as a share, 0 to 1.
        at_most: f64,
    },
    /// While the controller is away, nothing fails and nothing becomes slow.
    Undisturbed {
        /// The `kill` event.
        event: String,
        /// The most, as in [`Check::P99`].
        times_fastest: f64,
    },
    /// Latency away from events stays near that of the fastest endpoint.
    P99 {
        /// The most, as a multiple of the fastest endpoint's own p99: `times_fastest` in files.
        at_most: f64,
        /// How long after each event is left out.
        outside: Duration,
    },
}

impl Scenario {
    /// The event of that name.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<&Event> {
        self.events.iter().find(|e| e.name == name)
    }
}

impl Topology {
    /// The listener of that name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|l| l.name == name)
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == *name)
    }

    /// Whether the node of a load's listener runs from the beginning.
    #[must_use]
    pub fn enters_at_once(&self, load: &Load) -> bool {
        self.listener(&load.listener).and_then(|l| self.node(&l.node)).is_none_or(|n| n.started)
    }

    /// Every endpoint with its service, in the order of the file.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Service, &Endpoint)> {
        self.services.iter().flat_map(|s| s.endpoints.iter().map(move |e| (s, e)))
    }

    /// The endpoints on `node` with their services, in the order of their places.
    #[must_use]
    pub fn hosted(&self, node: &NodeName) -> Vec<(&Service, &Endpoint)> {
        let mut hosted: Vec<_> = self.endpoints().filter(|(_, e)| e.id.node == *node).collect();
        hosted.sort_by_key(|(_, e)| e.id.slot);
        hosted
    }

    /// The services that `node` must be granted: those it hosts and those it speaks for.
    #[must_use]
    pub fn grants(&self, node: &NodeName) -> Vec<ServiceName> {
        let hosted = self.hosted(node).into_iter().map(|(s, _)| s.name.clone());
        let speaks = self.listeners.iter().filter(|l| l.node == *node).map(|l| l.speaks_for.clone());
        let mut grants: Vec<_> = hosted.chain(speaks).collect();
        grants.sort();
        grants.dedup();
        grants
    }
}
