//! Feeds [`texts::http`](sinew_fuzz::texts::http) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::texts::http(bytes);
});
