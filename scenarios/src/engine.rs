//! The story of a run: start a mesh, begin the load, let things happen on time, wait for every request to
//! end, stop the mesh, read what it logged.
//!
//! One task does all of it and owns the processes; only requests, and the wait for what takes its time (a node that
//! starts, an apply), run beside it. Dropping the story, for whatever reason, ends the processes and removes their files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use sinew_node_core::Mechanism;
use sinew_transport_core::ids::NodeName;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::access::{self, AccessLogError};
use crate::load::{self, Counters};
use crate::mesh::wait;
use crate::mesh::{Mesh, MeshError, MeshOptions, NodePorts};
use crate::progress::Progress;
use crate::record::{Happened, Recording, Sample};
use crate::report::Report;
use crate::scenario::{Action, Event, Load, Scenario};

/// How often it is looked whether every process still runs, and shown how it goes.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Between the mesh being ready and the first request, so that nothing of the start is measured.
const LEAD: Duration = Duration::from_millis(200);

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The mesh did not start, or a part of it ended by itself.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// What the mesh logged can't be used.
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    /// Something that was begun in an event did not come to its end.
    #[error("event `{event}` ({action}): {why}; the end of the log:\n{tail}")]
    NotDone {
        /// The event.
        event: String,
        /// What was begun, in words.
        action: String,
        /// What was lacking.
        why: String,
        /// The end of the log of whom it was done to.
        tail: String,
    },
    /// There is no place for the mesh's files.
    #[error("cannot use {path} for the files of the mesh: {why}")]
    Directory {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// Someone pressed Ctrl-C, or asked us to end.
    #[error("interrupted; all processes were ended and their files removed")]
    Interrupted,
}

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// The `sinew` program.
    pub binary: PathBuf,
    /// Mechanisms that nodes switch off.
    pub without: Vec<Mechanism>,
    /// Where to leave configuration, logs and state; nowhere unless given.
    pub keep: Option<PathBuf>,
    /// Whether to show nothing.
    pub quiet: bool,
}

/// Runs `scenario` and judges it. Call it from a thread that lives until it returns (see
/// [`crate::process::Process::start`]), on a runtime with time, I/O and processes.
///
/// # Errors
/// [`BenchError`] when there is nothing to judge. A missed expectation is no error: it is in the report.
pub async fn run(scenario: &Scenario, options: &BenchOptions) -> Result<Report, BenchError> {
    let recording = tokio::select! {
        recording = rehearse(scenario, options) => recording?,
        () = interrupted() => return Err(BenchError::Interrupted),
    };
    Ok(Report::new(scenario, &options.without, &recording))
}

/// Resolves when someone wants us to end.
pub async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

async fn rehearse(scenario: &Scenario, options: &BenchOptions) -> Result<Recording, BenchError> {
    let dir = WorkDir::new(options.keep.as_deref())?;
    let mut progress = Progress::new(options.quiet);
    let topology = &scenario.topology;
    progress.say(&format!(
        "{}: starting a controller, {} nodes and {} services in {}",
        scenario.name,
        topology.nodes.len(),
        topology.endpoints().count(),
        dir.path().display()
    ));
    let mesh_options = MeshOptions {
        binary: options.binary.clone(),
        dir: dir.path().to_owned(),
        without: options.without.clone(),
    };
    let mesh = Mesh::start(topology, mesh_options).await?;
    let mut run = Run::begin(scenario, mesh);
    progress.say(&format!("the mesh is up; {} requests follow", run.requests));
    progress.begin(run.requests);
    run.play(&mut progress).await?;
    progress.finish();
    run.record(&progress).await
}

/// A run under way.
struct Run<'a> {
    scenario: &'a Scenario,
    mesh: Mesh,
    epoch: Instant,
    began_us: u64,
    requests: u64,
    counters: Arc<Counters>,
    loads: JoinSet<Vec<Sample>>,
    samples: Vec<Sample>,
    events: Vec<Happened>,
    /// What events began and what takes its time: which event it was, and what came of it.
    under_way: JoinSet<(usize, Result<Ready, String>)>,
    /// Loads that begin when the node is ready at which they enter.
    waiting: Vec<Planned>,
}

/// What was begun in an event is done.
struct Ready {
    at: Instant,
    /// Of a node that was started.
    ports: Option<NodePorts>,
}

