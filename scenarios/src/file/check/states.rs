//! Whether events fit each other: who is to be killed runs, who returns was killed, what is declared is new.
//!
//! A node is absent until it is started, then up, killed or paused; the controller is up or killed; an
//! endpoint that is not configured is declared once. An event must fit the state that the ones before it left.

use std::collections::{BTreeMap, BTreeSet};

use sinew_api::document::Table;
use sinew_transport_core::ids::{EndpointId, NodeName};
use toml::Spanned;

use crate::scenario::{Action, Event, Load, Topology};

#[derive(Clone, Copy, PartialEq)]
enum State {
    Absent,
    Up,
    Killed,
    Paused,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Absent => "not started yet",
            Self::Up => "running",
            Self::Killed => "killed",
            Self::Paused => "paused",
        }
    }
}

/// Notes events that do not fit what came before, those that would take the load's own entry away, and loads whose
/// entry never comes.
pub(super) fn check(events: &[Spanned<Event>], topology: &Topology, loads: &[Load], file: &Table<'_>) {
    let mut machine = Machine {
        nodes: topology.nodes.iter().map(|n| (&n.name, initial(n.started))).collect(),
        controller: State::Up,
        declared: BTreeSet::new(),
        topology,
        file,
    };
    for event in events {
        machine.happen(event);
        if let Action::Kill { node } | Action::Pause { node } = &event.get_ref().action {
            check_entry(event, node, topology, loads, file);
        }
    }
    for (node, _) in machine.nodes.iter().filter(|(_, state)| **state == State::Absent) {
        file.mistake(0..0, format!("node `{node}` is never started"), "write an [[event]] with `start`");
    }
    for (_, endpoint) in topology.endpoints().filter(|(_, e)| !e.configured) {
        if !machine.declared.contains(&endpoint.id) {
            let node = &endpoint.id.node;
            let message = format!("the endpoint on `{node}` is neither configured nor ever declared");
            file.mistake(0..0, message, "write an [[event]] with `apply`");
        }
    }
}

fn initial(started: bool) -> State {
    if started { State::Up } else { State::Absent }
}

/// What runs and what is declared, at one moment.
struct Machine<'a> {
    nodes: BTreeMap<&'a NodeName, State>,
    controller: State,
    declared: BTreeSet<&'a EndpointId>,
    topology: &'a Topology,
    file: &'a Table<'a>,
}

impl<'a> Machine<'a> {
    fn happen(&mut self, event: &'a Spanned<Event>) {
        let (node, needs, becomes) = match &event.get_ref().action {
            Action::Slow { .. } => return,
            Action::Apply { endpoint, .. } => return self.declare(event, endpoint),
            Action::KillController => return self.controller(event, State::Up, State::Killed),
            Action::ReturnController => return self.controller(event, State::Killed, State::Up),
            Action::Start { node } => (node, State::Absent, State::Up),
            Action::Kill { node } => (node, State::Up, State::Killed),
            Action::Return { node } => (node, State::Killed, State::Up),
            Action::Pause { node } => (node, State::Up, State::Paused),
            Action::Continue { node } => (node, State::Paused, State::Up),
        };
        let was = self.nodes.insert(node, becomes).unwrap_or(State::Up);
        self.needs(event, &format!("node `{node}`"), was, needs);
        if becomes == State::Up && needs == State::Absent {
            self.needs(event, "the controller", self.controller, State::Up);
        }
    }

    fn controller(&mut self, event: &Spanned<Event>, needs: State, becomes: State) {
        let was = std::mem::replace(&mut self.controller, becomes);
        self.needs(event, "the controller", was, needs);
    }

    fn declare(&mut self, event: &Spanned<Event>, endpoint: &'a EndpointId) {
        let configured = self.topology.endpoints().any(|(_, e)| e.id == *endpoint && e.configured);
        if configured || !self.declared.insert(endpoint) {
            self.file.mistake(
                event.span(),
                format!("the endpoint on `{}` is there already", endpoint.node),
                "name an endpoint with `configured = false`, once",
            );
        }
        self.needs(event, "the controller", self.controller, State::Up);
        let node = self.nodes.get(&endpoint.node).copied().unwrap_or(State::Up);
        self.needs(event, &format!("node `{}`", endpoint.node), node, State::Up);
    }

    fn needs(&self, event: &Spanned<Event>, who: &str, was: State, needs: State) {
        if was != needs {
            self.file.mistake(
                event.span(),
                format!("{who} is {} then; this needs it {}", was.word(), needs.word()),
                "let it happen at another time, or to another node",
            );
        }
    }
}

fn check_entry(
    event: &Spanned<Event>,
    node: &NodeName,
    topology: &Topology,
    loads: &[Load],
    file: &Table<'_>,
) {
    let entered = loads.iter().find(|l| topology.listener(&l.listener).is_some_and(|i| i.node == *node));
    if let Some(load) = entered {
        file.mistake(
            event.span(),
            format!("load `{}` enters the mesh at node `{node}`", load.name),
            "its own agent must run: call from another node",
        );
    }
}
