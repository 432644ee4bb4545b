//! What the program says in its log, for tests: the lines of this test, and a way to wait for one.
//!
//! A test runs all its tasks on its own thread, so each thread has a log of its own. The subscriber is the
//! process's one: with one for each thread, tracing may decide by another test's that nobody listens.
//!
//! The node's tests use this file too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// How long a line may take.
const STUCK: Duration = Duration::from_secs(15);

thread_local! {
    static HERE: RefCell<Arc<Log>> = RefCell::default();
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) message: String,
    fields: BTreeMap<&'static str, String>,
}

impl Line {
    /// A field's text, empty when there is none of that name.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// The lines of one test.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Mutex<(Vec<Line>, usize)>,
    count: watch::Sender<usize>,
}

impl Default for Log {
    fn default() -> Self {
        Self { lines: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Log {
    /// Begins a log for this thread.
    pub(crate) fn start() -> Arc<Self> {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let ours = Targets::new().with_target("sinew", Level::DEBUG).with_target("access", Level::INFO);
            let subscriber = tracing_subscriber::registry().with(Capture.with_filter(ours));
            tracing::subscriber::set_global_default(subscriber).expect("nobody else sets one");
        });
        HERE.with_borrow_mut(|here| {
            *here = Arc::default();
            Arc::clone(here)
        })
    }

    /// The next line that is `wanted`, behind the one that was found last. Waits for it.
    pub(crate) async fn next(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        let mut count = self.count.subscribe();
        let found = tokio::time::timeout(STUCK, async {
            loop {
                count.borrow_and_update();
                if let Some(line) = self.take(&wanted) {
                    return line;
                }
                count.changed().await.expect("the log lives");
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| panic!("no line in the log about {what}; there are {:#?}", self.all()))
    }

    fn take(&self, wanted: &impl Fn(&Line) -> bool) -> Option<Line> {
        let (lines, next) = &mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let at = *next + lines[*next..].iter().position(wanted)?;
        *next = at + 1;
        Some(lines[at].clone())
    }

    /// All lines so far.
    pub(crate) fn all(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn add(&self, line: Line) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).0.push(line);
        self.count.send_modify(|count| *count += 1);
    }
}

struct Capture;

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        let meta = event.metadata();
        let line = Line { level: *meta.level(), target: meta.target().to_owned(), message, fields: fields.0 };
        HERE.with_borrow(|here| here.add(line));
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