/// A load with its position and the number of its first request.
struct Planned {
    position: usize,
    load: Load,
    first_id: u64,
}

impl<'a> Run<'a> {
    fn begin(scenario: &'a Scenario, mesh: Mesh) -> Self {
        load::raise_file_limit();
        let (epoch, wall) = (Instant::now() + LEAD, SystemTime::now() + LEAD);
        let began_us = wall.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        let counters = Arc::<Counters>::default();
        let (mut waiting, mut requests) = (Vec::new(), 0);
        for (position, load) in scenario.loads.iter().enumerate() {
            waiting.push(Planned { position, load: load.clone(), first_id: requests });
            requests += load.requests();
        }
        let mut run = Self {
            scenario,
            mesh,
            epoch,
            began_us: u64::try_from(began_us).unwrap_or(u64::MAX),
            requests,
            counters,
            loads: JoinSet::new(),
            samples: Vec::new(),
            events: Vec::new(),
            under_way: JoinSet::new(),
            waiting,
        };
        run.begin_loads(Duration::ZERO);
        run
    }

    /// Begins every load that waits and has a listener now; its times count from `since`.
    fn begin_loads(&mut self, since: Duration) {
        for mut planned in std::mem::take(&mut self.waiting) {
            let Some(target) = self.mesh.listener(&planned.load.listener) else {
                self.waiting.push(planned);
                continue;
            };
            planned.load.start += since;
            let (load, counters) = ((planned.position, planned.load), self.counters.clone());
            let (seed, first_id) = (self.scenario.seed, planned.first_id);
            self.loads.spawn(load::run(load, target, seed, first_id, self.epoch, counters));
        }
    }

    /// Until every request has ended, and everything that was begun is done.
    async fn play(&mut self, progress: &mut Progress) -> Result<(), BenchError> {
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let scenario = self.scenario;
        let mut coming = scenario.events.iter().peekable();
        while !(self.loads.is_empty() && self.under_way.is_empty() && self.waiting.is_empty()) {
            let next = coming.peek().map(|event| self.epoch + event.at);
            tokio::select! {
                biased;
                () = sleep_until(next.unwrap_or(self.epoch)), if next.is_some() => {
                    if let Some(event) = coming.next() {
                        self.happen(event, progress).await?;
                    }
                }
                Some(Ok((event, ready))) = self.under_way.join_next() => self.note_ready(event, ready)?,
                Some(Ok(samples)) = self.loads.join_next() => self.samples.extend(samples),
                _ = look.tick() => {
                    self.mesh.check_running()?;
                    progress.show(self.elapsed(), &self.counters);
                }
            }
        }
        Ok(())
    }

    fn elapsed(&self) -> Duration {
        self.epoch.elapsed()
    }

    async fn happen(&mut self, event: &Event, progress: &Progress) -> Result<(), BenchError> {
        let at = self.elapsed();
        progress.say(&format!("{:5.1} s  {}: {}", at.as_secs_f64(), event.name, event.action));
        let index = self.events.len();
        match &event.action {
            Action::Slow { endpoint, by } => {
                let declared = self.scenario.topology.endpoints().find(|(_, e)| e.id == *endpoint);
                let declared = declared.map_or(Duration::ZERO, |(_, e)| e.latency);
                self.mesh.set_latency(endpoint, declared + *by).await?;
            }
            Action::Kill { node } => self.mesh.kill_node(node).await?,
            Action::Return { node } => {
                let state = self.mesh.start_node(node)?;
                self.follow(index, async move {
                    wait::node(&state).await.map(Some).map_err(|why| why.to_string())
                });
            }
            Action::Start { node } => {
                let state = self.mesh.start_node(node)?;
                self.follow(index, async move {
                    wait::joined_node(&state).await.map(Some).map_err(|why| why.to_string())
                });
            }
            Action::KillController => self.mesh.kill_controller().await?,
            Action::ReturnController => {
                let answers = self.mesh.start_controller()?;
                self.follow(
                    index,
                    async move { answers.await.map(|()| None).map_err(|why| why.to_string()) },
                );
            }
            Action::Apply { service, endpoint } => {
                let applied = self.mesh.apply(service, endpoint);
                self.follow(index, async move { applied.await.map(|()| None) });
            }
            Action::Pause { node } => self.mesh.signal_node(node, Signal::SIGSTOP)?,
            Action::Continue { node } => self.mesh.signal_node(node, Signal::SIGCONT)?,
        }
        let (name, action, done) = (event.name.clone(), event.action.clone(), self.elapsed());
        self.events.push(Happened { name, action, at, done, ready: None });
        Ok(())
    }

