//! Feeds [`certificates::certificate`](sinew_fuzz::certificates::certificate) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::certificates::certificate(bytes);
});
