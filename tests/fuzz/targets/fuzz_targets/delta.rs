//! Feeds [`snapshots::delta`](sinew_fuzz::snapshots::delta) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::snapshots::delta(bytes);
});
