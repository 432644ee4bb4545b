//! `sinew ping NODE`: asks the node on this machine to ask another for echoes, one after the other, over the link
//! that both have already; prints what each took, and the sum of it.
//!
//! The node measures ([`Pinged`]); this command sets the pace, so that a call to the node is short and a Ctrl-C ends
//! everything. A question that could not even be asked counts as lost once one could.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;
use sinew_api::admin::{PING_TIMEOUT_MS_MAX, Pinged, Pinging};
use sinew_api::status::API_VERSION;
use sinew_transport_core::ids::NodeName;
use tokio::time::{Instant, sleep_until};

use crate::client::{Client, NodeApiArgs};
use crate::completion;
use crate::threads::until_signal;

/// The most echoes of one run: who wants to watch a link for longer reads `sinew_quic_rtt_seconds`.
const COUNT_MAX: u16 = 1000;
/// The shortest time between two: a hundred a second are no load for anybody.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// The longest.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Whom to ask, and how often.
#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// The other node
    #[arg(add = ArgValueCompleter::new(completion::peers))]
    node: NodeName,
    /// How many echoes to ask for, 1 to 1000
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=i64::from(COUNT_MAX)), env = "SINEW_PING_COUNT")]
    count: u16,
    /// Time from one to the next, 10ms to 1h
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = interval, env = "SINEW_PING_INTERVAL")]
    interval: Duration,
    /// How long to wait for each, 1ms to 5s; then it is lost
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = patience, env = "SINEW_PING_TIMEOUT")]
    timeout: Duration,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "SINEW_PING_OUTPUT")]
    output: Output,
    #[command(flatten)]
    api: NodeApiArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each echo as it comes, then the sum
    Text,
    /// One document at the end
    Json,
}

/// Everything that was asked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    api_version: &'static str,
    /// The last answer of the node, for who asked whom and where.
    #[serde(flatten)]
    way: Option<Way>,
    echoes: Vec<Echo>,
    #[serde(flatten)]
    sum: Sum,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Way {
    from: NodeName,
    node: NodeName,
    version: String,
    address: std::net::SocketAddr,
}

/// One question. Neither time nor error: no answer in time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Echo {
    number: u16,
    round_trip_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sum {
    sent: usize,
    lost: usize,
    min_us: Option<u64>,
    avg_us: Option<u64>,
    max_us: Option<u64>,
}

impl Sum {
    fn of(echoes: &[Echo]) -> Self {
        let times: Vec<u64> = echoes.iter().filter_map(|echo| echo.round_trip_us).collect();
        let avg = |sum: u64| sum.checked_div(times.len() as u64);
        Self {
            sent: echoes.len(),
            lost: echoes.len() - times.len(),
            min_us: times.iter().copied().min(),
            avg_us: avg(times.iter().sum()),
            max_us: times.iter().copied().max(),
        }
    }

    /// For a person.
    fn text(&self) -> String {
        let Self { sent, lost, min_us, avg_us, max_us } = self;
        let mut text = format!("{sent} sent, {} answered, {lost} lost", sent - lost);
        if let Some(percent) = (lost * 100).checked_div(*sent).filter(|_| *lost > 0) {
            text.push_str(&format!(" ({percent} %)"));
        }
        if let (Some(min), Some(avg), Some(max)) = (min_us, avg_us, max_us) {
            let [min, avg, max] = [min, avg, max].map(|us| time(*us));
            text.push_str(&format!("\nround trip min {min}, avg {avg}, max {max}"));
        }
        text
    }
}

