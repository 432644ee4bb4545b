//! `sinew status --watch`: the same page again and again, until Ctrl-C.
//!
//! On a terminal it is drawn over itself on the alternate screen, cut to fit, and the last one is left behind at the
//! end. Elsewhere one follows the other, and with `-o json` each is one line. A controller that goes away is told once,
//! with what it said last still in sight, and asked on until it returns.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use terminal_size::{Height, Width, terminal_size};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::{Output, StatusArgs, page};
use crate::check::finding::wrap;
use crate::threads::until_signal;

/// The shortest pause: a controller answers from memory, and nodes report once a second.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Another screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// The screen that was there before.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// What is known, and since when.
#[derive(Debug, Default)]
struct Seen {
    /// The newest page.
    page: String,
    /// When it came.
    at: Option<SystemTime>,
    /// Why there is no newer one, and since when.
    lost: Option<(String, SystemTime)>,
}

/// Takes pages until a signal comes, or nobody reads them any more.
///
/// # Errors
/// When the first page can't be had: whoever mistyped the place should hear it at once.
pub(super) fn watch(args: &StatusArgs, pause: Duration) -> anyhow::Result<ExitCode> {
    let terminal = io::stdout().is_terminal() && args.output == Output::Table;
    let mut seen = Seen::default();
    if terminal {
        // Before the screen is taken: its error belongs on the one that stays.
        let _ = until_signal(seen.look(args)).context("watching for signals")?;
        if let Some((why, _)) = seen.lost {
            anyhow::bail!(why);
        }
        print!("{ENTER}");
    }
    let ended = until_signal(run(args, pause, terminal, &mut seen));
    if terminal {
        // What is left behind must not look newer than it is.
        let head = seen.lost.as_ref().map(|_| seen.head(pause) + "\n\n").unwrap_or_default();
        print!("{LEAVE}{head}{}", seen.page);
    }
    match ended.context("watching for signals")? {
        Some(Err(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Some(Err(error)) if seen.at.is_none() => Err(anyhow::anyhow!("{error}")),
        Some(Err(error)) => Err(error).context("writing what was seen"),
        Some(Ok(())) | None => Ok(ExitCode::SUCCESS),
    }
}

async fn run(args: &StatusArgs, pause: Duration, terminal: bool, seen: &mut Seen) -> io::Result<()> {
    let mut resized = signal(SignalKind::window_change())?;
    loop {
        let next = Instant::now() + pause;
        let (was_lost, knew) = (seen.lost.is_some(), seen.at.is_some());
        seen.look(args).await;
        match &seen.lost {
            Some((why, _)) if !knew => return Err(io::Error::other(why.clone())),
            Some((why, _)) if !terminal && !was_lost => {
                eprintln!("{why}\ntrying again every {}", humantime::format_duration(pause));
            }
            None if !terminal && was_lost => eprintln!("the controller answers again"),
            _ => {}
        }
        if terminal {
            draw(seen, pause)?;
        } else if seen.lost.is_none() {
            follow(args.output, seen)?;
        }
        loop {
            tokio::select! {
                () = sleep_until(next) => break,
                Some(()) = resized.recv(), if terminal => draw(seen, pause)?,
            }
        }
    }
}

impl Seen {
    /// Asks once.
    async fn look(&mut self, args: &StatusArgs) {
        let now = SystemTime::now();
        match page(args).await {
            Ok(page) => *self = Self { page, at: Some(now), lost: None },
            Err(error) => {
                let since = self.lost.as_ref().map_or(now, |(_, since)| *since);
                self.lost = Some((format!("{error:#}"), since));
            }
        }
    }

    /// What stands above the page on a terminal.
    fn head(&self, pause: Duration) -> String {
        let pause = humantime::format_duration(pause);
        let time = |at: SystemTime| humantime::format_rfc3339_seconds(at).to_string();
        match (&self.lost, self.at) {
            (Some((why, since)), Some(at)) => format!(
                "no answer since {}, trying again every {pause}: {why}\nbelow: what there was at {}",
                time(*since),
                time(at)
            ),
            (_, at) => format!("{}, every {pause}; Ctrl-C ends", at.map(time).unwrap_or_default()),
        }
    }
}

/// One page after the other.
fn follow(output: Output, seen: &Seen) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if output == Output::Table {
        let at = seen.at.unwrap_or(SystemTime::UNIX_EPOCH);
        writeln!(stdout, "--- {}", humantime::format_rfc3339_seconds(at))?;
    }
    write!(stdout, "{}", seen.page)?;
    stdout.flush()
}

/// One page over the other.
fn draw(seen: &Seen, pause: Duration) -> io::Result<()> {
    let (Width(columns), Height(rows)) = terminal_size().unwrap_or((Width(80), Height(24)));
    let text = format!("{}\n\n{}", wrap(&seen.head(pause), columns.into()).join("\n"), seen.page);
    let mut stdout = io::stdout().lock();
    stdout.write_all(frame(&text, rows.into(), columns.into()).as_bytes())?;
    stdout.flush()
}

/// A text over what the screen shows, cut to fit: no line is broken, and the last one says how many are missing.
fn frame(text: &str, rows: usize, columns: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let missing = if lines.len() > rows { lines.len() + 1 - rows } else { 0 };
    let mut frame = "\x1b[H".to_owned();
    let shown = lines.iter().take(lines.len() - missing).map(|line| (*line).to_owned());
    let last = (missing > 0).then(|| format!("… {missing} more lines; make the window higher"));
    for (index, line) in shown.chain(last).enumerate() {
        let line: String = line.chars().take(columns).collect();
        let end = if index == 0 { "" } else { "\n" };
        let _ = write!(frame, "{end}{line}\x1b[K");
    }
    frame + "\x1b[J"
}

/// A number of seconds, or a time with its unit.
pub(super) fn pause(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let pause = match seconds {
        Some(pause) => pause,
        None => humantime::parse_duration(text).map_err(|error| format!("{error}, e.g. 2 or 500ms"))?,
    };
    let fits = (PAUSE_MIN..=PAUSE_MAX).contains(&pause);
    if fits { Ok(pause) } else { Err("it is not from 0.1 s to 1 h".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_fits_is_drawn_over_the_one_before() {
        assert_eq!(frame("one\ntwo\n", 2, 80), "\x1b[Hone\x1b[K\ntwo\x1b[K\x1b[J");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_counted() {
        let frame = frame("one\ntwo\nthree\nfour\n", 3, 4);

        assert_eq!(frame, "\x1b[Hone\x1b[K\ntwo\x1b[K\n… 2 \x1b[K\x1b[J");
    }

    #[test]
    fn a_controller_that_went_away_is_told_above_what_it_said_last() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let lost = Some(("no controller answers at 127.0.0.1:7402".to_owned(), at + Duration::from_secs(5)));
        let seen = Seen { page: "mesh\n".to_owned(), at: Some(at), lost };

        let head = seen.head(Duration::from_secs(2));

        assert_eq!(
            head,
            "no answer since 2027-01-15T08:00:05Z, trying again every 2s: no controller answers at 127.0.0.1:7402\n\
             below: what there was at 2027-01-15T08:00:00Z"
        );
    }

    #[test]
    fn a_pause_is_seconds_or_a_time() {
        assert_eq!(pause("2"), Ok(Duration::from_secs(2)));
        assert_eq!(pause("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(pause("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "99ms", "2h", "-1", "soon", "inf", "NaN"] {
            assert!(pause(wrong).is_err(), "{wrong}");
        }
    }
}
