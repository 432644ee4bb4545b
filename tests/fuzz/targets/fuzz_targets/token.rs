//! Feeds [`texts::token`](sinew_fuzz::texts::token) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::texts::token(bytes);
});