    /// Lets what was begun in an event take its time.
    fn follow(
        &mut self,
        event: usize,
        begun: impl Future<Output = Result<Option<NodePorts>, String>> + Send + 'static,
    ) {
        self.under_way.spawn(async move {
            let done = begun.await;
            (event, done.map(|ports| Ready { at: Instant::now(), ports }))
        });
    }

    fn note_ready(&mut self, index: usize, done: Result<Ready, String>) -> Result<(), BenchError> {
        let Some(event) = self.events.get_mut(index) else { return Ok(()) };
        let ready = match done {
            Ok(ready) => ready,
            Err(why) => {
                let tail = match &event.action {
                    Action::Return { node } | Action::Start { node } => self.mesh.node_log_tail(node),
                    _ => self.mesh.controller_log_tail(),
                };
                let (event, action) = (event.name.clone(), event.action.to_string());
                return Err(BenchError::NotDone { event, action, why, tail });
            }
        };
        let at = ready.at.saturating_duration_since(self.epoch);
        event.ready = Some(at);
        if let (Action::Start { node }, Some(ports)) = (&event.action, &ready.ports) {
            self.mesh.note_ready(node, ports, &self.scenario.topology)?;
            self.begin_loads(at);
        }
        Ok(())
    }

    /// Stops the mesh, so that its logs are complete, and puts everything together.
    async fn record(mut self, progress: &Progress) -> Result<Recording, BenchError> {
        let topology = &self.scenario.topology;
        let entries: BTreeSet<&NodeName> = self
            .scenario
            .loads
            .iter()
            .filter_map(|l| topology.listener(&l.listener).map(|listener| &listener.node))
            .collect();
        let paths: Vec<_> = entries.iter().map(|node| self.mesh.access_log(node)).collect();
        for node in self.mesh.stop().await {
            progress
                .say(&format!("node {node} did not stop in time and was killed: its log may lack its end"));
        }
        let mut logged = Vec::new();
        for path in paths {
            logged.extend(access::read(&path)?);
        }
        self.samples.sort_by_key(|s| s.id);
        let mut recording = Recording {
            topology: topology.clone(),
            began_us: self.began_us,
            ended: self.samples.iter().map(|s| s.end).max().unwrap_or_default(),
            samples: Vec::new(),
            logged: Vec::new(),
            strangers: Vec::new(),
            events: self.events,
        };
        (recording.logged, recording.strangers) =
            access::join(&self.samples, logged, |sample| recording.wall_us(sample.sent));
        recording.samples = self.samples;
        Ok(recording)
    }
}

/// Where the files of a mesh are: removed at the end, unless they are to be kept.
pub enum WorkDir {
    /// Removed when dropped.
    Temporary(TempDir),
    /// Left.
    Kept(PathBuf),
}

impl WorkDir {
    /// A new temporary directory, or `keep`, which must be new or empty.
    ///
    /// # Errors
    /// [`BenchError::Directory`].
    pub fn new(keep: Option<&Path>) -> Result<Self, BenchError> {
        let fail = |path: &Path, why: String| BenchError::Directory { path: path.display().to_string(), why };
        let Some(path) = keep else {
            let temporary = tempfile::Builder::new().prefix("sinew-").tempdir();
            return temporary.map(Self::Temporary).map_err(|e| fail(&std::env::temp_dir(), e.to_string()));
        };
        let made = std::fs::create_dir_all(path).and_then(|()| std::path::absolute(path));
        let path = made.map_err(|e| fail(path, e.to_string()))?;
        match std::fs::read_dir(&path).map(|mut entries| entries.next().is_some()) {
            Ok(false) => Ok(Self::Kept(path)),
            Ok(true) => Err(fail(&path, "it is not empty; give a new directory".into())),
            Err(e) => Err(fail(&path, e.to_string())),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(path) => path,
        }
    }
}
