//! Feeds [`session::session`](sinew_fuzz::session::session) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::session::session(bytes);
});
