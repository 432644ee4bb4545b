//! Feeds [`snapshots::tell`](sinew_fuzz::snapshots::tell) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::snapshots::tell(bytes);
});
