//! Feeds [`snapshots::snapshot`](sinew_fuzz::snapshots::snapshot) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::snapshots::snapshot(bytes);
});
