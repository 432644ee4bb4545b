//! Feeds [`files::scenario`](sinew_fuzz::files::scenario) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::files::scenario(bytes);
});
