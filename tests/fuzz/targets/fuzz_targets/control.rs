//! Feeds [`control::control`](sinew_fuzz::control::control) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::control::control(bytes);
});