/// Runs the command.
///
/// # Errors
/// When the node of this machine can't be reached, or has no link with the other.
pub(crate) fn run(args: PingArgs) -> anyhow::Result<ExitCode> {
    let client = Client::of_node(&args.api)?;
    let mut report = Report { api_version: API_VERSION, way: None, echoes: Vec::new(), sum: Sum::default() };
    let asked = until_signal(ask(&args, &client, &mut report)).context("watching for signals")?;
    asked.transpose()?;
    report.sum = Sum::of(&report.echoes);
    match args.output {
        Output::Text => println!("{}", report.sum.text()),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    let all_lost = report.sum.sent == report.sum.lost;
    Ok(if all_lost { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn ask(args: &PingArgs, client: &Client, report: &mut Report) -> anyhow::Result<()> {
    let timeout_ms = u32::try_from(args.timeout.as_millis()).ok();
    let question = Pinging { node: args.node.clone(), timeout_ms };
    for number in 1..=args.count {
        let next = Instant::now() + args.interval;
        let echo = match client.send::<Pinged>("/v1/ping", &question).await {
            Ok(pinged) => {
                let round_trip_us = pinged.round_trip_us;
                let Pinged { from, node, version, address, .. } = pinged;
                if report.way.is_none() && args.output == Output::Text {
                    println!("{from} to {node} (sinew {version}) at {address}");
                }
                report.way = Some(Way { from, node, version, address });
                Echo { number, round_trip_us, error: None }
            }
            // Without a link at the beginning there is nothing to measure; one that goes meanwhile is a finding.
            Err(error) if report.way.is_none() => {
                return Err(error.context(format!("pinging {}", args.node)));
            }
            Err(error) => Echo { number, round_trip_us: None, error: Some(format!("{error:#}")) },
        };
        if args.output == Output::Text {
            println!("{}", line(&echo, args.timeout));
            std::io::stdout().flush()?;
        }
        report.echoes.push(echo);
        if number < args.count {
            sleep_until(next).await;
        }
    }
    Ok(())
}

fn line(echo: &Echo, patience: Duration) -> String {
    let what = match (echo.round_trip_us, &echo.error) {
        (Some(us), _) => time(us),
        (None, Some(error)) => format!("lost: {error}"),
        (None, None) => format!("lost: no answer in {}", humantime::format_duration(patience)),
    };
    format!("{:>4}  {what}", echo.number)
}

/// Three digits or so.
fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{:.2} ms", us as f64 / 1_000.0),
        10_000..1_000_000 => format!("{:.1} ms", us as f64 / 1_000.0),
        _ => format!("{:.2} s", us as f64 / 1_000_000.0),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    within(text, INTERVAL_MIN, INTERVAL_MAX)
}

fn patience(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_millis(1), Duration::from_millis(PING_TIMEOUT_MS_MAX.into()))
}

fn within(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let shown = humantime::format_duration;
    let fits = (min..=max).contains(&time);
    if fits { Ok(time) } else { Err(format!("it is not from {} to {}", shown(min), shown(max))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echoes(times: &[Option<u64>]) -> Vec<Echo> {
        let echo = |round_trip_us: &Option<u64>| Echo { round_trip_us: *round_trip_us, ..Echo::default() };
        times.iter().map(echo).collect()
    }

    #[test]
    fn the_sum_counts_what_was_lost_and_averages_what_was_not() {
        let sum = Sum::of(&echoes(&[Some(300), None, Some(1_500), Some(600)]));

        let (min_us, avg_us, max_us) = (Some(300), Some(800), Some(1_500));
        assert_eq!(sum, Sum { sent: 4, lost: 1, min_us, avg_us, max_us });
        assert_eq!(
            sum.text(),
            "4 sent, 3 answered, 1 lost (25 %)\nround trip min 300 µs, avg 800 µs, max 1.50 ms"
        );
    }

    #[test]
    fn without_an_answer_there_is_no_time() {
        assert_eq!(Sum::of(&echoes(&[None, None])).text(), "2 sent, 0 answered, 2 lost (100 %)");
        assert_eq!(Sum::of(&[]).text(), "0 sent, 0 answered, 0 lost");
    }

    #[test]
    fn times_have_three_digits_or_so() {
        for (us, shown) in
            [(7, "7 µs"), (999, "999 µs"), (1_256, "1.26 ms"), (12_345, "12.3 ms"), (1_234_567, "1.23 s")]
        {
            assert_eq!(time(us), shown);
        }
    }

    #[test]
    fn a_pace_that_is_no_good_for_anybody_is_refused() {
        assert!(interval("9ms").unwrap_err().contains("10ms to 1h"));
        assert!(patience("6s").unwrap_err().contains("1ms to 5s"));
        assert_eq!(interval("200ms"), Ok(Duration::from_millis(200)));
    }
}
