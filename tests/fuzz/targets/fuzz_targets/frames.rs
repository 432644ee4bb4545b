//! Feeds [`wire::frames`](sinew_fuzz::wire::frames) whatever libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sinew_fuzz::wire::frames(bytes);
});
