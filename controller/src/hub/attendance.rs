//! A registered session, as its story sees the hub: what it may ask of the mesh, and what it may say in its node's name.

use std::sync::Arc;

use sinew_api::control::Report;
use sinew_api::hosting::Serving;
use sinew_controller_core::{Mesh, Mistake, SessionEnd, SessionId, Turn};
use sinew_transport_core::ids::{NodeName, ServiceName};

use super::Hub;

/// A registered session. Dropped without [`Attendance::end`], it counts as lost: a task that panicked or
/// was cancelled leaves no node behind that seems to be here.
#[derive(Debug)]
pub(crate) struct Attendance {
    hub: Arc<Hub>,
    node: NodeName,
    session: SessionId,
    granted: Vec<ServiceName>,
    ended: bool,
}

impl Attendance {
    pub(super) fn new(hub: &Arc<Hub>, node: NodeName, session: SessionId, granted: Vec<ServiceName>) -> Self {
        Self { hub: Arc::clone(hub), node, session, granted, ended: false }
    }

    /// Whose session it is.
    pub(crate) fn node(&self) -> &NodeName {
        &self.node
    }

    /// What the node is granted.
    pub(crate) fn granted(&self) -> &[ServiceName] {
        &self.granted
    }

    /// What this session should do next.
    pub(crate) fn poll_turn(&self) -> Turn {
        self.hub.mesh(|mesh| mesh.poll_turn(&self.node, self.session))
    }

    /// Whether a push to the node is on its way.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.hub.mesh(|mesh| mesh.awaits_answer(&self.node))
    }

    /// Notes something that only this node's session may say.
    pub(crate) fn note<T>(&self, note: impl FnOnce(&mut Mesh, &NodeName, SessionId) -> T) -> T {
        self.hub.mesh(|mesh| note(mesh, &self.node, self.session))
    }

    /// Takes what the node saw.
    pub(crate) fn report(&self, report: Report) {
        let clock_ms = u64::try_from(self.hub.wall_now().as_millis()).unwrap_or(u64::MAX);
        let begins = self.note(|mesh, node, session| {
            let before = mesh.weighs();
            mesh.on_report(clock_ms, node, session, report);
            !before && mesh.weighs()
        });
        if begins {
            // Whoever keeps the time must look at the clock again.
            self.hub.changed.send_replace(());
        }
    }

    /// Takes the node's word about what it hosts, and wakes whoever must hear of it.
    pub(crate) fn serving(&self, serving: Serving) -> Result<(), Vec<Mistake>> {
        self.hub.change(|mesh| mesh.on_serving(&self.node, self.session, serving)).map(|_| ())
    }

    /// Tells how the session ended.
    pub(crate) fn end(mut self, end: SessionEnd) {
        self.tell(end);
    }

    fn tell(&mut self, end: SessionEnd) {
        if !self.ended {
            self.ended = true;
            let now = self.hub.started.elapsed();
            self.hub.change(|mesh| mesh.on_session_end(now, &self.node, self.session, end));
        }
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.tell(SessionEnd::Lost);
    }
}
