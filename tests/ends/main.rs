//! How connections end: cleanly only if an application ended them so.
//!
//! Transfers are cut in the middle, by the death of a node on their way or of an application at one of their
//! ends. Whoever reads gets an error or every byte, never an end that looks clean and comes too early; whoever
//! writes gets an error, too. [`clean`]: ends that applications make themselves.
//!
//! Applications die here with a reset, as a crashed machine's do. A program that is merely killed ends its
//! sockets cleanly: the kernel sees to that, and the mesh carries it as it is.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod clean;
mod pair;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/transfer.rs"]
mod transfer;

use pair::{Cut, Outcome, Pair, Way};

/// Long enough to be in the middle when a quarter has passed, whatever is in buffers.
const LEN: u64 = 64 << 20;

/// The same for those who have the time.
const GIB: u64 = 1 << 30;

/// When nobody asks for another.
const SEED: u64 = 20_261_122;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_takes_the_death_of_a_node_for_the_end() {
    cut_in_the_middle(&[Cut::HostKilled, Cut::CallerKilled], LEN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_takes_the_stop_of_a_node_for_the_end() {
    cut_in_the_middle(&[Cut::HostStopped, Cut::CallerStopped], LEN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_dies_is_an_error_at_the_other_end() {
    cut_in_the_middle(&[Cut::ServiceDies, Cut::ClientDies], LEN).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run by .ci/run"]
async fn a_transfer_of_1_gib_that_is_cut_never_ends_cleanly() {
    cut_in_the_middle(&Cut::ALL, GIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_moment_a_cut_is_no_end() {
    cut_anywhere(12).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run by .ci/run"]
async fn whatever_the_moment_of_100_a_cut_is_no_end() {
    cut_anywhere(100).await;
}

/// Cuts a transfer each way when a quarter has arrived.
async fn cut_in_the_middle(cuts: &[Cut], len: u64) {
    let mut pair = Pair::start().await;
    for cut in cuts {
        for way in [Way::Up, Way::Down] {
            let Outcome { received, sent } = pair.transfer(way, len, len / 4, *cut).await;

            let context = format!("{cut:?} while {way:?}: read {received:?}, written {sent:?}");
            assert!(cut.kills_reader(way) || received.end.is_err(), "{context}");
            assert!(cut.kills_writer(way) || sent.is_err(), "{context}");
            assert!(received.len < len, "not in the middle; {context}");
        }
    }
}

/// Cuts small transfers at moments from a seed, also before the first byte and after the last.
async fn cut_anywhere(times: usize) {
    const SMALL: u64 = 4 << 20;
    let asked = std::env::var("SINEW_TEST_SEED").ok();
    let seed = asked.map_or(SEED, |text| text.parse().expect("SINEW_TEST_SEED is a number"));
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut pair = Pair::start().await;
    for turn in 0..times {
        let cut = Cut::ALL[turn % Cut::ALL.len()];
        let way = if rng.bool() { Way::Up } else { Way::Down };
        let at = rng.u64(..=SMALL);

        let Outcome { received, sent } = pair.transfer(way, SMALL, at, cut).await;

        let context = format!(
            "{cut:?} at {at} while {way:?}: {received:?} {sent:?}; SINEW_TEST_SEED={seed}, turn {turn}"
        );
        assert!(cut.kills_reader(way) || !received.is_short(SMALL), "{context}");
    }
}
